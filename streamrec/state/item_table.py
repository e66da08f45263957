"""The item table: a slightly old copy of all item rows, for the user stage and the scorer."""

from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from streamrec.blend.learned import LearnedBlend
from streamrec.blend.rules import blend_rules
from streamrec.settings.sections import Settings
from streamrec.sources import content, popularity
from streamrec.sources.factors import initial_vectors
from streamrec.state import rows
from streamrec.state.keys import KeyIndex, grow, key_of
from streamrec.state.table_arrays import FACTOR_COLUMNS, TableArrays, empty, take_factors

Array = NDArray[Any]
HALF_LIVES = {"short": 0, "medium": 1, "long": 2}
REBASE_BITS = 30.0


class Catalogue(msgspec.Struct):
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
    it; rows are never reused: they stay what they are until the table is loaded anew.
    """

    def __init__(self, settings: Settings, *, with_lists: bool) -> None:
        self.settings = settings
        self.half_lives_ms = np.array(settings.popularity.half_lives_seconds, np.float64) * 1000.0
        self.size = settings.factors.size
        self.with_lists = with_lists
        self.blend: LearnedBlend | None = None
        self.words = content.Words(settings.content.size if with_lists else 0)
        self.index = KeyIndex()
        self.details: dict[int, Catalogue] = {}  # of described items, where rules may ask
        self._keeps_details = bool(with_lists and (settings.lists.filters or settings.lists.boosts))
        self.ids: list[str | None] = []
        self.row_of: dict[str, int] = {}
        near, far, ring = (
            (
                2 * settings.similarity.neighbours,
                2 * settings.cosine.neighbours,
                settings.successors.entries,
            )
            if with_lists
            else (1, 0, 0)
        )
        self.arrays = empty(1024, self.size, near, far, ring, self.words.size)
        self._sums = np.zeros(3)  # of 2^(heat - base): the popularity of all items
        self._base = np.zeros(3)
        self._totals: NDArray[np.float64] | None = None
        self._live: NDArray[np.int32] | None = None

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
        if self.index.size > first:
            if self.index.size > len(self.arrays.stored):
                self.arrays = TableArrays._make(grow(a, self.index.size) for a in self.arrays)
            arrays = self.arrays
            initial_vectors(arrays.targets, self.keys, first, self.settings.factors.seed)
            arrays.heats[first : self.index.size] = -np.inf
            arrays.contexts[first : self.index.size] = arrays.targets[first : self.index.size]
            arrays.available[first : self.index.size] = True
            self.ids.extend([None] * (self.index.size - first))
        return found

    def apply(self, kind: str, stored: Sequence[tuple[bytes, bytes]]) -> None:
        """Take over stored rows of one kind: (field, bytes)."""
        if not stored:
            return
        keys: NDArray[np.uint64] = np.frombuffer(b"".join([k for k, _ in stored]), "<u8")
        blobs = [blob for _, blob in stored]
        if kind == "factors":
            self.apply_factors(keys, blobs)
        elif kind == "catalogue":
            self.apply_catalogue(keys, blobs)
        elif kind == "blend":
            self.blend = LearnedBlend.from_bytes(blobs[0], blend_rules(self.settings))
        elif self.with_lists:
            self.apply_lists(kind, keys, blobs)

    def apply_factors(self, keys: NDArray[np.uint64], blobs: Sequence[bytes]) -> None:
        """Take over stored factor rows."""
        records = rows.decode_factors(blobs, self.size)
        columns = [np.ascontiguousarray(records[name]) for name in FACTOR_COLUMNS]
        self.take_factors(self.rows(keys), columns, np.arange(len(keys)))

    def take_factors(self, at: Array, columns: Sequence[Array], source: Array) -> None:
        """Take over vectors and counts: rows `source` of FACTOR_COLUMNS, to rows `at`."""
        a = self.arrays
        mine = (a.targets, a.contexts, a.biases, a.popularity, a.clocks, a.events, a.born, a.stored)
        moved, new = take_factors(at, tuple(columns), source, mine)
        self._live = None if new else self._live
        self._take_popularity(moved)

    def apply_lists(self, kind: str, keys: NDArray[np.uint64], blobs: Sequence[bytes]) -> None:
        """Take over stored neighbours, cosine or successors rows, their keys as table rows."""
        headers = rows.headers_of(blobs, rows.LIST_HEADER, kind)
        n, width = len(blobs), max(int(headers["size"].max()), 1)
        columns: list[Array] = [np.zeros((n, width), t) for t in rows.LIST_COLUMNS[kind]]
        sizes = np.repeat(headers["size"][:, None], len(columns), axis=1)
        rows.unpack(blobs, rows.LIST_HEADER.itemsize, columns, np.arange(n), sizes)
        used = np.arange(width) < headers["size"][:, None]
        found = np.full((n, width), -1, np.int32)
        found[used] = self.rows(columns[0][used])
        at = self.rows(keys)
        others, values, totals = self.lists_of(kind)
        width = min(width, others.shape[1])
        others[at, :width] = found[:, :width]
        values[at, :width] = columns[1][:, :width]
        totals[at] = headers["total"]
        if kind != "successors":
            totals[at] = np.minimum(headers["total"], others.shape[1])
        if kind == "neighbours":
            self.arrays.totals[at] = columns[1].sum(axis=1)

    def apply_catalogue(self, keys: NDArray[np.uint64], blobs: Sequence[bytes]) -> None:
        """Take over ids, availability and contents."""
        for row, blob in zip(self.rows(keys).tolist(), blobs, strict=True):
            entry = msgspec.json.decode(blob, type=Catalogue)
            self._name(row, entry.item)
            self.arrays.available[row] = entry.available
            self.arrays.changed[row] = True
            if self._keeps_details:
                self.details[row] = entry
            if self.words.size:
                vector = self.words.vector(row, entry.title, entry.categories, entry.text)
                self.arrays.content[row] = vector

    def remove(self, keys: NDArray[np.uint64]) -> int:
        """Forget rows that their owner evicted; return how many. Their places stay."""
        at = self.index.rows(keys)
        at = at[at >= 0]
        at = at[self.arrays.stored[at]]
        arrays = self.arrays
        arrays.stored[at], self._live = False, None
        for sizes in (arrays.sizes, arrays.far_sizes, arrays.ring_totals, arrays.popularity):
            sizes[at] = 0
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
        return int(self.arrays.clocks[:n].max()) if n else 0

    def log2_totals(self) -> NDArray[np.float64]:
        """Return float64[3]: log2 of the popularity of all items, on the scale of `heats`."""
        if self._totals is None:
            self._totals = self._base + np.log2(np.maximum(self._sums, 1e-300))
        return self._totals

    def prior_heat(self) -> tuple[NDArray[np.float64], float]:
        """Return float64[items] heats, and the log2 total, of the factors' prior."""
        h = HALF_LIVES[self.settings.factors.prior_half_life]
        return self.arrays.heats[: self.index.size, h], float(self.log2_totals()[h])

    def _take_popularity(self, at: Array) -> None:
        arrays, self._totals = self.arrays, None
        arrays.changed[at] = True
        largest = popularity.refresh_heats(
            arrays.popularity, arrays.clocks, at, self.half_lives_ms, arrays.heats, self._sums,
            self._base,
        )  # fmt: skip
        if largest > REBASE_BITS:
            self._rebase()

    def _rebase(self) -> None:
        """Sum anew, relative to the hottest item."""
        heats = self.arrays.heats[: self.index.size]
        hottest = heats.max(axis=0, initial=-np.inf)
        self._base = np.where(np.isfinite(hottest), hottest, self._base)
        self._sums = np.exp2(heats - self._base).sum(axis=0)

    def lists_of(self, kind: str) -> tuple[Array, Array, Array]:
        """Return the rows, values and sizes of one kind of list, to write into."""
        a = self.arrays
        return {
            "neighbours": (a.neighbours, a.weights, a.sizes),
            "cosine": (a.far, a.far_weights, a.far_sizes),
            "successors": (a.ring, a.ring_ranks, a.ring_totals),
        }[kind]

    def _name(self, row: int, item: str) -> None:
        if self.ids[row] is None:
            self.ids[row] = item
            self.row_of[item] = row
