"""A Log in memory: what the learners produce stays in lists, nothing is fetched."""

from collections.abc import Mapping, Sequence

from streamrec.transport.log import Assigned, Message, Partition, Revoked


class MemoryLog:
    """The producing side of a Log, for learners that are driven by hand; `take` empties it."""

    def __init__(self, partitions: int) -> None:
        self._partitions = partitions
        self._ends: dict[Partition, int] = {}
        self._new: dict[Partition, list[Message]] = {}

    def take(self, topic: str) -> dict[Partition, list[Message]]:
        """Return what was produced to a topic since the last call."""
        found = {p: messages for p, messages in self._new.items() if p.topic == topic}
        for partition in found:
            del self._new[partition]
        return found

    def subscribe(self, topics: Sequence[str], on_assign: Assigned, on_revoke: Revoked) -> None:
        raise NotImplementedError

    def poll(
        self, timeout_seconds: float, max_messages: int
    ) -> Mapping[Partition, Sequence[Message]]:
        return {}

    def seek(self, partition: Partition, offset: int) -> None:
        raise NotImplementedError

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
        """Append one message to the partition that is named."""
        assert partition is not None
        place = Partition(topic, partition)
        offset = self._ends.get(place, 0)
        self._ends[place] = offset + 1
        self._new.setdefault(place, []).append(Message(offset, -1, key, value))

    def flush(self, timeout_seconds: float = 30.0) -> None:
        """Everything is here already."""

    def high_watermark(self, partition: Partition) -> int | None:
        return self._ends.get(partition, 0)

    def log_start(self, partition: Partition) -> int:
        return 0

    def partitions(self, topic: str) -> int:
        return self._partitions

    def commit(self, positions: Mapping[Partition, int]) -> None:
        """No group."""

    def close(self) -> None:
        """Nothing is open."""
