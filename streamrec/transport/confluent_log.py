"""The Log on confluent-kafka (librdkafka): a fifth of kafka-python's CPU a message."""

import logging
import time
from collections.abc import Mapping, Sequence
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition

from streamrec.config import KafkaSettings
from streamrec.errors import (
    BrokerUnavailable,
    ConfigurationError,
    DeliveryFailed,
    LogError,
    OffsetGone,
    WrongTopic,
)
from streamrec.transport.assignment import Assignment, offset_gone
from streamrec.transport.client_settings import (
    CONNECT_SECONDS,
    DELIVERY_SECONDS,
    FETCH_BYTES,
    MAX_MESSAGE_BYTES,
    MAX_POLL_SECONDS,
    PARTITION_FETCH_BYTES,
    confluent_settings,
    unreachable,
)
from streamrec.transport.log import Assigned, Message, Partition, Revoked

# Waiting again does not help against these; every other error of a poll is tried again.
FATAL = {
    KafkaError._FATAL,
    KafkaError._AUTHENTICATION,
    KafkaError._BAD_MSG,
    KafkaError.TOPIC_AUTHORIZATION_FAILED,
    KafkaError.GROUP_AUTHORIZATION_FAILED,
    KafkaError.INVALID_SESSION_TIMEOUT,
    KafkaError.INCONSISTENT_GROUP_PROTOCOL,
    KafkaError.INVALID_GROUP_ID,
    KafkaError.UNSUPPORTED_SASL_MECHANISM,
    KafkaError.SASL_AUTHENTICATION_FAILED,
}
GONE = {KafkaError._AUTO_OFFSET_RESET, KafkaError.OFFSET_OUT_OF_RANGE}
# A rebalance is settled between two polls of the client, so no poll of it lasts longer.
SLICE_SECONDS = 0.1

logger = logging.getLogger(__name__)


