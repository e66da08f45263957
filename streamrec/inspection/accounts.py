"""Is every event accounted for: where Redis stands against where Kafka's partitions end."""

import time
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

import msgspec

from streamrec.errors import BrokerUnavailable
from streamrec.inspection.stored_state import ShardMeta, Stored
from streamrec.settings.sections import KafkaSettings
from streamrec.transport.kafka.log import Partition
from streamrec.transport.kafka.open_log import open_kafka
from streamrec.transport.redis.keys import shard_letters

EXIT_CLEAN, EXIT_WORK_LEFT, EXIT_BROKEN = 0, 2, 3
ANSWER_SECONDS = 30.0
QUIET_SECONDS = 0.3
"""Partitions are fetched for at least so long: their ends may be those of an earlier fetch."""
OPEN_SECONDS = 3.0
"""So long after which what cannot be read is taken for an open transaction."""
COUNTED = ("accepted", "duplicate", "suppressed", "rejected", "control")


class ShardReport(msgspec.Struct):
    """One partition: where its shard stands, where the log ends, and what was counted.

    Of an updates partition: the marks of its sources, and how far they are behind the sources'
    own offsets.
    """

    topic: str
    partition: int
    offset: int
    end: int
    lag: int
    counters: dict[str, int] = {}
    marks: dict[str, int] = {}
    behind: dict[str, int] = {}
    broken: list[str] = []


class Report(msgspec.Struct):
    """All partitions; `due` users wait for a new list."""

    shards: list[ShardReport]
    due: int

    @property
    def broken(self) -> list[str]:
        """What cannot be, however long one waits."""
        return [f"{s.topic}/{s.partition}: {line}" for s in self.shards for line in s.broken]

    @property
    def work_left(self) -> bool:
        """Whether messages are not learnt yet, or users wait for a list."""
        return self.due > 0 or any(shard.lag > 0 for shard in self.shards)

    @property
    def exit_code(self) -> int:
        """0 all accounted for and nothing left; 2 work is left; 3 the law does not hold."""
        if self.broken:
            return EXIT_BROKEN
        return EXIT_WORK_LEFT if self.work_left else EXIT_CLEAN


def take(kafka: KafkaSettings, stored: Stored, ends: "Ends") -> Report:
    """Compare what Redis has with where Kafka's partitions end.

    The order of the looks matters: a user shard's updates are in Kafka before its offset is in
    Redis. So an item shard, looked at after the sources, that stands at an end of the log looked
    at later still, must have all their updates.
    """
    sources = stored.metas("u") | stored.metas("m")
    metas = sources | stored.metas("i")
    due = stored.store.due_count(stored.names("u"))
    shards = []
    named = {ends.shard(part): part for part in ends.starts}
    stood = {named[name]: meta.offset for name, meta in metas.items() if name in named}
    for part, (start, end, more) in sorted(ends.look(stood).items()):
        meta = metas.get(ends.shard(part)) or ShardMeta(start, start)
        lag = end - meta.offset if more or meta.offset > end else 0
        shard = ShardReport(*part, meta.offset, end, lag, meta.counters)
        shard.broken = [*_place(meta, start, end), *_law(meta)]
        if part.topic == kafka.updates_topic:
            shard.marks, shard.behind = meta.marks, _behind(meta, sources)
            if shard.lag == 0:
                shard.broken += [f"{n} events of {s} missing" for s, n in shard.behind.items()]
        shards.append(shard)
    return Report(shards, due)


def _behind(meta: ShardMeta, sources: dict[str, ShardMeta]) -> dict[str, int]:
    """Return how many offsets an item shard's marks are behind the sources, where they are."""
    gaps = {name: s.offset - meta.marks.get(name, s.start) for name, s in sources.items()}
    return {name: gap for name, gap in gaps.items() if gap > 0}


def _place(meta: ShardMeta, start: int, end: int) -> Iterator[str]:
    """Check that Kafka still has, or ever had, the offset."""
    if meta.offset < start:
        yield f"offset {meta.offset} is gone, the log starts at {start}: events between are lost"
    if meta.offset > end:
        yield f"offset {meta.offset} is after the log's end {end}: the topic was made anew"


