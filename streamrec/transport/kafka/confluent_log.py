"""The Log on confluent-kafka (librdkafka): a fifth of kafka-python's CPU a message."""

import logging
import time
from collections.abc import Mapping, Sequence
from typing import Any

from confluent_kafka import KafkaError, KafkaException, TopicPartition

from streamrec.errors import BrokerUnavailable, LogError, OffsetGone, WrongTopic
from streamrec.settings.sections import KafkaSettings
from streamrec.transport.kafka.assignment import Assignment, offset_gone
from streamrec.transport.kafka.client_settings import (
    COMPLAIN_SECONDS,
    CONNECT_SECONDS,
    unreachable,
)
from streamrec.transport.kafka.confluent_consumer import open_consumer
from streamrec.transport.kafka.confluent_producer import ConfluentProducer
from streamrec.transport.kafka.kafka_python_log import read_from
from streamrec.transport.kafka.log import (
    LONGEST_BYTES,
    Assigned,
    Message,
    Partition,
    Revoked,
    cut,
)

# ruff: noqa: SLF001  (the codes of librdkafka itself begin with an underscore)

# Waiting again does not help against these; every other error of a poll is tried again.
FATAL = {
    KafkaError._FATAL,
    KafkaError._AUTHENTICATION,
    KafkaError.TOPIC_AUTHORIZATION_FAILED,
    KafkaError.GROUP_AUTHORIZATION_FAILED,
    KafkaError.INVALID_SESSION_TIMEOUT,
    KafkaError.INCONSISTENT_GROUP_PROTOCOL,
    KafkaError.INVALID_GROUP_ID,
    KafkaError.UNSUPPORTED_SASL_MECHANISM,
    KafkaError.SASL_AUTHENTICATION_FAILED,
}
GONE = {KafkaError._AUTO_OFFSET_RESET, KafkaError.OFFSET_OUT_OF_RANGE}
# Of a batch; librdkafka does not tell where it ends, and fetches it for ever.
UNREADABLE = {KafkaError._BAD_MSG, KafkaError._BAD_COMPRESSION, KafkaError._NOT_IMPLEMENTED}
# A rebalance is settled between two polls of the client, so no poll of it lasts longer.
SLICE_SECONDS = 0.1

logger = logging.getLogger(__name__)


