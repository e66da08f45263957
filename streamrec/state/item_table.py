"""The item table: a slightly old copy of all item rows, for the user stage and the scorer."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from streamrec.blend.learned import LearnedBlend
from streamrec.blend.rules import blend_rules
from streamrec.settings.place_rules import asks_for_contents
from streamrec.settings.sections import Settings
from streamrec.sources.popularity import HALF_LIVES, half_lives_ms, refresh_heats
from streamrec.sources.registry import sources_of
from streamrec.sources.segment import SEGMENT_PREFIX
from streamrec.sources.source import having
from streamrec.state.item_rows import BLEND, CATALOGUE, ITEMS, TEXTS, ItemSchema, moved_rows
from streamrec.state.keys import KeyIndex, key_of
from streamrec.state.schema import Arrays, Column, copy_rows

Array = NDArray[Any]
REBASE_BITS = 30.0
"""How much hotter than the base the hottest item may get before the sums are made anew."""
OWN = (
    Column("heats", "<f8", 3),  # log2 of popularity, inflated; see sources/popularity.py
    Column("stored", "?"),  # has a row in Redis
    Column("available", "?"),
    Column("changed", "<u4"),  # turn of the last change of popularity, stored or available
    Column("worded", "<u4"),  # changes of what may be the vector of its text
)
"""Columns of the table alone."""


class Metadata(msgspec.Struct):
    """What the table reads of a catalogue row."""

    item: str
    available: bool = True
    title: str = ""
    categories: list[str] = []
    text: str = ""
    attributes: dict[str, str | float | bool | None] = {}


class ItemTable:
    """All items this process knows, as of the last refresh. Bound: max_items of each partition.

    A row is made for an item the first time it is named, with the vector that its owner will give
    it; rows are never reused: they stay what they are until the table is loaded anew. Lists hold
    table rows, -1 unknown. Contents are kept where the rules of the settings ask for them, or
    `with_details` for rules that are not known yet.
    """

    def __init__(self, settings: Settings, *, with_lists: bool, with_details: bool = False) -> None:
        self.settings = settings
        self.with_lists = with_lists
        self.size: int = settings.factors.size
        self.sources = sources_of(settings)
        self.schema = ItemSchema(self.sources)
        self.columns = self.schema.copied(with_lists)
        self.arrays = Arrays((*self.columns, *OWN), 1024)
        self.index = KeyIndex()
        self.ids: list[str | None] = []
        self.row_of: dict[str, int] = {}
        self.details: dict[int, Metadata] = {}  # of described items, where rules may ask
        self.categories: dict[int, tuple[str, ...]] = {}  # of described items that have any
        self.categorised = 0  # changes of these
        self.turn = 0  # of the column changed: each who reads it keeps where they are
        self.segments: list[int] = []  # rows that stand for one
        self.blend: LearnedBlend | None = None
        self.half_lives_ms = half_lives_ms(settings)
        self._keeps_details = with_lists and (with_details or asks_for_contents(settings))
        self.memories = [source.memory() for source in self.sources]
        self._shared: dict[tuple[str, ...], tuple[str, ...]] = {}
        self._sums = np.zeros(3)  # of 2^(heat - base): the popularity of all items
        self._base = np.zeros(3)
        self._totals: NDArray[np.float64] | None = None
        self._live: NDArray[np.int32] | None = None
        self._starting = having("start", self.sources)
        self._wording = {TEXTS, *(s.follows for s in having("vectors", self.sources))}
        kinds = self.schema.kinds
        self._following = {k: [s for s in self.sources if s.follows == k] for k in kinds}
        self._fixed = {kind: tuple(c.name for c in self._fixed_of(kind)) for kind in kinds}

    def __len__(self) -> int:
        return self.index.size

    @property
    def keys(self) -> NDArray[np.uint64]:
        """uint64[items]."""
        return self.index.keys[: self.index.size]

    def row(self, item: str) -> int:
        """Return the row of an item id, made if new."""
        row = self.row_of.get(item)
        if row is None:
            row = int(self.rows(np.array([key_of(item)], np.uint64))[0])
            self._name(row, item)
        return row

    def rows(self, keys: NDArray[np.uint64]) -> NDArray[np.int32]:
        """Return int32[n] rows of uint64[n] keys, made if new."""
        first = self.index.size
        found = self.index.add(keys)
        size = self.index.size
        if size > first:
            self.arrays.reserve(size)
            arrays = self.arrays
            for source in self._starting:
                source.start(arrays, self.keys, first)
            for c in self.columns:
                if c.table == "rows":
                    arrays.named(c.name)[first:size] = -1
            arrays.heats[first:size] = -np.inf
            arrays.available[first:size] = True
            self.ids.extend([None] * (size - first))
        return found

    def apply(self, kind: str, stored: Sequence[tuple[bytes, bytes]]) -> None:
        """Take over stored rows of one kind: (field, bytes)."""
        if not stored:
            return
        keys: NDArray[np.uint64] = np.frombuffer(b"".join([k for k, _ in stored]), "<u8")
        blobs = [blob for _, blob in stored]
        if kind == CATALOGUE:
            self.describe(keys, blobs)
        elif kind == BLEND:
            self.blend = LearnedBlend.from_bytes(blobs[0], blend_rules(self.settings))
        elif self.with_lists or kind == ITEMS:
            self._apply_rows(kind, keys, blobs)

    def _apply_rows(self, kind: str, keys: Array, blobs: Sequence[bytes]) -> None:
        """Take over stored rows, keys of other items as table rows."""
        codec = self.schema.kinds[kind]
        headers = codec.headers(blobs)
        given = Arrays(codec.fixed, len(blobs))
        for c in codec.fixed:
            given.named(c.name)[:] = headers[c.name]
        used, lists = codec.unpack_longer(headers, blobs)
        at = self.rows(keys)
        for c, array in zip(codec.lists, lists, strict=True):
            if c.table == "rows":
                within = np.arange(array.shape[1]) < used[:, None]
                rows = np.full(array.shape, -1, np.int32)
                rows[within] = self.rows(array[within])
                array = rows
            if c.table:
                mine = self.arrays.named(c.name)
                width = min(array.shape[1], mine.shape[1])
                mine[at, :width] = array[:, :width]
            given.named(c.sized_by)[used > c.width] = c.width  # the front of a longer list
        self.take(kind, at, given, np.arange(len(blobs)))

    def take(self, kind: str, at: Array, theirs: Any, source: Array) -> None:
        """Take over rows `source` of an owner's Arrays, but for the lists, to rows `at`."""
        a, names = self.arrays, self._fixed[kind]
        if kind != ITEMS:
            copy_rows(at, theirs.views(names), source, a.views(names))
        else:
            mine, other = (a.clock, a.popularity), (theirs.clock, theirs.popularity)
            moved, new = moved_rows(at, source, other, mine, a.stored)
            self._live = None if new else self._live
            copy_rows(at, theirs.views(names), source, a.views(names))
            self._take_popularity(moved)
        self.follow(kind, at, theirs, source)

    def follow(self, kind: str, at: Array, theirs: Any, source: Array) -> None:
        """Let the sources bring up to date what follows from the rows just taken over."""
        if kind in self._wording:
            self.arrays.worded[at] += 1
        for owner in self._following[kind]:
            owner.follow(self.arrays, at, theirs, source)

    def fixed(self, kind: str) -> tuple[str, ...]:
        """Return the columns of fixed width that are copied of a kind of row."""
        return self._fixed[kind]

    def _fixed_of(self, kind: str) -> list[Column]:
        return [c for c in self.columns if c.kind == kind and c.stored and not c.sized_by]

    def describe(self, keys: NDArray[np.uint64], blobs: Sequence[bytes]) -> None:
        """Take over ids, availability and contents."""
        rows = self.rows(keys)
        self.note_changed(rows)
        self.arrays.worded[rows] += 1
        for row, blob in zip(rows.tolist(), blobs, strict=True):
            entry = msgspec.json.decode(blob, type=Metadata)
            self._name(row, entry.item)
            self.arrays.available[row] = entry.available
            if self.with_lists:
                self._categorise(row, entry.categories)
            if self._keeps_details:
                self.details[row] = entry
            if self.with_lists:
                for source, memory in zip(self.sources, self.memories, strict=True):
                    source.describe(self.arrays, row, entry, memory)

    def note_changed(self, rows: Any) -> None:
        """Count rows as changed, to all who look (lists.ListMaker.prepare)."""
        self.turn += 1
        self.arrays.changed[rows] = self.turn

    def remove(self, keys: NDArray[np.uint64]) -> int:
        """Forget rows that their owner evicted; return how many. Their places stay."""
        at = self.index.rows(keys)
        at = at[at >= 0]
        at = at[self.arrays.stored[at]]
        self.arrays.stored[at], self._live = False, None
        self.arrays.popularity[at] = 0
        for name in {c.sized_by for c in self.columns if c.sized_by}:
            self.arrays.named(name)[at] = 0
        self._take_popularity(at)
        if len(at):
            self._rebase()  # differences of large numbers are not precise
        return len(at)

    def live(self) -> NDArray[np.int32]:
        """Return the rows of items that their owners have stored."""
        if self._live is None:
            self._live = self.arrays.stored[: self.index.size].nonzero()[0].astype(np.int32)
        return self._live

    def now(self) -> int:
        """Return the newest event time of the table, ms."""
        n = self.index.size
        return int(self.arrays.clock[:n].max()) if n else 0

    def log2_totals(self) -> NDArray[np.float64]:
        """Return float64[3]: log2 of the popularity of all items, on the scale of `heats`."""
        if self._totals is None:
            self._totals = self._base + np.log2(np.maximum(self._sums, 1e-300))
        return self._totals

    def prior_heat(self) -> tuple[NDArray[np.float64], float]:
        """Return float64[items] heats, and the log2 total, of the factors' prior."""
        h = HALF_LIVES[self.settings.factors.prior_half_life]
        return self.arrays.heats[: self.index.size, h], float(self.log2_totals()[h])

    def own(self) -> dict[str, Array]:
        """Return by name what this copy alone knows, for `resume`: sums have an order, too."""
        n, arrays = self.index.size, self.arrays
        mine = [c.name for c in (*self.columns, *OWN[:-2]) if c in OWN or not c.stored]
        gone = np.flatnonzero(~arrays.stored[:n])  # no owner has these, and their lists are empty
        own = {"keys": self.keys, "sums": self._sums, "base": self._base, "gone": gone}
        own |= {name: arrays.named(name)[:n] for name in mine}
        fixed = (c.name for c in self.columns if not c.sized_by)
        return own | {f"gone.{name}": arrays.named(name)[gone] for name in fixed}

    def resume(self, own: Mapping[str, Array]) -> None:
        """Take over what another copy of the same rows, in the same order, knew alone."""
        n, arrays = self.index.size, self.arrays
        for name in own.keys() - {"keys", "sums", "base", "gone"}:
            column = name.removeprefix("gone.")
            arrays.named(column)[own["gone"] if column != name else slice(n)] = own[name]
        self.note_changed(slice(n))
        arrays.worded[:n] += 1
        self._sums, self._base = own["sums"].copy(), own["base"].copy()
        self._totals = self._live = None

    def _take_popularity(self, at: Array) -> None:
        arrays, self._totals = self.arrays, None
        self.note_changed(at)
        of_items = arrays.popularity, arrays.clock, arrays.heats
        largest = refresh_heats(at, of_items, self.half_lives_ms, self._sums, self._base)
        if largest > REBASE_BITS:
            self._rebase()

    def _rebase(self) -> None:
        """Sum anew, relative to the hottest item."""
        heats = self.arrays.heats[: self.index.size]
        hottest = heats.max(axis=0, initial=-np.inf)
        self._base = np.where(np.isfinite(hottest), hottest, self._base)
        self._sums = np.exp2(heats - self._base).sum(axis=0)

    def _name(self, row: int, item: str) -> None:
        if self.ids[row] is None:
            self.ids[row] = item
            self.row_of[item] = row
            if item.startswith(SEGMENT_PREFIX):
                self.segments.append(row)

    def _categorise(self, row: int, names: list[str]) -> None:
        """Keep an item's categories, equal ones once."""
        self.categorised += names != list(self.categories.get(row, ()))
        if names:
            self.categories[row] = self._shared.setdefault(tuple(names), tuple(names))
        else:
            self.categories.pop(row, None)
