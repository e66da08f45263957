"""The Log on kafka-python: pure Python, the default."""

import logging
import time
from collections.abc import Mapping, Sequence
from functools import partial
from operator import itemgetter
from typing import Any

from kafka import KafkaConsumer
from kafka.coordinator.assignors.roundrobin import RoundRobinPartitionAssignor
from kafka.errors import (
    AuthorizationError,
    CorruptRecordError,
    InconsistentGroupProtocolError,
    InvalidGroupIdError,
    InvalidSessionTimeoutError,
    KafkaConfigurationError,
    KafkaError,
    KafkaTimeoutError,
    LogTruncationError,
    OffsetOutOfRangeError,
    SaslAuthenticationFailedError,
    UnsupportedCodecError,
    UnsupportedVersionError,
)
from kafka.structs import OffsetAndMetadata, TopicPartition

from streamrec.errors import BrokerUnavailable, LogError, OffsetGone, WrongTopic
from streamrec.settings.sections import KafkaSettings
from streamrec.transport.kafka.assignment import Assignment, offset_gone
from streamrec.transport.kafka.client_settings import (
    COMPLAIN_SECONDS,
    CONNECT_SECONDS,
    FETCH_BYTES,
    MAX_POLL_SECONDS,
    PARTITION_FETCH_BYTES,
    unreachable,
)
from streamrec.transport.kafka.connecting import connected
from streamrec.transport.kafka.kafka_python_group import GroupConsumer, Rebalances
from streamrec.transport.kafka.kafka_python_producer import KafkaPythonProducer
from streamrec.transport.kafka.log import Assigned, Message, Partition, Revoked
from streamrec.transport.kafka.topics import admin_client, partition_counts

# Waiting again does not help against these; every other error of a poll is tried again.
FATAL = (
    AuthorizationError,
    CorruptRecordError,
    InconsistentGroupProtocolError,
    InvalidGroupIdError,
    InvalidSessionTimeoutError,
    KafkaConfigurationError,
    SaslAuthenticationFailedError,
    UnsupportedCodecError,
    UnsupportedVersionError,
)
# A rebalance is settled between two polls of the client, so no poll of it lasts longer.
SLICE_SECONDS = 0.1

logger = logging.getLogger(__name__)

# Both run in C: 0.25 us a message, a third of Message(record.offset, ...).
_fields = itemgetter(3, 4, 6, 7)  # offset, timestamp, key, value of a ConsumerRecord
_message = partial(tuple.__new__, Message)


