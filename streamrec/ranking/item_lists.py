"""Lists of an item's neighbours, for product pages: what follows it, and what is like it."""

from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from streamrec.ranking.contexts import taken_only
from streamrec.ranking.views import FEW, style_of
from streamrec.settings.sections import Settings
from streamrec.sources.registry import sources_of
from streamrec.sources.segment import SEGMENT_PREFIX
from streamrec.sources.source import Shopper, Source
from streamrec.state.item_table import ItemTable

Array = NDArray[Any]
FOLLOWS = ("similarity",)
LIKE = ("content", "cosine")
"""Sources that are asked, the first that has something to say."""


class Neighbour(msgspec.Struct):
    """An item and what the source says of it: a share, or a cosine."""

    item: str
    score: float


class ItemList(msgspec.Struct):
    """The public JSON of sim:<item>; docs/redis.md is the contract."""

    item: str
    at: int  # epoch ms
    follows: list[Neighbour]
    like: list[Neighbour]


class ItemListMaker:
    """Asks the sources as if a user had taken one item and nothing else."""

    def __init__(self, settings: Settings) -> None:
        self._length = settings.items.similar_length
        by_name = {source.name: source for source in sources_of(settings) if source.active()}
        self._follows = [by_name[name] for name in FOLLOWS if name in by_name]
        self._like = [by_name[name] for name in LIKE if name in by_name]
        self._scores, self._touched = np.zeros(0), np.zeros(0, np.int32)

    def make(self, table: ItemTable, rows: Sequence[int], at: int) -> list[ItemList]:
        """Return the lists of items that have an id; at: epoch ms.

        Both parts hold at most items.similar_length available items, best first, or none.
        """
        n, arrays = len(table), table.arrays
        servable = arrays.stored[:n] & arrays.available[:n]
        named = [row for row in rows if is_item(table.ids[row])]
        people = [taken_only(row, table) for row in named]
        parts = [
            self._best(sources, people, table, servable) for sources in (self._follows, self._like)
        ]
        return [
            ItemList(table.ids[row] or "", at, follows, like)
            for row, follows, like in zip(named, *parts, strict=True)
        ]

    def _best(
        self,
        sources: Sequence[Source],
        people: Sequence[Shopper],
        table: ItemTable,
        servable: Array,
    ) -> list[list[Neighbour]]:
        """Return for each person what the first source says that says anything."""
        found: list[list[Neighbour]] = [[] for _ in people]
        for source in sources:
            open_ = [k for k, one in enumerate(found) if not one]
            if not open_:
                break
            values = self._values(source, [people[k] for k in open_], table, servable)
            for k, (rows, scores) in zip(open_, values, strict=True):
                found[k] = self._named(table, servable, int(people[k].history[0]), rows, scores)
        return found

    def _values(
        self, source: Source, people: Sequence[Shopper], table: ItemTable, servable: Array
    ) -> list[tuple[Array, Array]]:
        """Return rows and what is said of them, for each person."""
        n = len(table)
        if style_of(source) != FEW:
            out = np.empty((len(people), n), np.float32)
            source.score_all(table.arrays, people, out)
            return [self._highest(values, servable) for values in out]
        if len(self._scores) < n:
            self._scores, self._touched = np.zeros(2 * n), np.zeros(2 * n + 1, np.int32)
        found = []
        for person in people:
            said = source.score(table.arrays, person, self._scores, self._touched)
            rows = self._touched[: said.touched].copy()
            found.append((rows, self._scores[rows] / (said.total or 1.0)))
            self._scores[rows] = 0.0
        return found

    def _highest(self, values: Array, servable: Array) -> tuple[Array, Array]:
        """Return the rows of the highest values, the item's own among them, and these."""
        fit = np.flatnonzero(servable & (values > 0.0))  # not NaN
        most = self._length + 1
        if len(fit) > most:
            fit = fit[np.argpartition(values[fit], -most)[-most:]]
            fit.sort()
        return fit, values[fit]

    def _named(
        self, table: ItemTable, servable: Array, own: int, rows: Array, scores: Array
    ) -> list[Neighbour]:
        """Return the best of rows that may be shown, without the item itself."""
        fit = servable[rows] & (rows != own) & (scores > 0.0)
        rows, scores = rows[fit], scores[fit]
        best: list[Neighbour] = []
        for k in np.argsort(-scores, kind="stable")[: self._length].tolist():
            best.append(Neighbour(table.ids[rows[k]] or "", round(float(scores[k]), 4)))
        return best


def is_item(name: str | None) -> bool:
    """Say whether a row of the table is an item's, and not a segment's."""
    return bool(name) and not str(name).startswith(SEGMENT_PREFIX)
