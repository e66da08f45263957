"""The flow in one process, with the bytes between its stages that Kafka and Redis would hold."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from benchmarks.clicks import Clicks, event
from streamrec.flow import Flow, deliver, load
from streamrec.settings.sections import Settings
from streamrec.state import updates
from streamrec.state.item_rows import ITEMS
from streamrec.state.user_fold import Decoded

PARTITIONS = 4
BATCH = 500
REFRESH_EVENTS = 2_000
Rows = dict[str, dict[bytes, bytes]]


class Pipeline(Flow):
    """One user shard, an item shard for each partition, and their item table."""

    def __init__(self, settings: Settings, *, with_lists: bool = False) -> None:
        super().__init__(settings, 1, PARTITIONS, with_lists=with_lists)
        self.user_rows: dict[bytes, bytes] = {}
        self._since_refresh = 0

    def send(self, batch: Sequence[Decoded]) -> list[bytes]:
        """Return what the user stage says about one batch of loaded users, as it travels."""
        fold = self.users[0].fold(batch, batch[-1][0] + 1, self.table)
        return [updates.encode(record) for record in fold.records]

    def receive(self, records: Sequence[bytes]) -> None:
        """Let every owner learn its record."""
        deliver(self.items, [updates.decode(record) for record in records])

    def user_changes(self) -> Rows:
        """Return the changed user rows, as a commit does."""
        rows, _ = self.users[0].changes()
        self.users[0].committed()
        return rows

    def item_changes(self) -> list[Rows]:
        """Return the changed rows of each item shard, as a commit does."""
        return [shard.changes()[0] for shard in self.items]

    def refresh(self, changes: Sequence[Rows]) -> None:
        """Bring the table up to date with what the owners changed."""
        for rows in changes:
            for kind, changed in rows.items():
                if self.table.with_lists or kind == ITEMS:  # as transport/redis/item_feed.py reads
                    self.table.apply(kind, list(changed.items()))

    def take(self, batch: Sequence[Decoded]) -> None:
        """Learn one batch wholly; the table follows every 2,000 events."""
        load(self.users[0], batch, lambda missing: [None] * len(missing))
        self.receive(self.send(batch))
        self.user_rows.update(self.user_changes()["users"])
        self._since_refresh += len(batch)
        if self._since_refresh >= REFRESH_EVENTS:
            self._since_refresh = 0
            self.refresh(self.item_changes())


class Feed:
    """The clicks in decoded batches, over and over, each time with new ids and offsets."""

    def __init__(self, clicks: Clicks) -> None:
        self._clicks = clicks
        self._next = 0

    def batches(self, events: int) -> Iterator[list[Decoded]]:
        """Return the next batches of up to 500 events, `events` in all."""
        for first in range(0, events, BATCH):
            yield [self._one() for _ in range(min(BATCH, events - first))]

    def _one(self) -> Decoded:
        offset, self._next = self._next, self._next + 1
        one = event(self._clicks, offset % len(self._clicks), offset)
        return offset, one.ts, one


class Warmed(NamedTuple):
    """A pipeline that has learnt something, and what comes next."""

    pipeline: Pipeline
    feed: Feed


def warmed(settings: Settings, clicks: Clicks, events: int, *, with_lists: bool = False) -> Warmed:
    """Return a pipeline after its first `events` events."""
    pipeline, feed = Pipeline(settings, with_lists=with_lists), Feed(clicks)
    for batch in feed.batches(events):
        pipeline.take(batch)
    pipeline.refresh(pipeline.item_changes())
    return Warmed(pipeline, feed)
