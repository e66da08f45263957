"""Keeps an item table up to date with item shards of the same process, without bytes between."""

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from streamrec.learners.keys import KeyIndex, find, grow, take
from streamrec.shards import item_lists
from streamrec.shards.item_shard import ItemShard
from streamrec.shards.item_table import ItemTable

Array = NDArray[Any]


@njit(cache=True, nogil=True)
def _copy(theirs, values, sizes, at, rows, mirror, others, mine, index):  # type: ignore[no-untyped-def]
    """Copy lists of keys and values to table rows; return float32[n], the sums of the values.

    Only a changed key is looked up.
    """
    sums = np.zeros(len(at), np.float32)
    for n in range(len(at)):
        a, r = at[n], rows[n]
        for k in range(min(np.int64(sizes[a]), theirs.shape[1])):
            if mirror[r, k] != theirs[a, k] or others[r, k] < 0:
                mirror[r, k] = theirs[a, k]
                others[r, k] = find(index[0], index[1], theirs[a, k])
            mine[r, k] = values[a, k]
            sums[n] += values[a, k]
    return sums


class Follower:
    """Copies what changed in item shards into one table; the shards must be in this process."""

    def __init__(self, table: ItemTable) -> None:
        self.table = table
        self._mirrors: dict[str, Array] = {}  # keys as of the last copy, by list kind
        self._rows: dict[str, tuple[KeyIndex, Array]] = {}  # table rows of a shard's rows

    def refresh(self, shard: ItemShard) -> None:
        """Take over all changes of a shard since the last call."""
        shard.keep_within_bound()
        table, items, n = self.table, shard.items, shard.index.size
        catalogue = shard.take_catalogue()
        if catalogue:
            keys = np.frombuffer(b"".join(catalogue), "<u8")
            table.apply_catalogue(keys, list(catalogue.values()))
        at = take(items.changed, n)
        if len(at):
            columns = (
                items.targets, items.offsets, items.biases, items.popularity, items.clocks,
                items.events, items.born,
            )  # fmt: skip
            table.take_factors(self._rows_of(shard)[at], [c[at] for c in columns])
        for kind in item_lists.KINDS:
            self._follow(kind, shard)
        gone = shard.take_deleted()
        if gone:
            table.remove(np.frombuffer(b"".join(gone), "<u8"))
        if shard.blend is not None:
            table.blend = shard.blend

    def _rows_of(self, shard: ItemShard) -> Array:
        """Return int32[items]: the table row of each row of the shard; new ones are made."""
        index, rows = self._rows.get(shard.name, (shard.index, np.zeros(0, np.int32)))
        if index is not shard.index:  # rebuilt: its rows are other items
            rows = rows[:0]
        if len(rows) < shard.index.size:
            new = self.table.rows(shard.index.keys[len(rows) : shard.index.size])
            rows = np.concatenate([rows, new])
            self._rows[shard.name] = shard.index, rows
        return rows

    def _follow(self, kind: str, shard: ItemShard) -> None:
        table = self.table
        at = item_lists.take_changed(shard.items, kind, shard.index.size)
        theirs, values = item_lists.columns_of(shard.items, kind)[:2]
        if not len(at) or not theirs.shape[1]:
            return
        rows = self._rows_of(shard)[at]
        others, mine, totals = table.lists_of(kind)
        mirror = self._mirrors.get(kind, np.zeros((0, theirs.shape[1]), np.uint64))
        self._mirrors[kind] = mirror = grow(mirror, len(others))
        sizes = getattr(shard.items, item_lists.KINDS[kind].size)
        index = table.index.slot_keys, table.index.slot_rows
        sums = _copy(theirs, values, sizes, at, rows, mirror, others, mine, index)
        totals[rows] = sizes[at]
        if kind == "neighbours":
            table.arrays.totals[rows] = sums
