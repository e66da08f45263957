"""The items of a file against those that are stored: what is new, what changed, what is gone."""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

import msgspec

from streamrec.events.event import Item


class Difference(NamedTuple):
    """What a file says of items, against what Redis holds of them."""

    new: list[Item]
    """Of which nothing was known, or no more than that events name them."""
    changed: list[Item]
    same: int
    gone: list[Item]
    """As they are stored: may be recommended, and are not in the file."""

    def __str__(self) -> str:
        count = len(self.new) + len(self.changed) + self.same
        return (
            f"{count:,} items: {len(self.new):,} new, {len(self.changed):,} changed, "
            f"{self.same:,} as they were, {len(self.gone):,} gone"
        )


def difference(items: Mapping[str, Item], rows: Iterable[bytes]) -> Difference:
    """Compare a file's items with the stored catalogue rows, of which one may come twice.

    In memory is, beside the file, what is gone.
    """
    known: set[str] = set()
    same: set[str] = set()
    gone: dict[str, Item] = {}
    for row in rows:
        stored = msgspec.json.decode(row, type=Item)
        asked = items.get(stored.item)
        if asked is None:
            if stored.available:
                gone[stored.item] = stored
        elif _bytes(asked) == _bytes(stored):
            same.add(asked.item)
        elif stored != Item(stored.item):
            known.add(asked.item)
    new = [item for name, item in items.items() if name not in known and name not in same]
    changed = [item for name, item in items.items() if name in known and name not in same]
    return Difference(new, changed, len(same), list(gone.values()))


def withdrawn(item: Item) -> Item:
    """Return an item as no longer to be recommended; the histories it is in still know its words.

    Unlike a tombstone this outlives compaction, so that a new start from the topic has it too.
    """
    return msgspec.structs.replace(item, available=False)


def _bytes(item: Item) -> bytes:
    return msgspec.json.encode(item, order="deterministic")  # 1.0 == True, but is no flag