def _law(meta: ShardMeta) -> Iterator[str]:
    """Check the conservation law, and that no offset was counted twice."""
    consumed = meta.counters.get("consumed", 0)
    told = sum(meta.counters.get(name, 0) for name in COUNTED)
    if consumed != told:
        yield f"consumed {consumed} is not {' + '.join(COUNTED)} = {told}"
    if consumed > meta.offset - meta.start:
        yield f"consumed {consumed} messages in {meta.offset - meta.start} offsets"


class End(NamedTuple):
    """Where a partition begins and ends, and whether there is anything to read after an offset."""

    start: int
    end: int
    more: bool


class Ends:
    """Where partitions begin and end, seen by a group of its own.

    The embedded broker answers the direct question for an end wrongly, so the high watermarks of
    fetches count too. What can never be read (markers, aborted and compacted messages) is passed.
    """

    def __init__(self, settings: KafkaSettings, topics: Sequence[str] = ()) -> None:
        """Connect; without `topics` those of the two folds are looked at."""
        # 6 s: the shortest that every broker takes, and the shorter the sooner the group is joined
        session = min(settings.session_timeout_seconds, 6.0)
        own = msgspec.structs.replace(settings, session_timeout_seconds=session)
        self._log = open_kafka(own, f"{settings.group}-audit-{uuid.uuid4().hex[:8]}")
        self._letters = shard_letters(settings)
        topics = topics or list(self._letters)
        parts = [Partition(t, n) for t in topics for n in range(self._log.partitions(t))]
        self.starts = {part: self._log.log_start(part) for part in parts}
        self._log.subscribe(topics, lambda fresh: {p: self.starts[p] for p in fresh}, _ignore)

    def shard(self, part: Partition) -> str:
        """Return the name of the shard that is folded from a partition."""
        return f"{self._letters[part.topic]}{part.number}"

    def look(self, stood: Mapping[Partition, int]) -> dict[Partition, End]:
        """Return the ends as of now; `stood`: where shards stood before this call.

        Every partition is fetched from there until a message comes, or there is none to read.
        """
        began = time.monotonic()
        while any(self._log.high_watermark(part) is None for part in self.starts):
            self._poll(began)
        asked = {part: self._log.log_end(part) or 0 for part in self.starts}
        for part, start in self.starts.items():
            self._log.seek(part, min(max(start, stood.get(part, start)), self._end(part, asked)))
        more: set[Partition] = set()
        sought = time.monotonic()
        while time.monotonic() - sought < QUIET_SECONDS or not all(
            part in more or self._log.position(part) >= self._readable(part, asked, sought)
            for part in self.starts
        ):
            for part in self._poll(began):
                more.add(part)
                self._log.seek(part, self._end(part, asked))
        return {
            part: End(start, self._end(part, asked), part in more)
            for part, start in self.starts.items()
        }

    def _end(self, part: Partition, asked: Mapping[Partition, int]) -> int:
        return max(self._log.high_watermark(part) or 0, asked[part])

    def _readable(self, part: Partition, asked: Mapping[Partition, int], sought: float) -> int:
        """Return up to where a partition can be read: after a while, open transactions count not.

        Until then the larger answer counts: the embedded broker's own is too small.
        """
        waited = time.monotonic() - sought > OPEN_SECONDS
        return asked[part] if waited else self._end(part, asked)

    def _poll(self, began: float) -> Iterable[Partition]:
        if time.monotonic() - began > ANSWER_SECONDS:
            raise BrokerUnavailable(
                f"Kafka did not say within {ANSWER_SECONDS:g} s where its partitions end. "
                "`streamrec doctor` checks the connection."
            )
        return self._log.poll(0.05, 100)

    def close(self) -> None:
        """Leave the group."""
        self._log.close()


def _ignore(revoked: Sequence[Partition]) -> None:
    """Nothing is kept of a partition."""
