"""What KafkaPythonLog hears of its consumer group."""

from collections.abc import Callable
from typing import Any

from kafka import ConsumerRebalanceListener, KafkaConsumer
from kafka.structs import TopicPartition

from streamrec.transport.assignment import Assignment
from streamrec.transport.kafka_log import Partition


class Rebalances(ConsumerRebalanceListener):  # type: ignore[misc]
    """Notes what the group decides; kafka-python calls it on its network thread."""

    def __init__(self, consumer: KafkaConsumer, assignment: Assignment) -> None:
        self._consumer = consumer
        self._assignment = assignment
        self._next = ("", 0)  # this member's name, and the group's generation after the last one
        self._joined = _keep_joins(consumer)

    def on_partitions_revoked(self, revoked: set[TopicPartition]) -> None:
        """Wait for the assignment that follows: most partitions come back with it."""

    def on_partitions_lost(self, lost: set[TopicPartition]) -> None:
        """Note that the group has dropped this member."""
        self._assignment.lost()

    def on_partitions_assigned(self, assigned: set[TopicPartition]) -> None:
        """Note what the group gave; nothing of it is fetched before `settle`."""
        self._joined()
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


def _keep_joins(consumer: KafkaConsumer) -> Callable[[], None]:
    """Keep a join that ends between two polls; return what forgets it once it is taken.

    kafka-python 3.0.12 looks only at a join that ends during a poll. It throws any other away and
    joins again, which for the group's leader is one more rebalance for everybody, and with short
    polls the next join may end between two polls too.
    """
    coordinator = consumer._coordinator  # noqa: SLF001
    join = coordinator._do_join_and_sync_async  # noqa: SLF001
    kept: list[tuple[Any, bytes]] = []

    async def join_once() -> bytes:
        # wanted until a poll takes it: one that new metadata asked for would be forgotten when it
        # ends between two polls, and the member would neither fetch nor send a heartbeat again
        coordinator.request_rejoin()
        if not kept or kept[0][0] is not coordinator._generation:  # noqa: SLF001
            assignment = await join()
            kept[:] = [(coordinator._generation, assignment)]  # noqa: SLF001
        return kept[0][1]

    coordinator._do_join_and_sync_async = join_once  # noqa: SLF001
    return kept.clear
