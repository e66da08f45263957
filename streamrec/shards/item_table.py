"""The item table: a slightly old copy of all item rows, for the user stage and the scorer."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from streamrec.config import FactorSettings, PopularitySettings, SimilaritySettings
from streamrec.learners import popularity
from streamrec.learners.factors import initial_vectors
from streamrec.learners.keys import KeyIndex, grow, key_of
from streamrec.shards import rows

Array = NDArray[Any]


class TableArrays(NamedTuple):
    """Arrays of the table, one row an item; the kernels' view of it."""

    targets: Array  # float32[items, K]
    contexts: Array  # float32[items, K]: t + e
    biases: Array  # float32[items]
    popularity: Array  # float32[items, 3]
    clocks: Array  # int64[items], ms
    stored: Array  # bool[items]: has a row in Redis
    available: Array  # bool[items]
    neighbours: Array  # int32[items, 2K]: rows; one row only when the table keeps none
    weights: Array  # float32[items, 2K]
    sizes: Array  # int32[items]
    totals: Array  # float32[items]: sum of weights


class Catalogue(msgspec.Struct):
    """What the table reads of a catalogue row."""

    item: str
    available: bool = True


class ItemTable:
    """All items this process knows, as of the last refresh. Bound: max_items of each partition.

    A row is made for an item the first time it is named, with the vector that its owner will give
    it; rows are never reused, so `generation` stays the same until the table is loaded anew.
    """

    def __init__(
        self,
        factors: FactorSettings,
        pop: PopularitySettings,
        similarity: SimilaritySettings,
        *,
        with_neighbours: bool,
    ) -> None:
        self.seed = factors.seed
        self.half_lives_ms = np.array(pop.half_lives_seconds, np.float64) * 1000.0
        self.size = factors.size
        self.with_neighbours = with_neighbours
        self.index = KeyIndex()
        self.ids: list[str | None] = []
        self.row_of: dict[str, int] = {}
        width = 2 * similarity.neighbours if with_neighbours else 1
        k = factors.size
        self.arrays = TableArrays(
            np.zeros((1024, k), np.float32),
            np.zeros((1024, k), np.float32),
            np.zeros(1024, np.float32),
            np.zeros((1024, 3), np.float32),
            np.zeros(1024, np.int64),
            np.zeros(1024, np.bool_),
            np.zeros(1024, np.bool_),
            np.full((1024, width), -1, np.int32),
            np.zeros((1024, width), np.float32),
            np.zeros(1024, np.int32),
            np.zeros(1024, np.float32),
        )

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
            self.arrays = TableArrays._make(grow(a, self.index.size) for a in self.arrays)
            arrays = self.arrays
            initial_vectors(arrays.targets, self.keys, first, self.seed)
            arrays.contexts[first : self.index.size] = arrays.targets[first : self.index.size]
            arrays.available[first : self.index.size] = True
            self.ids.extend([None] * (self.index.size - first))
        return found

    def apply_factors(self, keys: NDArray[np.uint64], blobs: Sequence[bytes]) -> None:
        """Take over stored factor rows."""
        if not len(keys):
            return
        records = rows.decode_factors(blobs, self.size)
        at = self.rows(keys)
        arrays = self.arrays
        arrays.targets[at] = records["target"]
        arrays.contexts[at] = records["target"] + records["offset"]
        arrays.biases[at] = records["bias"]
        arrays.popularity[at] = records["popularity"]
        arrays.clocks[at] = records["clock"]
        arrays.stored[at] = True

    def apply_neighbours(self, keys: NDArray[np.uint64], blobs: Sequence[bytes]) -> None:
        """Take over stored neighbour rows; neighbours become rows of this table."""
        if not len(keys) or not self.with_neighbours:
            return
        headers = rows.headers_of(blobs, rows.NEIGHBOUR_HEADER, "neighbour")
        n, width = len(blobs), max(int(headers["size"].max()), 1)
        near = np.zeros((n, width), np.uint64)
        weights = np.zeros((n, width), np.float32)
        counts = np.zeros((n, width), np.uint32)
        sizes = np.repeat(headers["size"][:, None], 3, axis=1)
        rows.unpack(
            blobs, rows.NEIGHBOUR_HEADER.itemsize, (near, weights, counts), np.arange(n), sizes
        )
        used = np.arange(width) < headers["size"][:, None]
        found = np.full(near.shape, -1, np.int32)
        found[used] = self.rows(near[used])
        at = self.rows(keys)
        arrays = self.arrays
        width = min(width, arrays.neighbours.shape[1])
        arrays.neighbours[at, :width] = found[:, :width]
        arrays.weights[at, :width] = weights[:, :width]
        arrays.sizes[at] = np.minimum(headers["size"], arrays.neighbours.shape[1])
        arrays.totals[at] = weights.sum(axis=1)

    def apply_catalogue(self, keys: NDArray[np.uint64], blobs: Sequence[bytes]) -> None:
        """Take over ids and availability."""
        for row, blob in zip(self.rows(keys).tolist(), blobs, strict=True):
            entry = msgspec.json.decode(blob, type=Catalogue)
            self._name(row, entry.item)
            self.arrays.available[row] = entry.available

    def remove(self, keys: NDArray[np.uint64]) -> int:
        """Forget rows that their owner evicted; return how many. Their places stay."""
        at = self.index.rows(keys)
        at = at[at >= 0]
        at = at[self.arrays.stored[at]]
        self.arrays.stored[at] = False
        self.arrays.sizes[at] = 0
        self.arrays.popularity[at] = 0.0
        return len(at)

    def shares(self) -> NDArray[np.float32]:
        """Return float32[items, 3]: popularity shares at the newest event time of the table."""
        n = self.index.size
        arrays = self.arrays
        now = int(arrays.clocks[:n].max()) if n else 0
        return popularity.shares(arrays.popularity[:n], arrays.clocks[:n], now, self.half_lives_ms)

    def _name(self, row: int, item: str) -> None:
        if self.ids[row] is None:
            self.ids[row] = item
            self.row_of[item] = row
