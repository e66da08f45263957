"""What the sources that speak of all items say, for a batch of users: of all, or of what passes."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from streamrec.ranking.passing import Passing
from streamrec.sources.source import Shopper, Source, having

Array = NDArray[Any]


ALL = 0
"""The group of those whose items are not picked out."""


class Dense:
    """Asks the sources, once for all users who may be shown the same items."""

    def __init__(self, sources: Sequence[Source]) -> None:
        self._sources = sources
        self._picking = having("score_rows", sources)
        self._said: Array = np.zeros((len(sources), 1, 0), np.float32)

    def of(
        self,
        arrays: Any,
        size: int,
        shoppers: Sequence[Shopper],
        passing: Sequence[Passing | None],
        asked: Sequence[bool],
    ) -> Iterator[tuple[Array, int]]:
        """Yield for each user (float32[ALL sources, users, size], number), as `gather` wants it.

        asked: by source; of rows that do not pass, and by sources that are not asked, anything may
        be said. Each is good until the next one is asked for.
        """
        alike: dict[int, list[Shopper]] = {}
        numbers = []
        for shopper, each in zip(shoppers, passing, strict=True):
            people = alike.setdefault(_group(each), [])
            numbers.append(len(people))
            people.append(shopper)
        found: dict[int, Array] = {}
        for number, each in zip(numbers, passing, strict=True):
            group = _group(each)
            if number == 0:
                found[group] = self._asked(arrays, size, alike[group], each, asked)
            if each is not None and each.picked:
                self._put(found[group][:, number], each.rows, size)
                yield self._said, 0
            else:
                yield found[group], number

    def _asked(
        self,
        arrays: Any,
        size: int,
        people: Sequence[Shopper],
        passing: Passing | None,
        asked: Sequence[bool],
    ) -> Array:
        if passing is None or not passing.picked:
            return self._all(arrays, size, people, asked)
        return self._picked(arrays, size, people, passing.rows, asked)

    def _all(
        self, arrays: Any, size: int, people: Sequence[Shopper], asked: Sequence[bool]
    ) -> Array:
        out = np.empty((len(self._sources), len(people), size), np.float32)
        for source, said, wanted in zip(self._sources, out, asked, strict=True):
            if wanted:  # else nobody reads it
                source.score_all(arrays, people, said)
        return out

    def _picked(
        self,
        arrays: Any,
        size: int,
        people: Sequence[Shopper],
        rows: Array,
        asked: Sequence[bool],
    ) -> Array:
        """Return float32[ALL sources, users, rows]."""
        out = np.empty((len(self._sources), len(people), len(rows)), np.float32)
        for source, said, wanted in zip(self._sources, out, asked, strict=True):
            if not wanted:
                continue
            if source in self._picking:
                source.score_rows(arrays, people, rows, said)
            else:
                whole = np.empty((len(people), size), np.float32)
                source.score_all(arrays, people, whole)
                said[:] = whole[:, rows]
        return out

    def _put(self, said: Array, rows: Array, size: int) -> None:
        """Lay what was said of the rows where `gather` looks for it."""
        if self._said.shape[2] != size:
            self._said = np.zeros((len(self._sources), 1, size), np.float32)
        self._said[:, 0, rows] = said


def _group(passing: Passing | None) -> int:
    """Return what is the same for users for whom the same items are picked out."""
    return id(passing) if passing is not None and passing.picked else ALL
