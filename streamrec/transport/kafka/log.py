"""The Kafka port: what streamrec needs of a Kafka client, and nothing more."""

from collections.abc import Callable, Mapping, Sequence
from hashlib import sha256
from typing import NamedTuple, Protocol

from kafka.partitioner import murmur2

LONGEST_BYTES = 8 * 1024 * 1024
"""Longest value that is kept whole: no update record is longer, no event that long is read."""
MOST_KEPT_BYTES = 1024 * 1024
"""Of a refused message, in memory and in its dead letter."""


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


class Unreadable(bytes):
    """Stands in a Message's value for what cannot be read of a batch; the text says why."""


class Cut(bytes):
    """Stands in a Message's value for a longer one: its first bytes, `length` and `sha256`."""

    length: int
    sha256: str


def cut(value: bytes) -> Cut:
    """Return a value as it may be kept in memory until its dead letter is sent."""
    first = Cut(value[:MOST_KEPT_BYTES])
    first.length, first.sha256 = len(value), sha256(value).hexdigest()
    return first


def partition_of(key: bytes, partitions: int) -> int:
    """Return which partition producers put a key into: murmur2, as Java does."""
    return int(murmur2(key) & 0x7FFFFFFF) % partitions


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
        """Continue an assigned partition at `offset`, also one that is held."""

    def hold(self, partition: Partition) -> None:
        """Fetch nothing of an assigned partition until the next seek (or rebalance)."""

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
        """Wait until all queued messages are acknowledged.

        Raises DeliveryFailed if one was not, WriteRefused if its topic takes none of ours,
        MessageRefused if it is one that Kafka never will take.
        """

    def connect(self, topic: str) -> None:
        """Connect, which the first message would wait for; the next flush raises why not."""

    def give_up(self) -> None:
        """Let what waits to produce or flush fail; the only call that another thread may make."""

    def high_watermark(self, partition: Partition) -> int | None:
        """Return the offset after the partition's last message as of the last fetch, if known."""

    def position(self, partition: Partition) -> int:
        """Return the offset that an assigned partition goes on at.

        It is behind the last message delivered, and behind what follows it that never will be:
        markers and aborted messages of transactions, messages that were compacted away.
        """

    def log_end(self, partition: Partition) -> int | None:
        """Ask the broker for the offset up to which the partition can be read; None: no answer.

        Messages of open transactions cannot be read. The embedded broker says too little.
        """

    def log_start(self, partition: Partition) -> int:
        """Return the first offset Kafka still has of the partition."""

    def partitions(self, topic: str) -> int:
        """Return how many partitions the topic has; raises WrongTopic when it does not exist."""

    def commit(self, positions: Mapping[Partition, int]) -> None:
        """Tell the group coordinator the positions, for lag display only; failures are ignored."""

    def close(self) -> None:
        """Leave the group and close all connections."""
