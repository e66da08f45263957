"""Keeps a process's item table up to date from the owners' feeds of changed keys."""

import json
import logging
import time
from collections import defaultdict
from collections.abc import Callable, Mapping

import numpy as np

from streamrec.errors import StoreError, UnknownVersion
from streamrec.monitoring.metrics import Metrics
from streamrec.state.item_rows import BLEND, CATALOGUE, ITEMS, Stored, sound
from streamrec.state.item_table import ItemTable
from streamrec.state.schema import check_version
from streamrec.transport.redis.keys import key
from streamrec.transport.redis.store import Store

logger = logging.getLogger(__name__)
MOST_ENTRIES = 1000
MOST_REMOVED = 100_000
REST = 4.0  # a refresh takes at most a fifth of the time
Entries = list[tuple[bytes, dict[bytes, bytes]]]  # stream position, fields


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
        self._commits: dict[str, int] = {}
        self._removed = 0
        self.table = new_table()
        self._schema = schema = self.table.schema
        self._kinds = (*schema.kinds, CATALOGUE, BLEND) if self.table.with_lists else (ITEMS,)
        self.marks: dict[str, dict[str, int]] = {}
        self.refreshed = 0.0
        self._took = 0.0

    def refresh(self, now: float, metrics: Metrics) -> bool:
        """Bring the table up to date if refresh_seconds have passed; say whether it did."""
        if now - self.refreshed < max(self._every, REST * self._took):
            return False
        started = time.monotonic()
        if self._removed > MOST_REMOVED:
            self.table, self._positions, self._removed = self._new_table(), {}, 0
        for shard in self._shards:
            if shard not in self._positions:
                self._load_all(shard)
                metrics.item_table_loads.labels("full").inc()
        behind = self._follow(entries_after(self._store, self._positions, MOST_ENTRIES))
        self._catch_up(behind, metrics)
        metrics.item_table_loads.labels("feed").inc()
        self.refreshed = now
        self._took = time.monotonic() - started
        return True

    def _catch_up(self, shards: list[str], metrics: Metrics) -> None:
        """Read all rows of shards; one that Redis does not give stays as it is until it does."""
        for shard in shards:
            try:
                self._load_all(shard)
                metrics.item_table_loads.labels("full").inc()
            except StoreError:
                metrics.redis_errors.labels("item_table").inc()

    def age_events(self, source: str, offset: int) -> int:
        """Return how many events of a source, now at `offset`, the table has not learnt yet."""
        return max((offset - m.get(source, 0) for m in self.marks.values()), default=0)

    def _follow(self, feeds: Mapping[str, Entries]) -> list[str]:
        """Apply what changed; return the shards whose entries before these were trimmed away."""
        heads = {s: [json.loads(f[b"head"]) for _, f in feed] for s, feed in feeds.items() if feed}
        behind = [s for s, h in heads.items() if h[0]["commit"] > self._commits[s] + 1]
        wanted: list[tuple[str, str, list[bytes]]] = []
        for shard in heads.keys() - set(behind):
            for kind in self._kinds:
                changed = b"".join(fields[kind.encode()] for _, fields in feeds[shard])
                names = [k.tobytes() for k in np.unique(np.frombuffer(changed, "<u8"))]
                wanted.append((shard, kind, names))
        found = self._store.many_rows_or_errors(wanted)
        failed = {s for (s, _, _), blobs in zip(wanted, found, strict=True) if blobs is None}
        for shard in failed:
            del heads[shard]  # its entries are read again
        gone = {k for s in heads for _, fields in feeds[s] for k in _keys(fields[b"deleted"])}
        stored: dict[str, dict[str, dict[bytes, bytes]]] = defaultdict(dict)
        for (shard, kind, names), blobs in zip(wanted, found, strict=True):
            if shard in failed or blobs is None:
                continue
            there = {k: b for k, b in zip(names, blobs, strict=True) if b is not None}
            stored[shard][kind] = there
            if kind == ITEMS:
                gone -= there.keys()
        for shard, rows in stored.items():
            self._apply(shard, rows)
        self._removed += self.table.remove(np.frombuffer(b"".join(gone), "<u8"))
        for shard in heads.keys() - set(behind):
            self._positions[shard] = feeds[shard][-1][0]
            self._commits[shard] = heads[shard][-1]["commit"]
            self.marks[shard] = heads[shard][-1]["marks"]
        return behind

    def _load_all(self, shard: str) -> None:
        """Read all rows of a shard; what changes meanwhile comes through the feed."""
        position, meta = end_of(self._store, shard), self._store.meta(shard)
        if meta:
            check_version(np.array([int(meta[b"version"])]), f"item shard {shard}")
            self._schema.check(meta[b"schema"].decode())
        stored = {kind: self._store.all_rows(shard, kind) for kind in self._kinds}
        self._apply(shard, stored)
        mine = self.table.keys % np.uint64(len(self._shards)) == self._shards.index(shard)
        here = np.frombuffer(b"".join(stored[ITEMS]), "<u8")
        self._removed += self.table.remove(np.setdiff1d(self.table.keys[mine], here))
        self._positions[shard] = position
        self._commits[shard] = int(meta.get(b"commits", 0))
        self.marks[shard] = json.loads(meta.get(b"marks", b"{}"))

    def _apply(self, shard: str, stored: Stored) -> None:
        """Take over rows; what of an item cannot be read stays as it is here."""
        try:
            for kind, rows in stored.items():
                self.table.apply(kind, list(rows.items()))
        except UnknownVersion as error:
            readable, wrong = sound(self._schema, stored)
            if not wrong:
                raise
            cause = {"shard": shard, "items": len(wrong), "key": min(wrong).hex()}
            logger.warning("rows of items cannot be read", extra=cause | {"cause": str(error)})
            for kind, rows in readable.items():
                self.table.apply(kind, list(rows.items()))


def entries_after(store: Store, positions: Mapping[str, bytes], most: int) -> dict[str, Entries]:
    """Return the feed entries after each shard's position; a shard that fails is left out."""
    calls = [
        ("XRANGE", key(s, "feed"), b"(" + at, "+", "COUNT", most) for s, at in positions.items()
    ]
    replies = zip(positions, store.each(calls), strict=True)
    return {s: reply for s, reply in replies if not isinstance(reply, StoreError)}


def end_of(store: Store, shard: str) -> bytes:
    """Return the position of a shard's latest feed entry."""
    last = store.run([("XREVRANGE", key(shard, "feed"), "+", "-", "COUNT", 1)])[0]
    return bytes(last[0][0]) if last else b"0-0"


def _keys(packed: bytes) -> list[bytes]:
    return [packed[n : n + 8] for n in range(0, len(packed), 8)]
