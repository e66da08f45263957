"""Keeps an item table up to date with item shards of the same process, without bytes between."""

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from streamrec.state.item_rows import ITEMS, changed_of
from streamrec.state.item_shard import ItemShard
from streamrec.state.item_table import ItemTable
from streamrec.state.keys import KeyIndex, find, grow, take
from streamrec.state.schema import ALL, Kind

Array = NDArray[Any]

ITEMS_CHANGED = changed_of(ITEMS)


class Lists:
    """The columns of one kind of lists, by name, and their keys as of the last copy."""

    def __init__(self, kind: Kind, table: ItemTable) -> None:
        [keys] = [c for c in kind.lists if c.table == "rows"]
        self.kind = kind.name
        self.changed = changed_of(kind.name)
        self.keys, self.size = keys.name, keys.sized_by
        self.same = tuple(c.name for c in kind.lists if c.table == "same")
        self.fixed = table.fixed(kind.name)
        self.followed = any(source.follows == kind.name for source in table.sources)
        self.mirror = np.zeros((0, keys.width), np.uint64)


class Follower:
    """Copies what changed in item shards into one table; the shards must be in this process."""

    def __init__(self, table: ItemTable) -> None:
        self.table = table
        self._rows: dict[str, tuple[KeyIndex, Array]] = {}  # table rows of a shard's rows
        kinds = table.schema.kinds.values() if table.with_lists else ()
        self._plain = [k.name for k in kinds if not k.lists and k.name != ITEMS]
        self._lists = [Lists(kind, table) for kind in kinds if kind.lists and kind.lists[0].width]

    def refresh(self, shard: ItemShard) -> None:
        """Take over all changes of a shard since the last call."""
        shard.keep_within_bound()
        table, items = self.table, shard.items
        catalogue = shard.take_catalogue()
        if catalogue:
            keys = np.frombuffer(b"".join(catalogue), "<u8")
            table.describe(keys, list(catalogue.values()))
        rows = self._rows_of(shard)
        at = take(items.named(ITEMS_CHANGED), len(rows))
        if len(at):
            table.take(ITEMS, rows[at], items, at)
        for kind in self._plain:
            at = take(items.named(changed_of(kind)), len(rows))
            if len(at):
                table.take(kind, rows[at], items, at)
        for lists in self._lists:
            at = self._copy_lists(lists, shard, rows)
            if lists.followed and len(at):
                table.follow(lists.kind, rows[at], items, at)
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

    def _copy_lists(self, lists: Lists, shard: ItemShard, rows: Array) -> Array:
        """Copy what changed of lists of one kind, keys as table rows; return rows of the shard."""
        items, arrays, index = shard.items, self.table.arrays, self.table.index
        mine, same, fixed = arrays.named(lists.keys), lists.same, lists.fixed
        lists.mirror = grow(lists.mirror, len(mine))
        moved: Array = copy_lists(
            (items.named(lists.changed), rows), items.named(lists.size),
            (items.named(lists.keys), lists.mirror, mine), (index.slot_keys, index.slot_rows),
            (items.views(same), arrays.views(same)), (items.views(fixed), arrays.views(fixed)),
        )  # fmt: skip
        return moved


@njit(cache=True, nogil=True)
def copy_lists(where, sizes, keys, index, same, fixed):  # type: ignore[no-untyped-def]
    """Copy the entries that changed of each row's lists, and its columns of fixed width.

    where: (changed int32[rows], see schema.note, cleared; their rows in the table int32[rows]);
    sizes: [rows] entries ever put in; keys: (theirs uint64[rows, W], theirs of the last copy
    uint64[items, W], mine int32[items, W]), only another key is looked up in the index; same,
    fixed: (theirs, mine), each a tuple of uint8[rows, bytes]. Returns int64[n] rows copied.
    """
    changed, rows = where
    theirs, mirror, mine = keys
    width = theirs.shape[1]
    at, found = np.empty(len(rows), np.int64), 0
    for a in range(len(rows)):
        entry = changed[a]
        if entry == 0:
            continue
        changed[a] = 0
        at[found] = a
        found += 1
        b, size = rows[a], min(np.int64(sizes[a]), width)
        first, last = (0, size) if entry == ALL else (entry - 1, entry)
        for k in range(first, last):
            if mirror[b, k] != theirs[a, k] or mine[b, k] < 0:
                mirror[b, k] = theirs[a, k]
                mine[b, k] = find(index[0], index[1], theirs[a, k])
        for c in range(len(same[0])):
            source, target = same[0][c][a], same[1][c][b]
            each = len(source) // width
            for k in range(first * each, last * each):
                target[k] = source[k]
        for c in range(len(fixed[0])):
            source, target = fixed[0][c][a], fixed[1][c][b]
            for k in range(len(source)):
                target[k] = source[k]
    return at[:found]
