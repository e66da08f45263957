"""Item rows: what all have in common, and the columns that the sources ask for."""

from collections.abc import Mapping, Sequence

import numpy as np
from numba import njit

from streamrec.errors import UnknownVersion
from streamrec.sources.source import Source
from streamrec.state.schema import Arrays, Column, Kind, kinds_of, signature
from streamrec.text.words import WIDTH

ITEMS, TEXTS, CATALOGUE, BLEND = "items", "texts", "catalogue", "blend"
"""Kinds of rows: the fixed part of an item's row; its text as a vector; its metadata as JSON; the
learned blend."""
FACTS = (
    Column("events", "<u4"),  # accepted events that name it
    Column("born", "<i8"),  # event time of the first one, ms; 0: none yet
    Column("text_of", "<u8", table=""),  # address of its text; 0: it has none
    Column("text_by", "<u8", 0, TEXTS),  # that of the vector's text xor the encoder; 0: none yet
    Column("text", "|i1", WIDTH, TEXTS),  # the vector, as text/words.py stores it
)
BOUNDS = {
    ITEMS: "factors.size",
    "similarity": "similarity.neighbours",
    "cosine": "cosine.neighbours",
    "successors": "successors.entries",
}
"""The setting that bounds rows of a kind, for messages."""
MOST_DAMAGED = 10
"""Items of a shard whose rows may be damaged; where more are, a person is to look."""
Stored = Mapping[str, Mapping[bytes, bytes]]
"""Stored rows by kind and field."""


class ItemSchema:
    """The columns of item rows under given sources; each once, whoever asks for it."""

    def __init__(self, sources: Sequence[Source]) -> None:
        asked = (*FACTS, *(c for source in sources for c in source.columns()))
        self.columns = tuple({c.name: c for c in asked}.values())
        self.kinds: dict[str, Kind] = kinds_of(self.columns, BOUNDS)
        self.signature = signature(self.columns)

    def check(self, stored: str) -> None:
        """Raise UnknownVersion if rows were made under another schema."""
        if stored != self.signature:
            raise UnknownVersion(
                "item rows in Redis were made with other sources, or other bounds of their lists "
                f"({', '.join(BOUNDS.values())}, extra_sources): set them to what they were, or "
                "start from an empty Redis"
            )

    def owned(self, rows: int) -> Arrays:
        """Return arrays for so many rows, as their owner keeps them."""
        changed = (Column(changed_of(kind), "<i4") for kind in self.kinds)
        return Arrays((*(c for c in self.columns if c.stored), *changed), rows)

    def copied(self, with_lists: bool) -> tuple[Column, ...]:
        """Return the columns of a reader's copy; without lists only those of the fixed part."""
        return tuple(
            c._replace(dtype="<i4") if c.table == "rows" else c
            for c in self.columns
            if c.table and (with_lists or c.kind == ITEMS)
        )


def sound(schema: ItemSchema, stored: Stored) -> tuple[dict[str, dict[bytes, bytes]], set[bytes]]:
    """Return the rows that can be read, and the items of the others.

    Of an item whose row of the kind ITEMS cannot be read there are none. Rows that were stored
    under longer bounds are no damage. Raises UnknownVersion for more than MOST_DAMAGED items.
    """
    damaged: dict[str, set[bytes]] = {}
    for name in schema.kinds.keys() & stored.keys():
        kind = schema.kinds[name]
        damaged[name] = {f for f, blob in stored[name].items() if not _readable(kind, blob)}
    wrong = set[bytes]().union(*damaged.values())
    if len(wrong) > MOST_DAMAGED:
        raise UnknownVersion(
            f"rows of {len(wrong)} items in Redis cannot be read: start from an empty Redis, or "
            "restore a copy of it"
        )
    lost = damaged.get(ITEMS, set())
    rows = {
        name: {f: b for f, b in each.items() if f not in lost | damaged.get(name, set())}
        for name, each in stored.items()
    }
    return rows, wrong


def _readable(kind: Kind, blob: bytes) -> bool:
    try:
        kind.unpack_longer(kind.headers([blob]), [blob])
    except UnknownVersion:
        return False
    return True


def changed_of(kind: str) -> str:
    """Return the column that says what of a kind of row is not stored yet (schema.note)."""
    return f"{kind}_changed"


@njit(cache=True, nogil=True)
def moved_rows(at, source, theirs, mine, stored):  # type: ignore[no-untyped-def]
    """Return the rows of `at` that are new or whose popularity differs, and how many are new.

    theirs, mine: (clock int64[n], popularity float32[n, 3]) before the copy; stored: bool[items],
    set for them.
    """
    clock, popularity = theirs
    clocks, popularities = mine
    moved, size, new = np.empty(len(at), np.int32), 0, 0
    for e in range(len(at)):
        row, n = at[e], source[e]
        differs = not stored[row] or clocks[row] != clock[n]
        for k in range(popularity.shape[1]):
            differs |= popularities[row, k] != popularity[n, k]
        new += not stored[row]
        stored[row] = True
        if differs:
            moved[size] = row
            size += 1
    return moved[:size], new
