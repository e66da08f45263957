"""KafkaPythonLog in its consumer group: what it hears of it, and a join that is kept.

Here is all that rests on private names of kafka-python, which is pinned for that;
tests/unit/test_kafka_python.py says when one is gone.
"""

from typing import Any

from kafka import ConsumerRebalanceListener, KafkaConsumer
from kafka.coordinator.consumer import ConsumerCoordinator
from kafka.structs import TopicPartition

from streamrec.transport.kafka.assignment import Assignment
from streamrec.transport.kafka.kafka_python_batches import Batches
from streamrec.transport.kafka.log import Partition


class Rebalances(ConsumerRebalanceListener):  # type: ignore[misc]
    """Notes what the group decides; kafka-python calls it on its network thread."""

    def __init__(self, consumer: KafkaConsumer, assignment: Assignment) -> None:
        self._consumer = consumer
        self._assignment = assignment
        self._next = ("", 0)  # this member's name, and the group's generation after the last one

    def on_partitions_revoked(self, revoked: set[TopicPartition]) -> None:
        """Wait for the assignment that follows: most partitions come back with it."""

    def on_partitions_lost(self, lost: set[TopicPartition]) -> None:
        """Note that the group has dropped this member."""
        self._assignment.lost()

    def on_partitions_assigned(self, assigned: set[TopicPartition]) -> None:
        """Note what the group gave; nothing of it is fetched before `settle`."""
        for where in assigned:
            self._consumer.pause(where)
            # any position will do while it is paused; without one the client would look for
            # the group's committed offset and start there
            self._consumer.seek(where, 0)
        member = self._consumer.group_metadata()
        now = (member.member_id, member.generation_id)
        if now != self._next:  # a generation went by without this member: others had its partitions
            self._assignment.lost()
        self._next = (now[0], now[1] + 1)
        self._assignment.assigned([Partition(*where) for where in assigned])


class GroupConsumer(KafkaConsumer):  # type: ignore[misc]
    """A KafkaConsumer that forgets no join, no paused partition, and reads past a damaged batch."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self._coordinator.__class__ = KeepingCoordinator
        self._fetcher.PartitionRecords = Batches

    def resume(self, *partitions: TopicPartition) -> None:
        """Fetch again from where `seek` said, without what was fetched before the pause.

        kafka-python 3.0.12 keeps the rest of a fetch that a pause cut in two, fetches nothing of
        its partition meanwhile, and takes it up only while it has no other partition's fetch at
        hand: with others that deliver, never.
        """
        for where in partitions:
            self._fetcher._paused_partition_records.pop(where, None)  # noqa: SLF001
        super().resume(*partitions)


class KeepingCoordinator(ConsumerCoordinator):  # type: ignore[misc]
    """Keeps a join that ends between two polls until a poll takes it.

    That of kafka-python 3.0.12 looks only at a join that ends during a poll. It throws any other
    away and joins again, which for the group's leader is one more rebalance for everybody, and with
    short polls the next join may end between two polls too.
    """

    _kept: tuple[Any, bytes] | None = None  # the member it made of us, its partitions

    async def _do_join_and_sync_async(self) -> bytes:
        # wanted until a poll takes it: one that new metadata asked for would be forgotten when it
        # ends between two polls, and the member would neither fetch nor send a heartbeat again
        self.request_rejoin()
        if self._kept is None or self._kept[0] != self._member():
            assignment = await super()._do_join_and_sync_async()
            self._kept = (self._member(), assignment)
        return self._kept[1]

    async def _on_join_complete_async(self, *joined: Any) -> None:
        self._kept = None
        await super()._on_join_complete_async(*joined)

    def _member(self) -> tuple[str, int]:
        member = self.group_metadata()
        return member.member_id, member.generation_id
