"""Keeps an item table up to date with item shards of the same process, without bytes between."""

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from streamrec.state import item_lists
from streamrec.state.item_kernel import ALL
from streamrec.state.item_shard import ItemShard
from streamrec.state.item_table import ItemTable
from streamrec.state.keys import KeyIndex, find, grow, take

Array = NDArray[Any]
NO_SUMS = np.zeros(0, np.float32)


@njit(cache=True, nogil=True)
def _copy(changed, rows, theirs, values, sizes, mirror, others, mine, totals, sums, index):  # type: ignore[no-untyped-def]
    """Copy the entries that changed to table rows, and clear `changed`.

    rows: int32[shard rows]; mirror: keys as of the last copy, only another key is looked up; sums:
    float32[items] of all values, or of no length.
    """
    for a in range(len(rows)):
        entry = changed[a]
        if entry == 0:
            continue
        changed[a] = 0
        r, size = rows[a], min(np.int64(sizes[a]), theirs.shape[1])
        first, last = (0, size) if entry == ALL else (entry - 1, entry)
        for k in range(first, last):
            if mirror[r, k] != theirs[a, k] or others[r, k] < 0:
                mirror[r, k] = theirs[a, k]
                others[r, k] = find(index[0], index[1], theirs[a, k])
            mine[r, k] = values[a, k]
        totals[r] = sizes[a]
        if len(sums):
            sums[r] = mine[r, :size].sum()


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
        rows, at = self._rows_of(shard), take(items.changed, n)
        if len(at):
            columns = (
                items.targets, items.offsets, items.biases, items.popularity, items.clocks,
                items.events, items.born,
            )  # fmt: skip
            table.take_factors(rows[at], columns, at)
        for kind in item_lists.KINDS:
            self._follow(kind, shard, rows)
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

    def _follow(self, kind: str, shard: ItemShard, rows: Array) -> None:
        table, names = self.table, item_lists.KINDS[kind]
        theirs, values = item_lists.columns_of(shard.items, kind)[:2]
        if not theirs.shape[1]:
            return
        others, mine, totals = table.lists_of(kind)
        mirror = self._mirrors.get(kind)
        if mirror is None or len(mirror) < len(others):
            known = np.zeros((0, theirs.shape[1]), np.uint64) if mirror is None else mirror
            self._mirrors[kind] = mirror = grow(known, len(others))
        _copy(
            getattr(shard.items, names.changed), rows, theirs, values,
            getattr(shard.items, names.size), mirror, others, mine, totals,
            table.arrays.totals if kind == "neighbours" else NO_SUMS,
            (table.index.slot_keys, table.index.slot_rows),
        )  # fmt: skip
