"""Keeps a process's item table up to date from the owners' feeds of changed keys."""

import json
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from streamrec.metrics import Metrics
from streamrec.shards.item_table import ItemTable
from streamrec.transport.layout import key
from streamrec.transport.store import Store

KINDS = ("factors", "neighbours", "catalogue")
MOST_ENTRIES = 1000
MOST_REMOVED = 100_000


class ItemFeed:
    """Refreshes one item table: first all rows, then what changed; all rows again when behind.

    `marks` tells, for each item shard, up to which offset of each source the table has learnt.
    """

    def __init__(
        self, store: Store, shards: list[str], new_table: Callable[[], ItemTable], every: float
    ) -> None:
        self._store = store
        self._shards = shards
        self._new_table = new_table
        self._every = every
        self._positions: dict[str, bytes] = {}
        self._next: dict[str, int | None] = {}
        self._removed = 0
        self.table = new_table()
        self.marks: dict[str, dict[str, int]] = {}
        self.refreshed = 0.0

    def refresh(self, now: float, metrics: Metrics) -> bool:
        """Bring the table up to date if refresh_seconds have passed; say whether it did."""
        if now - self.refreshed < self._every:
            return False
        if self._removed > MOST_REMOVED:
            self.table, self._positions, self._removed = self._new_table(), {}, 0
        for shard in self._shards:
            if shard not in self._positions:
                self._load_all(shard)
                metrics.item_table_loads.labels("full").inc()
        feeds = self._store.feed(self._positions, MOST_ENTRIES)
        wanted: dict[str, dict[str, bytes]] = {}
        for shard, entries in feeds.items():
            if entries and not self._take(shard, entries, wanted):
                self._load_all(shard)
                metrics.item_table_loads.labels("full").inc()
        self._fetch(wanted)
        metrics.item_table_loads.labels("feed").inc()
        self.refreshed = now
        return True

    def age_events(self, source: str, offset: int) -> int:
        """Return how many events of a source, now at `offset`, the table has not learnt yet."""
        return max((offset - m.get(source, 0) for m in self.marks.values()), default=0)

    def _take(
        self,
        shard: str,
        entries: list[tuple[bytes, dict[bytes, bytes]]],
        wanted: dict[str, dict[str, bytes]],
    ) -> bool:
        """Collect the changed keys; False when entries before these were trimmed away."""
        changed: dict[str, list[bytes]] = {kind: [] for kind in KINDS}
        for position, fields in entries:
            head = json.loads(fields[b"head"])
            expected = self._next.get(shard)
            if expected is not None and head["first"] > expected:
                return False
            self._next[shard] = head["next"]
            self._positions[shard] = position
            self.marks[shard] = head["marks"]
            for kind in KINDS:
                changed[kind].append(fields.get(kind.encode(), b""))
            gone = fields.get(b"deleted", b"")
            if gone:
                self.table.remove(np.frombuffer(gone, "<u8"))
                self._removed += len(gone) // 8
        wanted[shard] = {kind: b"".join(parts) for kind, parts in changed.items()}
        return True

    def _fetch(self, wanted: dict[str, dict[str, bytes]]) -> None:
        calls: list[tuple[Any, ...]] = []
        targets: list[tuple[str, list[bytes]]] = []
        for shard, kinds in wanted.items():
            for kind in KINDS[: 3 if self.table.with_neighbours else 1]:
                fields = [k.tobytes() for k in np.unique(np.frombuffer(kinds[kind], "<u8"))]
                if fields:
                    calls.append(("HMGET", key(shard, kind), *fields))
                    targets.append((kind, fields))
        for (kind, fields), blobs in zip(targets, self._store.run(calls), strict=True):
            there = [(f, b) for f, b in zip(fields, blobs, strict=True) if b is not None]
            self._apply(kind, there)

    def _load_all(self, shard: str) -> None:
        """Read all rows of a shard; what changes meanwhile comes through the feed."""
        self._positions[shard] = self._store.feed_end(shard)
        self._next[shard] = None
        for kind in KINDS[: 3 if self.table.with_neighbours else 1]:
            rows = self._store.all_rows(shard, kind)
            self._apply(kind, list(rows.items()))
        marks = self._store.meta(shard).get(b"marks")
        self.marks[shard] = json.loads(marks) if marks else {}

    def _apply(self, kind: str, rows: list[tuple[bytes, bytes]]) -> None:
        if not rows:
            return
        keys: NDArray[np.uint64] = np.frombuffer(b"".join([k for k, _ in rows]), "<u8")
        blobs = [blob for _, blob in rows]
        if kind == "factors":
            self.table.apply_factors(keys, blobs)
        elif kind == "neighbours":
            self.table.apply_neighbours(keys, blobs)
        else:
            self.table.apply_catalogue(keys, blobs)
