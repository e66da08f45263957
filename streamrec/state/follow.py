"""Keeps an item table up to date with item shards of the same process, without bytes between."""

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from streamrec.state.item_rows import changed_of
from streamrec.state.item_shard import ItemShard
from streamrec.state.item_table import ItemTable
from streamrec.state.keys import KeyIndex, find
from streamrec.state.schema import ALL, Column

Array = NDArray[Any]


class Follower:
    """Copies what changed in item shards into one table; the shards must be in this process."""

    def __init__(self, table: ItemTable) -> None:
        self.table = table
        self._mirrors: dict[str, Array] = {}  # keys as of the last copy, by column
        self._rows: dict[str, tuple[KeyIndex, Array]] = {}  # table rows of a shard's rows

    def refresh(self, shard: ItemShard) -> None:
        """Take over all changes of a shard since the last call."""
        shard.keep_within_bound()
        table, items, n = self.table, shard.items, shard.index.size
        catalogue = shard.take_catalogue()
        if catalogue:
            keys = np.frombuffer(b"".join(catalogue), "<u8")
            table.describe(keys, list(catalogue.values()))
        rows = self._rows_of(shard)
        for name, kind in shard.schema.kinds.items():
            changed = items.named(changed_of(name))
            at, entries = take_changed(changed, n)
            if len(at):
                for column in kind.lists:
                    self._copy_list(column, items, (at, rows[at]), entries)
                table.take(name, rows[at], vars(items), at)
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

    def _copy_list(
        self, column: Column, items: Any, at: tuple[Array, Array], entries: Array
    ) -> None:
        if not column.table or not column.width:
            return
        theirs, sizes = items.named(column.name), items.named(column.sized_by)
        mine = self.table.arrays.named(column.name)
        if column.table == "same":
            copy_entries(theirs, sizes, at, entries, mine)
            return
        mirror = self._mirrors.get(column.name)
        if mirror is None or len(mirror) < len(mine):
            grown = np.zeros((len(mine), column.width), np.uint64)
            if mirror is not None:
                grown[: len(mirror)] = mirror
            self._mirrors[column.name] = mirror = grown
        index = self.table.index.slot_keys, self.table.index.slot_rows
        copy_keys((theirs, mirror), sizes, at, entries, mine, index)


@njit(cache=True, nogil=True)
def take_changed(changed, count):  # type: ignore[no-untyped-def]
    """Return the first `count` rows that changed, and what of each (schema.note); clear that."""
    at, entries, size = np.empty(count, np.int64), np.empty(count, np.int32), 0
    for row in range(count):
        if changed[row] != 0:
            at[size], entries[size] = row, changed[row]
            changed[row] = 0
            size += 1
    return at[:size], entries[:size]


@njit(cache=True, nogil=True)
def copy_entries(theirs, sizes, at, entries, mine):  # type: ignore[no-untyped-def]
    """Copy the entries that changed; at: (rows of theirs, rows of mine), both [n]."""
    for n in range(len(entries)):
        a, b, entry = at[0][n], at[1][n], entries[n]
        size = min(np.int64(sizes[a]), theirs.shape[1])
        first, last = (0, size) if entry == ALL else (entry - 1, entry)
        for k in range(first, last):
            mine[b, k] = theirs[a, k]


@njit(cache=True, nogil=True)
def copy_keys(theirs, sizes, at, entries, mine, index):  # type: ignore[no-untyped-def]
    """Copy the keys that changed, as table rows; only a key that is another one is looked up.

    theirs: (keys uint64[rows, W], those of the last copy uint64[items, W]); mine: int32[items, W].
    """
    keys, mirror = theirs
    for n in range(len(entries)):
        a, b, entry = at[0][n], at[1][n], entries[n]
        size = min(np.int64(sizes[a]), keys.shape[1])
        first, last = (0, size) if entry == ALL else (entry - 1, entry)
        for k in range(first, last):
            if mirror[b, k] != keys[a, k] or mine[b, k] < 0:
                mirror[b, k] = keys[a, k]
                mine[b, k] = find(index[0], index[1], keys[a, k])
