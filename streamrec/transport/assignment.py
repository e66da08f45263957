"""Which partitions a member of a consumer group owns, and where it stands in each."""

import time
from collections.abc import Mapping, Sequence

from streamrec.errors import LogError
from streamrec.transport.log import Assigned, Partition, Revoked


class Assignment:
    """Turns a client's rebalance events into calls of `on_revoke` and `on_assign`.

    Clients report a rebalance from wherever it happens, one of them on its network thread; they
    only note it here (`assigned`, `lost`) and deliver nothing of the new partitions until
    `settle`, run by `poll` in the owner's thread, has asked for the offsets to start at.
    A partition that a rebalance leaves where it is goes on undisturbed.
    """

    def __init__(self, on_assign: Assigned, on_revoke: Revoked) -> None:
        self._on_assign = on_assign
        self._on_revoke = on_revoke
        self._events: list[tuple[bool, frozenset[Partition]]] = []
        self.positions: dict[Partition, int] = {}
        self._heard: dict[Partition, float] = {}

    @property
    def pending(self) -> bool:
        """Whether a rebalance waits for `settle`."""
        return bool(self._events)

    def assigned(self, partitions: Sequence[Partition]) -> None:
        """Note that the group gave this member exactly these partitions."""
        self._events.append((True, frozenset(partitions)))

    def lost(self, partitions: Sequence[Partition]) -> None:
        """Note that the group gave these partitions away while this member was silent."""
        self._events.append((False, frozenset(partitions)))

    def settle(self) -> Mapping[Partition, int]:
        """Run the callbacks that the noted events call for, and return where to continue.

        What a callback raises leaves its event in place: the next call tries it again.
        """
        while self._events:
            is_assignment, named = self._events[0]
            gone = set(self.positions) - named if is_assignment else set(self.positions) & named
            if gone:
                self._on_revoke(sorted(gone))
                for partition in gone:
                    del self.positions[partition]
            fresh = sorted(named - set(self.positions)) if is_assignment else []
            if fresh:
                self.positions.update(self._starts(fresh))
            del self._events[0]
        return self.positions

    def advance(self, partition: Partition, next_offset: int) -> None:
        """Note that messages before `next_offset` were delivered."""
        if partition in self.positions:
            self.positions[partition] = next_offset
            self._heard[partition] = time.monotonic()

    def seek(self, partition: Partition, offset: int) -> None:
        """Note that the partition continues at `offset`; raises LogError if it is not ours."""
        if partition not in self.positions:
            raise LogError(f"Partition {name_of(partition)} is not assigned to this process.")
        self.positions[partition] = offset

    def quiet(self, partition: Partition, seconds: float) -> bool:
        """Return whether nothing came for so long; then not again before it lasts once more."""
        now = time.monotonic()
        if now - self._heard.setdefault(partition, now) < seconds:
            return False
        self._heard[partition] = now
        return True

    def _starts(self, fresh: Sequence[Partition]) -> dict[Partition, int]:
        starts = self._on_assign(fresh)
        missing = [name_of(partition) for partition in fresh if partition not in starts]
        if missing:
            raise LogError(f"No offset to start at was given for {', '.join(missing)}.")
        return {partition: starts[partition] for partition in fresh}


def name_of(partition: Partition) -> str:
    """Return the partition's name for people: topic/number."""
    return f"{partition.topic}/{partition.number}"


def offset_gone(partition: Partition, offset: int | None) -> str:
    """Return the text of OffsetGone."""
    where = "its offset" if offset is None else f"offset {offset}"
    return (
        f"Kafka no longer has {where} of {name_of(partition)}: messages that were not learnt are "
        "deleted, or the topic was made anew. Restore the topic, or accept the loss: delete this "
        "group's state in Redis and learn again from what Kafka still has."
    )
