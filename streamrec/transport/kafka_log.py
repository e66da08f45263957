"""The Kafka port: what streamrec needs of a Kafka client, and nothing more."""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, Protocol


class Partition(NamedTuple):
    """One partition of one topic."""

    topic: str
    number: int


class Message(NamedTuple):
    """One raw Kafka message; `timestamp` is the log's, in epoch ms (-1 when it has none)."""

    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None


Assigned = Callable[[Sequence[Partition]], Mapping[Partition, int]]
Revoked = Callable[[Sequence[Partition]], None]


class Log(Protocol):
    """A consumer and an idempotent producer on one Kafka cluster.

    A Log belongs to one thread. The consumer never commits by itself, never resets an offset by
    itself (`auto_offset_reset` is none) and delivers each partition in offset order. Both
    callbacks run inside `poll`. Both adapters pass the laws in tests/laws/test_log.py.
    """

    def subscribe(self, topics: Sequence[str], on_assign: Assigned, on_revoke: Revoked) -> None:
        """Join the consumer group; `on_assign` returns where each new partition starts."""

    def poll(
        self, timeout_seconds: float, max_messages: int
    ) -> Mapping[Partition, Sequence[Message]]:
        """Return the next messages by partition, waiting at most `timeout_seconds` for a first one.

        Raises OffsetGone when Kafka no longer has the position, BrokerUnavailable on a fatal loss.
        """

    def seek(self, partition: Partition, offset: int) -> None:
        """Continue an assigned partition at `offset`."""

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
        """Queue one message; without `partition`, murmur2 of the key chooses it (as Java does)."""

    def flush(self, timeout_seconds: float = 30.0) -> None:
        """Wait until all queued messages are acknowledged; raises DeliveryFailed if one was not."""

    def high_watermark(self, partition: Partition) -> int | None:
        """Return the offset after the partition's last message as of the last fetch, if known."""

    def log_start(self, partition: Partition) -> int:
        """Return the first offset Kafka still has of the partition."""

    def partitions(self, topic: str) -> int:
        """Return how many partitions the topic has; raises WrongTopic when it does not exist."""

    def commit(self, positions: Mapping[Partition, int]) -> None:
        """Tell the group coordinator the positions, for lag display only; failures are ignored."""

    def close(self) -> None:
        """Leave the group and close all connections."""
