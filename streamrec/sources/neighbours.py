"""Neighbours: what items keep of the items taken around them, and what that adds to scores.

A source keeps in each item's row a list of neighbours, and says of a history, in an array `said`
float64[history, W], how much the list of each past item adds to the score of each neighbour in it.
`add` sums that up for all items, `lay_out` tells it by past item for some.
"""

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from streamrec.sources.source import Shopper, Source

Array = NDArray[Any]
Lists = tuple[Array, Array, Array]
"""(rows of neighbours int32[items, W], -1 unknown; what is kept of each [items, W]; how many were
ever put in [items]: of more than W the list holds W)."""


class Neighbours(Source):
    """A source whose score of an item is what the lists of the user's past items add to it."""

    def said(self, arrays: Any, past: Array, *, alone: bool = False) -> tuple[Lists, Array]:
        """Return the lists, and float64[past or fewer, W], what that of each past item adds.

        past: rows, newest first; alone: as if each of them were the newest.
        """
        raise NotImplementedError(self.name)

    def support(self, arrays: Any, user: Shopper, rows: Array, where: Array) -> Array:
        """Return what the list of each past item adds to the score of each row."""
        return self.laid_out(arrays, user.history, rows, where, alone=False)

    def pairs(self, arrays: Any, past: Array, rows: Array, where: Array) -> Array:
        """Return what the list of each past item alone says of each row."""
        return self.laid_out(arrays, past, rows, where, alone=True)

    def laid_out(
        self, arrays: Any, past: Array, rows: Array, where: Array, *, alone: bool
    ) -> Array:
        """Return float64[rows, past]: what the list of each past item adds to each row."""
        lists, said = self.said(arrays, past, alone=alone)
        out = np.zeros((len(rows), len(past)))
        lay_out(lists, past, said, rows, where, out)
        return out


@njit(cache=True, nogil=True)
def used(lists, row):  # type: ignore[no-untyped-def]
    """Return how many entries of a row's list are in use.

    lists: a plain tuple as Lists; row: an int.
    """
    return min(np.int64(lists[2][row]), lists[0].shape[1])


@njit(cache=True, nogil=True)
def scaled(lists, past, scales):  # type: ignore[no-untyped-def]
    """Return what is said where each weight in the list of past item b counts scales[b] times.

    lists: as Lists; past: int32[n]; scales: float64[n]; returns float64[n, W].
    """
    weights = lists[1]
    said = np.empty((len(past), weights.shape[1]))
    for b in range(len(past)):
        h = past[b]
        for n in range(used(lists, h)):
            said[b, n] = scales[b] * weights[h, n]
    return said


@njit(cache=True, nogil=True)
def add(lists, past, said, scores, touched):  # type: ignore[no-untyped-def]
    """Add what is said to `scores` (dense, zero before), its rows to `touched`; return how many.

    lists: a plain tuple as Lists; past: int32[...]; said: float64[n, W] of the first n of them.
    `touched` has one place more than there can be rows: each entry is written there without asking.
    """
    neighbours, found = lists[0], 0
    for b in range(len(said)):
        h = past[b]
        for n in range(used(lists, h)):
            j, more = neighbours[h, n], said[b, n]
            if j >= 0:
                touched[found] = j  # stays if it is new; decay may have left nothing
                found += (scores[j] == 0.0) & (more > 0.0)
                scores[j] += more
    return found


@njit(cache=True, nogil=True)
def lay_out(lists, past, said, rows, where, out):  # type: ignore[no-untyped-def]
    """Add to out float64[rows, past] what is said of rows, by past item.

    lists, past, said: as of `add`; where: int32[items] to work in, with anything in it.
    """
    neighbours = lists[0]
    for r in range(len(rows)):
        where[rows[r]] = r
    for b in range(len(said)):
        h = past[b]
        for n in range(used(lists, h)):
            j = neighbours[h, n]
            if j >= 0:
                r = where[j]
                if r < len(rows) and rows[r] == j:  # else the number is an old one
                    out[r, b] += said[b, n]


@njit(cache=True, nogil=True)
def sum_of(scores, touched, count):  # type: ignore[no-untyped-def]
    """Return the sum of scores float64[items] over the first `count` rows of touched."""
    total = 0.0
    for n in range(count):
        total += scores[touched[n]]
    return total
