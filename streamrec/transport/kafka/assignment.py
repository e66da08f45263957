"""Which partitions a member of a consumer group owns, and where it stands in each."""

import time
from collections.abc import Callable, Mapping, Sequence

from streamrec.errors import LogError, OffsetGone
from streamrec.transport.kafka.log import Assigned, Partition, Revoked

# So long a position may lie past the end that fetches report before the end is asked for: after a
# change of leader they lag behind for a moment.
PAST_END_SECONDS = 3.0

End = Callable[[Partition], int | None]


class Assignment:
    """Turns a client's rebalance events into calls of `on_revoke` and `on_assign`.

    Clients report a rebalance from wherever it happens, one of them on its network thread; they
    only note it here (`assigned`, `lost`) and deliver nothing of the new partitions until
    `settle`, run by `poll` in the owner's thread, has asked for the offsets to start at.
    A partition that a rebalance leaves where it is goes on undisturbed.

    `fetched_end` gives the high watermark that the last fetch told, `asked_end` asks the broker.
    """

    def __init__(
        self, on_assign: Assigned, on_revoke: Revoked, fetched_end: End, asked_end: End
    ) -> None:
        self._on_assign = on_assign
        self._on_revoke = on_revoke
        self._fetched_end = fetched_end
        self._asked_end = asked_end
        self._events: list[frozenset[Partition] | None] = []  # None: all was lost
        self.positions: dict[Partition, int] = {}
        self._heard: dict[Partition, float] = {}
        self._past_end_since: dict[Partition, float] = {}

    @property
    def pending(self) -> bool:
        """Whether a rebalance waits for `settle`."""
        return bool(self._events)

    def assigned(self, partitions: Sequence[Partition]) -> None:
        """Note that the group gave this member exactly these partitions."""
        self._events.append(frozenset(partitions))

    def lost(self) -> None:
        """Note that others may have had all partitions while this member was silent."""
        self._events.append(None)

    def settle(self) -> Mapping[Partition, int]:
        """Run the callbacks that the noted events call for, and return where to continue.

        What a callback raises leaves its event in place: the next call tries it again.
        """
        while self._events:
            owned = self._events[0] or frozenset()
            gone = sorted(set(self.positions) - owned)
            if gone:
                self._on_revoke(gone)
                for partition in gone:
                    del self.positions[partition]
            fresh = sorted(owned - set(self.positions))
            if fresh:
                self.positions.update(self._starts(fresh))
            del self._events[0]
        return self.positions

    def advance(self, partition: Partition, next_offset: int) -> None:
        """Note that messages before `next_offset` were delivered."""
        if partition in self.positions:
            self.positions[partition] = next_offset
            self._heard[partition] = time.monotonic()

    def passed(self, partition: Partition, offset: int) -> None:
        """Note that nothing is delivered before `offset`."""
        if self.positions.get(partition, offset) < offset:
            self.positions[partition] = offset

    def position(self, partition: Partition) -> int:
        """Return where the partition goes on; raises LogError if it is not ours."""
        if partition not in self.positions:
            raise LogError(f"Partition {name_of(partition)} is not assigned to this process.")
        return self.positions[partition]

    def seek(self, partition: Partition, offset: int) -> None:
        """Note that the partition continues at `offset`; raises LogError if it is not ours."""
        self.position(partition)
        self.positions[partition] = offset

    def end(self, partition: Partition, quiet_seconds: float) -> int | None:
        """Return the partition's high watermark, if it is ours and was fetched.

        One that delivered nothing for so long is asked for: a partition that the client fetches
        no more would show no lag for ever.
        """
        if partition not in self.positions:
            return None
        fetched = self._fetched_end(partition)
        now = time.monotonic()
        if now - self._heard.setdefault(partition, now) < quiet_seconds:
            return fetched
        self._heard[partition] = now
        asked = self._asked_end(partition)
        return max((end for end in (fetched, asked) if end is not None), default=None)

    def refuse_past_end(self) -> None:
        """Raise OffsetGone where a position lies past the partition's end.

        Kafka refuses such a fetch by itself. The embedded broker, whose topics are gone after a
        restart, only has nothing to deliver, until the new messages have passed the position.
        """
        now = time.monotonic()
        for partition, position in self.positions.items():
            fetched = self._fetched_end(partition)
            if fetched is None or position <= fetched:
                self._past_end_since.pop(partition, None)
            elif now - self._past_end_since.setdefault(partition, now) >= PAST_END_SECONDS:
                asked = self._asked_end(partition)
                if asked is not None and asked < position:
                    raise OffsetGone(offset_gone(partition, position))

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
