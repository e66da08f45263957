"""What was learnt from a file of history, as the state from which a log is learnt on."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from streamrec.events.event import Item
from streamrec.sources.segment import SEGMENT_PREFIX
from streamrec.state.item_rows import ITEMS
from streamrec.state.item_shard import ItemShard
from streamrec.state.item_table import ItemTable
from streamrec.state.keys import owner_of
from streamrec.state.metadata_shard import catalogue_entry
from streamrec.state.moves import Marks
from streamrec.state.user_fold import Counters
from streamrec.state.user_rows import NOBODY
from streamrec.state.user_shard import UserShard

Rows = Mapping[str, Mapping[bytes, bytes]]


class First(NamedTuple):
    """All that one shard stores at first: rows by kind, and meta fields."""

    shard: str
    rows: Rows
    meta: Mapping[str, str | int]


def of_users(shard: UserShard, offset: int) -> First:
    """Return the state of a user shard that goes on at `offset` of its partition.

    What is counted, and drawn, is counted from there: the file's events are none of the log's. Of
    who was forgotten, or has no event that is personal, there is nothing. Called again, it returns
    the same.
    """
    users = shard.users
    shard.start = shard.offset = offset
    shard.counters = Counters()
    shard.marks = Marks()
    events = users.arrays.events
    kept = [name for name, row in users.row_of.items() if events[row] and name != NOBODY]
    shard.stored_users = len(kept)
    users.arrays.offset[:] = offset - 1
    shard.note_all(kept)
    return First(shard.name, *shard.changes())


def of_items(
    shard: ItemShard, offset: int, marks: Mapping[str, int], catalogue: Mapping[int, bytes]
) -> First:
    """Return the state of an item shard that goes on at `offset` of its updates.

    marks: offsets of the user shards; catalogue: of all items, by key. Rows that say no more than
    that of a new item are left out, as they are while it learns. Called again, it returns the same.
    """
    shard.begin(offset, marks, catalogue)
    rows, _, meta = shard.changes()
    new = shard.schema.owned(1)
    for name, kind in shard.schema.kinds.items():
        if name != ITEMS:
            [nothing] = kind.pack(new, np.zeros(1, np.int64))
            rows[name] = {field: blob for field, blob in rows[name].items() if blob != nothing}
    return First(shard.name, rows, meta)


def dealt(state: First, offsets: Sequence[int]) -> Iterator[First]:
    """Yield the state of the only item shard as that of several, each row with its owner.

    offsets: where each of them goes on in its partition of the updates.
    """
    count = len(offsets)
    for number, offset in enumerate(offsets):
        rows = {
            kind: {f: blob for f, blob in each.items() if owner_of(f, count) == number}
            for kind, each in state.rows.items()
        }
        meta = {**state.meta, "offset": offset, "items": len(rows[ITEMS])}
        yield First(f"i{number}", rows, meta)


def catalogue_of(table: ItemTable, items: Mapping[str, Item]) -> dict[int, bytes]:
    """Return each item's catalogue entry by key; without metadata it says the id alone."""
    entries: dict[int, bytes] = {}
    for key, name in _named(table):
        item = items.get(name) or Item(name, available=not name.startswith(SEGMENT_PREFIX))
        entries[key] = catalogue_entry(item)
    return entries


def by_activity(shards: Sequence[UserShard]) -> list[tuple[str, str]]:
    """Return shard and name of the users who have a history, the last to act first."""
    found = []
    for shard in shards:
        arrays = shard.users.arrays
        for name, row in shard.users.row_of.items():
            if arrays.recent[row]:
                found.append((int(arrays.clock[row]), shard.name, name))
    return [(shard, name) for _, shard, name in sorted(found, reverse=True)]


def _named(table: ItemTable) -> Iterable[tuple[int, str]]:
    """Yield key and id of all items that are known by name."""
    return ((key, name) for key, name in zip(table.keys.tolist(), table.ids, strict=False) if name)