class ConfluentLog:
    """See streamrec.transport.kafka.log.Log."""

    def __init__(self, settings: KafkaSettings, group: str | None = None) -> None:
        self._settings = settings
        self._group = group
        self._consumer: Any = None
        self._producer = ConfluentProducer(settings)
        self.produce, self.flush = self._producer.produce, self._producer.flush
        self.connect, self.give_up = self._producer.connect, self._producer.give_up
        self._assignment: Assignment | None = None
        self._member = ""
        self._gone: dict[Partition, OffsetGone] = {}
        self._unreadable: set[Partition] = set()
        self._silent_until = 0.0
        self._names: dict[tuple[str, int], Partition] = {}

    def subscribe(self, topics: Sequence[str], on_assign: Assigned, on_revoke: Revoked) -> None:
        """Join the consumer group."""
        if self._group is None:
            raise LogError("This Log was opened without a consumer group: it cannot subscribe.")
        assignment = Assignment(on_assign, on_revoke, self._fetched_end, self.log_end)
        self._assignment = assignment

        # librdkafka assigns by itself, at the group's committed offsets, where the callback does
        # not; an empty assignment holds everything back until `settle` knows the offsets
        def assigned(consumer: Any, partitions: list[Any]) -> None:
            if consumer.memberid() != self._member:  # the group had forgotten this member
                self._member = consumer.memberid()
                assignment.lost()
            assignment.assigned([_partition(where) for where in partitions])
            consumer.assign([])

        def revoked(consumer: Any, partitions: list[Any]) -> None:
            consumer.unassign()

        def lost(consumer: Any, partitions: list[Any]) -> None:
            assignment.lost()
            consumer.unassign()

        consumer = self._open_consumer()
        self._metadata(None)  # fails here and now where no broker answers
        consumer.subscribe(list(topics), on_assign=assigned, on_revoke=revoked, on_lost=lost)

    def poll(
        self, timeout_seconds: float, max_messages: int
    ) -> Mapping[Partition, Sequence[Message]]:
        """Return the next messages by partition."""
        if self._assignment is None or self._consumer is None:
            raise LogError("poll before subscribe.")
        deadline = time.monotonic() + timeout_seconds
        while True:
            left = max(0.0, deadline - time.monotonic())
            batch = self._poll_client(self._consumer, min(left, SLICE_SECONDS), max_messages)
            if self._assignment.pending:
                self._settle(self._consumer, self._assignment)
            found = self._messages(batch, self._assignment)
            found |= self._read_unreadable(self._assignment)
            if found or time.monotonic() >= deadline:
                return found
            if self._gone:
                raise next(iter(self._gone.values()))
            self._assignment.refuse_past_end()

    def seek(self, partition: Partition, offset: int) -> None:
        """Continue an assigned partition at `offset`."""
        if self._assignment is None or self._consumer is None:
            raise LogError("seek before subscribe.")
        self._assignment.seek(partition, offset)
        self._gone.pop(partition, None)
        self._unreadable.discard(partition)
        try:
            self._consumer.seek(TopicPartition(*partition, offset))
            self._consumer.resume([TopicPartition(*partition)])
        except KafkaException as error:
            # not fetched: its fetch has not begun, or ended with an error
            if error.args[0].code() != KafkaError._STATE:
                raise LogError(f"Kafka client: {error}.") from error
            self._assign(self._consumer, self._assignment.positions)

    def hold(self, partition: Partition) -> None:
        """Fetch nothing of an assigned partition until the next seek."""
        if self._consumer is not None:
            self._consumer.pause([TopicPartition(*partition)])

    def high_watermark(self, partition: Partition) -> int | None:
        """Return the offset after the partition's last message, if known."""
        if self._assignment is None:
            return None
        return self._assignment.end(partition, self._settings.stuck_seconds / 2)

    def position(self, partition: Partition) -> int:
        """Return the offset that an assigned partition goes on at."""
        if self._assignment is None:
            raise LogError("position before subscribe.")
        return self._assignment.position(partition)

    def log_end(self, partition: Partition) -> int | None:
        """Ask the broker for the offset up to which the partition can be read."""
        try:
            return self._ask_offsets(partition, 1.0)[1]
        except KafkaException:
            return None

    def log_start(self, partition: Partition) -> int:
        """Return the first offset Kafka still has of the partition."""
        try:
            marks = self._ask_offsets(partition, CONNECT_SECONDS)
        except KafkaException as error:
            raise BrokerUnavailable(unreachable(self._settings, error.args[0].str())) from None
        return marks[0]

    def partitions(self, topic: str) -> int:
        """Return how many partitions the topic has."""
        found = self._metadata(topic).topics.get(topic)
        if found is None or found.error is not None:
            raise WrongTopic(f"Topic {topic} does not exist. Run: streamrec topics create")
        return len(found.partitions)

    def commit(self, positions: Mapping[Partition, int]) -> None:
        """Tell the group coordinator the positions, for lag display only."""
        if self._consumer is None or not positions:
            return
        offsets = [TopicPartition(*where, offset) for where, offset in positions.items()]
        try:
            self._consumer.commit(offsets=offsets, asynchronous=True)
        except KafkaException as error:
            logger.debug("offsets not committed: %s", error)

    def close(self) -> None:
        """Leave the group and close all connections."""
        consumer, self._consumer, self._assignment = self._consumer, None, None
        if consumer is not None:
            consumer.close()
        self._producer.close()

    def _poll_client(self, consumer: Any, timeout_seconds: float, max_messages: int) -> list[Any]:
        # with a timeout, consume waits for all of max_messages: wait for the first one only
        try:
            batch: list[Any] = consumer.consume(max_messages, 0)
            if not batch:
                first = consumer.poll(timeout_seconds)
                if first is None:
                    return []
                batch = [first]
                if max_messages > 1:
                    batch += consumer.consume(max_messages - 1, 0)
        except KafkaException as error:
            self._failed_poll(error.args[0])
            time.sleep(timeout_seconds)
            return []
        return batch

    def _failed_poll(self, error: Any) -> None:
        if error.fatal() or error.code() in FATAL:
            raise LogError(f"Kafka at {self._settings.brokers} refused: {error}.")
        now = time.monotonic()
        if now > self._silent_until:
            logger.warning("Kafka: %s; trying again", error)
            self._silent_until = now + COMPLAIN_SECONDS

    def _settle(self, consumer: Any, assignment: Assignment) -> None:
        positions = assignment.settle()
        self._assign(consumer, positions)
        self._gone = {where: gone for where, gone in self._gone.items() if where in positions}

    def _assign(self, consumer: Any, positions: Mapping[Partition, int]) -> None:
        consumer.assign([TopicPartition(*where, offset) for where, offset in positions.items()])

    def _messages(self, batch: list[Any], assignment: Assignment) -> dict[Partition, list[Message]]:
        found: dict[tuple[str, int], list[Message]] = {}
        for raw in batch:
            if raw.error() is not None:
                self._failed_message(raw, assignment)
                continue
            value = raw.value()
            if value is not None and len(value) > LONGEST_BYTES:
                value = cut(value)
            message = Message(raw.offset(), raw.timestamp()[1], raw.key(), value)
            where = (raw.topic(), raw.partition())
            if where in found:
                found[where].append(message)
            else:
                found[where] = [message]
        named = {}
        for where, messages in found.items():
            partition = self._names.setdefault(where, Partition(*where))
            named[partition] = messages
            assignment.advance(partition, messages[-1].offset + 1)
        return named

    def _read_unreadable(self, assignment: Assignment) -> dict[Partition, list[Message]]:
        """Read with the other client what this one cannot, and go on behind it."""
        found = {}
        for partition in list(self._unreadable & assignment.positions.keys()):
            messages = read_from(self._settings, partition, assignment.positions[partition])
            if messages:
                found[partition] = messages
                self.seek(partition, messages[-1].offset + 1)
        return found

    def _failed_message(self, raw: Any, assignment: Assignment) -> None:
        error = raw.error()
        if error.code() == KafkaError._PARTITION_EOF:
            assignment.passed(Partition(raw.topic(), raw.partition()), raw.offset())
        elif error.code() in UNREADABLE and raw.topic() is not None:
            self._unreadable.add(Partition(raw.topic(), raw.partition()))
        elif error.code() in GONE and raw.topic() is not None:
            # librdkafka tells it once and then fetches the partition no more
            partition = Partition(raw.topic(), raw.partition())
            position = assignment.positions.get(partition)
            self._gone[partition] = OffsetGone(offset_gone(partition, position))
        else:
            self._failed_poll(error)

    def _fetched_end(self, partition: Partition) -> int | None:
        if self._consumer is None:
            return None
        marks = self._consumer.get_watermark_offsets(TopicPartition(*partition), cached=True)
        return int(marks[1]) if marks and marks[1] >= 0 else None

    def _ask_offsets(self, partition: Partition, seconds: float) -> tuple[int, int]:
        marks: tuple[int, int] | None = self._open_consumer().get_watermark_offsets(
            TopicPartition(*partition), timeout=seconds, cached=False
        )
        if marks is None:
            raise KafkaException(KafkaError(KafkaError._TIMED_OUT))
        return marks

    def _metadata(self, topic: str | None) -> Any:
        client = self._open_consumer()
        try:
            return client.list_topics(topic, timeout=CONNECT_SECONDS)
        except KafkaException as error:
            raise BrokerUnavailable(unreachable(self._settings, error.args[0].str())) from None

    def _open_consumer(self) -> Any:
        if self._consumer is None:
            self._consumer = open_consumer(self._settings, self._group)
        return self._consumer


def _partition(where: Any) -> Partition:
    return Partition(where.topic, where.partition)