class KafkaPythonLog:
    """See streamrec.transport.kafka.log.Log."""

    def __init__(self, settings: KafkaSettings, group: str | None = None) -> None:
        self._settings = settings
        self._group = group
        self._consumer: KafkaConsumer | None = None
        self._producer = KafkaPythonProducer(settings)
        self.produce, self.flush = self._producer.produce, self._producer.flush
        self.connect, self.give_up = self._producer.connect, self._producer.give_up
        self._assignment: Assignment | None = None
        self._silent_until = 0.0
        self._names: dict[TopicPartition, Partition] = {}

    def subscribe(self, topics: Sequence[str], on_assign: Assigned, on_revoke: Revoked) -> None:
        """Join the consumer group."""
        if self._group is None:
            raise LogError("This Log was opened without a consumer group: it cannot subscribe.")
        self._assignment = Assignment(on_assign, on_revoke, self._fetched_end, self.log_end)
        consumer = self._open_consumer()
        try:
            # a leader that joins before it knows the topics assigns nothing, at times for good
            for topic in topics:
                consumer.partitions_for_topic(topic)
        except KafkaTimeoutError as error:
            raise BrokerUnavailable(unreachable(self._settings, error)) from None
        consumer.subscribe(list(topics), listener=Rebalances(consumer, self._assignment))

    def poll(
        self, timeout_seconds: float, max_messages: int
    ) -> Mapping[Partition, Sequence[Message]]:
        """Return the next messages by partition."""
        if self._assignment is None or self._consumer is None:
            raise LogError("poll before subscribe.")
        deadline = time.monotonic() + timeout_seconds
        while True:
            left = max(0.0, deadline - time.monotonic())
            records = self._poll_client(self._consumer, min(left, SLICE_SECONDS), max_messages)
            if self._assignment.pending:
                self._settle(self._consumer, self._assignment)
            if not records:
                self._assignment.refuse_past_end()
            if records or time.monotonic() >= deadline:
                return self._messages(records, self._assignment)

    def seek(self, partition: Partition, offset: int) -> None:
        """Continue an assigned partition at `offset`."""
        if self._assignment is None or self._consumer is None:
            raise LogError("seek before subscribe.")
        self._assignment.seek(partition, offset)
        where = TopicPartition(*partition)
        if where in self._consumer.assignment():  # else a rebalance waits for the next poll
            self._consumer.seek(where, offset)
            if not self._assignment.pending:
                self._consumer.resume(where)

    def hold(self, partition: Partition) -> None:
        """Fetch nothing of an assigned partition until the next seek."""
        if self._consumer is not None and TopicPartition(*partition) in self._consumer.assignment():
            self._consumer.pause(TopicPartition(*partition))

    def high_watermark(self, partition: Partition) -> int | None:
        """Return the offset after the partition's last message, if known."""
        if self._assignment is None:
            return None
        return self._assignment.end(partition, self._settings.stuck_seconds / 2)

    def position(self, partition: Partition) -> int:
        """Return the offset that an assigned partition goes on at."""
        if self._assignment is None or self._consumer is None:
            raise LogError("position before subscribe.")
        where = TopicPartition(*partition)
        if where in self._consumer.assignment() and where not in self._consumer.paused():
            self._assignment.passed(partition, self._consumer.position(where, timeout_ms=0) or 0)
        return self._assignment.position(partition)

    def log_end(self, partition: Partition) -> int | None:
        """Ask the broker for the offset up to which the partition can be read."""
        where = TopicPartition(*partition)
        try:
            return int(self._open_consumer().end_offsets([where], timeout_ms=1000)[where])
        except KafkaError:
            return None

    def log_start(self, partition: Partition) -> int:
        """Return the first offset Kafka still has of the partition."""
        where = TopicPartition(*partition)
        try:
            starts = self._open_consumer().beginning_offsets(
                [where], timeout_ms=int(CONNECT_SECONDS * 1000)
            )
        except KafkaTimeoutError as error:
            raise BrokerUnavailable(unreachable(self._settings, error)) from None
        return int(starts[where])

    def partitions(self, topic: str) -> int:
        """Return how many partitions the topic has."""
        with admin_client(self._settings) as admin:
            counts = partition_counts(admin, [topic])
        if topic not in counts:
            raise WrongTopic(f"Topic {topic} does not exist. Run: streamrec topics create")
        return counts[topic]

    def commit(self, positions: Mapping[Partition, int]) -> None:
        """Tell the group coordinator the positions, for lag display only."""
        if self._consumer is None or not positions:
            return
        offsets = {
            TopicPartition(*partition): OffsetAndMetadata(offset, "", -1)
            for partition, offset in positions.items()
        }
        try:
            self._consumer.commit_async(offsets)
        except KafkaError as error:
            logger.debug("offsets not committed: %r", error)

    def close(self) -> None:
        """Leave the group and close all connections."""
        consumer, self._consumer, self._assignment = self._consumer, None, None
        if consumer is not None:
            try:
                consumer.close(autocommit=False, timeout_ms=3000)
            except KafkaError as error:
                logger.debug("consumer not closed cleanly: %r", error)
        self._producer.close()

    def _poll_client(
        self, consumer: KafkaConsumer, timeout_seconds: float, max_messages: int
    ) -> dict[TopicPartition, list[Any]]:
        try:
            records: dict[TopicPartition, list[Any]] = consumer.poll(
                timeout_ms=timeout_seconds * 1000, max_records=max_messages
            )
        except (OffsetOutOfRangeError, LogTruncationError) as error:
            raise self._offset_gone(error) from None
        except FATAL as error:
            raise LogError(f"Kafka at {self._settings.brokers} refused: {error!r}.") from error
        except KafkaError as error:
            now = time.monotonic()
            if now > self._silent_until:
                logger.warning("Kafka: %r; trying again", error)
                self._silent_until = now + COMPLAIN_SECONDS
            time.sleep(timeout_seconds)
            return {}
        return records

    def _offset_gone(self, error: KafkaError) -> OffsetGone:
        offsets = error.args[0] if error.args and isinstance(error.args[0], dict) else {}
        for where in offsets:
            partition = Partition(where.topic, where.partition)
            position = self._assignment.positions.get(partition) if self._assignment else None
            return OffsetGone(offset_gone(partition, position))
        return OffsetGone(f"Kafka no longer has an offset that the state stands at: {error}")

    def _settle(self, consumer: KafkaConsumer, assignment: Assignment) -> None:
        for partition, offset in assignment.settle().items():
            where = TopicPartition(*partition)
            if where in consumer.paused():
                consumer.seek(where, offset)
                consumer.resume(where)

    def _messages(
        self, records: dict[TopicPartition, list[Any]], assignment: Assignment
    ) -> dict[Partition, list[Message]]:
        found: dict[Partition, list[Message]] = {}
        for where, batch in records.items():
            partition = self._names.setdefault(where, Partition(where.topic, where.partition))
            found[partition] = messages = list(map(_message, map(_fields, batch)))
            assignment.advance(partition, messages[-1].offset + 1)
        return found

    def _fetched_end(self, partition: Partition) -> int | None:
        if self._consumer is None:
            return None
        try:
            end: int | None = self._consumer.highwater(TopicPartition(*partition))
        except KafkaError:  # the group has just taken it away
            return None
        return end

    def _open_consumer(self) -> KafkaConsumer:
        if self._consumer is None:
            self._consumer = open_consumer(self._settings, self._group)
        return self._consumer


def open_consumer(settings: KafkaSettings, group: str | None) -> KafkaConsumer:
    """Return a consumer that neither commits nor resets an offset by itself."""
    session = int(settings.session_timeout_seconds * 1000)
    return connected(
        GroupConsumer,
        settings,
        group_id=group,
        auto_offset_reset="none",
        enable_auto_commit=False,
        isolation_level="read_committed",
        allow_auto_create_topics=False,
        partition_assignment_strategy=[RoundRobinPartitionAssignor],
        session_timeout_ms=session,
        heartbeat_interval_ms=session // 3,
        max_poll_interval_ms=int(MAX_POLL_SECONDS * 1000),
        fetch_max_wait_ms=int(settings.fetch_wait_seconds * 1000),
        fetch_max_bytes=FETCH_BYTES,
        max_partition_fetch_bytes=PARTITION_FETCH_BYTES,
        metrics_enabled=False,
    )


def read_from(settings: KafkaSettings, partition: Partition, offset: int) -> list[Message]:
    """Return the messages of one fetch, without a group; none if no answer came in time."""
    consumer, where = open_consumer(settings, None), TopicPartition(*partition)
    try:
        consumer.assign([where])
        consumer.seek(where, offset)
        records = consumer.poll(timeout_ms=int(CONNECT_SECONDS * 1000)).get(where, [])
    except KafkaError as error:
        raise LogError(f"Kafka at {settings.brokers} refused: {error!r}.") from error
    finally:
        consumer.close(autocommit=False)
    return list(map(_message, map(_fields, records)))
