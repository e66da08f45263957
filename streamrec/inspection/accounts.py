"""Is every event accounted for: where Redis stands against where Kafka's partitions end."""

import time
import uuid
from collections.abc import Iterator, Sequence

import msgspec

from streamrec.errors import BrokerUnavailable
from streamrec.inspection.stored_state import ShardMeta, Stored
from streamrec.settings.sections import KafkaSettings
from streamrec.transport.kafka_log import Partition
from streamrec.transport.open_kafka import open_kafka

EXIT_CLEAN, EXIT_WORK_LEFT, EXIT_BROKEN = 0, 2, 3
ANSWER_SECONDS = 30.0
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
    kinds = {kafka.events_topic: "u", kafka.items_topic: "m", kafka.updates_topic: "i"}
    shards = []
    for (topic, number), (start, end) in sorted(ends.look().items()):
        meta = metas.get(f"{kinds[topic]}{number}") or ShardMeta(start, start)
        shard = ShardReport(topic, number, meta.offset, end, end - meta.offset, meta.counters)
        shard.broken = [*_place(meta, start, end), *_law(meta)]
        if topic == kafka.updates_topic:
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


class Ends:
    """First offset of each partition, and the one after its last, seen by a group of its own.

    The latter are the high watermarks of fetches: the embedded broker answers the direct question
    for them wrongly.
    """

    def __init__(self, settings: KafkaSettings) -> None:
        # 6 s: the shortest that every broker takes, and the shorter the sooner the group is joined
        session = min(settings.session_timeout_seconds, 6.0)
        own = msgspec.structs.replace(settings, session_timeout_seconds=session)
        self._log = open_kafka(own, f"{settings.group}-audit-{uuid.uuid4().hex[:8]}")
        topics = [settings.events_topic, settings.items_topic, settings.updates_topic]
        parts = [Partition(t, n) for t in topics for n in range(self._log.partitions(t))]
        self._starts = {part: self._log.log_start(part) for part in parts}
        self._log.subscribe(topics, lambda fresh: {p: self._starts[p] for p in fresh}, _ignore)

    def look(self) -> dict[Partition, tuple[int, int]]:
        """Return (first offset, offset after the last) of each partition, as of now.

        The last message is fetched again: its answer cannot be older than this call.
        """
        self._poll(set())
        ends = {part: self._log.high_watermark(part) or 0 for part in self._starts}
        again = {part for part, start in self._starts.items() if ends[part] > start}
        for part in again:
            self._log.seek(part, ends[part] - 1)
        self._poll(again)
        return {p: (s, self._log.high_watermark(p) or 0) for p, s in self._starts.items()}

    def _poll(self, waiting: set[Partition]) -> None:
        """Poll until each partition's end is known, and something of those `waiting` came."""
        deadline = time.monotonic() + ANSWER_SECONDS
        while waiting or any(self._log.high_watermark(part) is None for part in self._starts):
            if time.monotonic() > deadline:
                raise BrokerUnavailable(
                    f"Kafka did not say within {ANSWER_SECONDS:g} s where its partitions end. "
                    "`streamrec doctor` checks the connection."
                )
            waiting.difference_update(self._log.poll(0.05, 100))

    def close(self) -> None:
        """Leave the group."""
        self._log.close()


def _ignore(revoked: Sequence[Partition]) -> None:
    """Nothing is kept of a partition."""