class ConfluentLog:
    """See streamrec.transport.log.Log."""

    def __init__(self, settings: KafkaSettings, group: str | None = None) -> None:
        self._settings = settings
        self._group = group
        self._consumer: Any = None
        self._producer: Any = None
        self._assignment: Assignment | None = None
        self._failure: object = None
        self._gone: dict[Partition, OffsetGone] = {}
        self._names: dict[tuple[str, int], Partition] = {}

    def subscribe(self, topics: Sequence[str], on_assign: Assigned, on_revoke: Revoked) -> None:
        """Join the consumer group."""
        if self._group is None:
            raise LogError("This Log was opened without a consumer group: it cannot subscribe.")
        assignment = self._assignment = Assignment(on_assign, on_revoke)

        # librdkafka assigns by itself, at the group's committed offsets, where the callback does
        # not; an empty assignment holds everything back until `settle` knows the offsets
        def assigned(consumer: Any, partitions: list[Any]) -> None:
            assignment.assigned([_partition(where) for where in partitions])
            consumer.assign([])

        def revoked(consumer: Any, partitions: list[Any]) -> None:
            consumer.unassign()

        def lost(consumer: Any, partitions: list[Any]) -> None:
            assignment.lost([_partition(where) for where in partitions])
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
            if found or time.monotonic() >= deadline:
                return found
            if self._gone:
                raise next(iter(self._gone.values()))

    def seek(self, partition: Partition, offset: int) -> None:
        """Continue an assigned partition at `offset`."""
        if self._assignment is None or self._consumer is None:
            raise LogError("seek before subscribe.")
        self._assignment.seek(partition, offset)
        self._gone.pop(partition, None)
        deadline = time.monotonic() + CONNECT_SECONDS
        while True:
            try:
                self._consumer.seek(TopicPartition(*partition, offset))
                return
            except KafkaException as error:
                # a partition assigned a moment ago cannot be sought before its fetch began
                if error.args[0].code() != KafkaError._STATE or time.monotonic() > deadline:
                    raise LogError(f"Kafka client: {error}.") from error
                time.sleep(0.01)

    def produce(
        self,
        topic: str,
        value: bytes | None,
        *,
        key: bytes | None = None,
        partition: int | None = None,
        headers: Sequence[tuple[str, bytes]] = (),
        timestamp: int | None = None,
    ) -> None:
        """Queue one message; what goes wrong is raised by the next flush."""
        if self._failure is not None:
            return
        producer = self._open_producer()
        options: dict[str, Any] = {"headers": list(headers)} if headers else {}
        if partition is not None:
            options["partition"] = partition
        if timestamp is not None:
            options["timestamp"] = timestamp
        deadline = time.monotonic() + DELIVERY_SECONDS
        while self._failure is None:
            try:
                producer.produce(topic, value, key, on_delivery=self._delivered, **options)
                return
            except BufferError as error:  # its queue is full
                if time.monotonic() > deadline:
                    self._failure = error
                producer.poll(SLICE_SECONDS)
            except KafkaException as error:
                self._failure = error.args[0]

    def flush(self, timeout_seconds: float = 30.0) -> None:
        """Wait until all queued messages are acknowledged."""
        if self._producer is not None and self._failure is None:
            left = self._producer.flush(timeout_seconds)
            if left and self._failure is None:
                self._failure = f"{left} messages were not sent in {timeout_seconds:g} s"
        if self._failure is None:
            return
        failure, self._failure = self._failure, None
        self._drop_producer()
        raise DeliveryFailed(
            f"Kafka at {self._settings.brokers} did not acknowledge a message: {failure}. "
            "Nothing after it is committed; it is sent again."
        )

    def high_watermark(self, partition: Partition) -> int | None:
        """Return the offset after the partition's last message, if known."""
        if self._consumer is None or self._assignment is None:
            return None
        if partition not in self._assignment.positions:
            return None
        where = TopicPartition(*partition)
        # a partition that is fetched no more would show no lag for ever: ask
        ask = self._assignment.quiet(partition, self._settings.stuck_seconds / 2)
        try:
            marks = [self._consumer.get_watermark_offsets(where, cached=True)]
            if ask:
                marks.append(self._consumer.get_watermark_offsets(where, timeout=1, cached=False))
        except KafkaException:
            return None
        high: int = max(mark[1] for mark in marks if mark) if any(marks) else -1
        return high if high >= 0 else None

    def log_start(self, partition: Partition) -> int:
        """Return the first offset Kafka still has of the partition."""
        try:
            marks = self._open_consumer().get_watermark_offsets(
                TopicPartition(*partition), timeout=CONNECT_SECONDS, cached=False
            )
        except KafkaException as error:
            raise BrokerUnavailable(unreachable(self._settings, error)) from None
        if marks is None:
            raise BrokerUnavailable(unreachable(self._settings, "no answer"))
        return int(marks[0])

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
        if self._producer is not None:
            self._producer.flush(5.0)
            self._drop_producer()

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
        logger.warning("kafka: %s; trying again", error)

    def _settle(self, consumer: Any, assignment: Assignment) -> None:
        positions = assignment.settle()
        consumer.assign([TopicPartition(*where, offset) for where, offset in positions.items()])
        self._gone = {where: gone for where, gone in self._gone.items() if where in positions}

    def _messages(
        self, batch: list[Any], assignment: Assignment
    ) -> dict[Partition, list[Message]]:
        found: dict[tuple[str, int], list[Message]] = {}
        for raw in batch:
            if raw.error() is not None:
                self._failed_message(raw, assignment)
                continue
            message = Message(raw.offset(), raw.timestamp()[1], raw.key(), raw.value())
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

    def _failed_message(self, raw: Any, assignment: Assignment) -> None:
        error = raw.error()
        if error.code() in GONE and raw.topic() is not None:
            # librdkafka tells it once and then fetches the partition no more
            partition = Partition(raw.topic(), raw.partition())
            position = assignment.positions.get(partition)
            self._gone[partition] = OffsetGone(offset_gone(partition, position))
        else:
            self._failed_poll(error)

    def _delivered(self, error: object, message: object) -> None:
        if error is not None and self._failure is None:
            self._failure = error

    def _metadata(self, topic: str | None) -> Any:
        client = self._consumer or self._producer or self._open_consumer()
        try:
            return client.list_topics(topic, timeout=CONNECT_SECONDS)
        except KafkaException as error:
            raise BrokerUnavailable(unreachable(self._settings, error.args[0].str())) from None

    def _open_consumer(self) -> Any:
        if self._consumer is None:
            settings = self._settings
            session = int(settings.session_timeout_seconds * 1000)
            self._consumer = self._connected(
                Consumer,
                {
                    "group.id": self._group or "streamrec-no-group",
                    "auto.offset.reset": "error",
                    "enable.auto.commit": False,
                    "enable.auto.offset.store": False,
                    "isolation.level": "read_committed",
                    "partition.assignment.strategy": "roundrobin",
                    "session.timeout.ms": session,
                    "heartbeat.interval.ms": session // 3,
                    "max.poll.interval.ms": int(MAX_POLL_SECONDS * 1000),
                    "fetch.wait.max.ms": int(settings.fetch_wait_seconds * 1000),
                    "fetch.max.bytes": FETCH_BYTES,
                    "max.partition.fetch.bytes": PARTITION_FETCH_BYTES,
                    "queued.max.messages.kbytes": FETCH_BYTES // 1024,
                    "fetch.queue.backoff.ms": 10,
                    "fetch.error.backoff.ms": 100,
                },
            )
        return self._consumer

    def _open_producer(self) -> Any:
        if self._producer is None:
            self._producer = self._connected(
                Producer,
                {
                    "enable.idempotence": True,
                    "acks": "all",
                    "partitioner": "murmur2_random",
                    "compression.type": "lz4",
                    "linger.ms": 2,
                    "message.max.bytes": MAX_MESSAGE_BYTES,
                    "delivery.timeout.ms": int(DELIVERY_SECONDS * 1000),
                    "delivery.report.only.error": True,
                },
            )
        return self._producer

    def _connected(self, client: Any, own: dict[str, Any]) -> Any:
        try:
            return client(confluent_settings(self._settings, own), logger=logger)
        except KafkaException as error:
            raise ConfigurationError(f"kafka.client_settings: {error.args[0].str()}") from None

    def _drop_producer(self) -> None:
        producer, self._producer = self._producer, None
        producer.purge()
        producer.flush(0)


def _partition(where: Any) -> Partition:
    return Partition(where.topic, where.partition)
