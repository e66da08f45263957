"""A Kafka of lists: the Log port with the adapters' own Assignment, and faults on demand."""

from collections import defaultdict
from collections.abc import Mapping, Sequence

from streamrec.errors import DeliveryFailed, WrongTopic
from streamrec.transport.kafka.assignment import Assignment
from streamrec.transport.kafka.log import Assigned, Message, Partition, Revoked


class MemoryBroker:
    """Topics as lists of messages; `now_ms` is the time that new messages get."""

    def __init__(self, **partitions: int) -> None:
        self.counts = partitions
        self.messages: dict[Partition, list[Message]] = defaultdict(list)
        self.undelivered: dict[Partition, int] = {}  # up to here there are markers only
        self.headers: dict[tuple[Partition, int], dict[str, bytes]] = {}
        self.now_ms = 1_700_000_000_000

    def append(
        self, partition: Partition, value: bytes | None, key: bytes | None = None, gap: int = 0
    ) -> int:
        """Append one message, after a hole of `gap` offsets; return its offset."""
        log = self.messages[partition]
        offset = (log[-1].offset + 1 if log else 0) + gap
        log.append(Message(offset, self.now_ms, key, value))
        return offset


class MemoryLog:
    """One member of a group; `give` is what the group's coordinator would decide."""

    def __init__(self, broker: MemoryBroker) -> None:
        self.broker = broker
        self.topics: Sequence[str] = ()
        self.seeks: list[tuple[Partition, int]] = []
        self.committed: dict[Partition, int] = {}
        self.closed = False
        self.held: set[Partition] = set()
        self.fail: list[Exception] = []  # raised by the next polls
        self.lose_deliveries = 0
        self.keep_back: dict[Partition, int] = {}  # delivered again from here
        self._assignment: Assignment | None = None
        self._pending: list[tuple[Partition, bytes | None, bytes | None, dict[str, bytes]]] = []

    def subscribe(self, topics: Sequence[str], on_assign: Assigned, on_revoke: Revoked) -> None:
        self.topics = topics
        self._assignment = Assignment(
            on_assign, on_revoke, self.high_watermark, self.high_watermark
        )

    def give(self, *partitions: Partition) -> None:
        """Let the group give this member exactly these partitions, at the next poll."""
        assert self._assignment is not None
        self._assignment.assigned(partitions)

    def poll(
        self, timeout_seconds: float, max_messages: int
    ) -> Mapping[Partition, Sequence[Message]]:
        if self.fail:
            raise self.fail.pop(0)
        assert self._assignment is not None
        positions = dict(self._assignment.settle())
        found: dict[Partition, list[Message]] = {}
        for partition, position in positions.items():
            position = min(position, self.keep_back.pop(partition, position))
            log = self.broker.messages[partition]
            batch = [m for m in log if m.offset >= position][:max_messages]
            if batch and partition not in self.held:
                found[partition] = batch
                self._assignment.advance(partition, batch[-1].offset + 1)
        return found

    def seek(self, partition: Partition, offset: int) -> None:
        assert self._assignment is not None
        self._assignment.seek(partition, offset)
        self.held.discard(partition)
        self.seeks.append((partition, offset))

    def hold(self, partition: Partition) -> None:
        self.held.add(partition)

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
        self._pending.append((Partition(topic, partition or 0), value, key, dict(headers)))

    def flush(self, timeout_seconds: float = 30.0) -> None:
        pending, self._pending = self._pending, []
        lost = self.lose_deliveries > 0
        self.lose_deliveries -= lost
        for partition, value, key, headers in pending[: len(pending) // 2 if lost else None]:
            offset = self.broker.append(partition, value, key)
            self.broker.headers[partition, offset] = headers
        if lost:
            raise DeliveryFailed("half of the messages were not acknowledged")

    def connect(self, topic: str) -> None:
        pass

    def give_up(self) -> None:
        pass

    def high_watermark(self, partition: Partition) -> int | None:
        log = self.broker.messages[partition]
        last = log[-1].offset + 1 if log else 0
        return max(last, self.broker.undelivered.get(partition, 0))

    def position(self, partition: Partition) -> int:
        assert self._assignment is not None
        self._assignment.passed(partition, self.broker.undelivered.get(partition, 0))
        return self._assignment.position(partition)

    def log_end(self, partition: Partition) -> int | None:
        return self.high_watermark(partition)

    def log_start(self, partition: Partition) -> int:
        log = self.broker.messages[partition]
        return log[0].offset if log else 0

    def partitions(self, topic: str) -> int:
        if topic not in self.broker.counts:
            raise WrongTopic(f"no topic {topic}")
        return self.broker.counts[topic]

    def commit(self, positions: Mapping[Partition, int]) -> None:
        self.committed |= positions

    def close(self) -> None:
        self.closed = True
