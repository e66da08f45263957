"""Cosine: symmetric co-occurrence over long histories, normalised like a cosine.

Event i after history h_1 (newest), h_2, ...: S[h_b, i] and S[i, h_b] += b^-1/2 for the newest
fifty. Score of j: sum_b S[h_b, j] / (b sqrt(n_{h_b} n_j)), n being counts of events. Lists are
bounded as in similarity.py.
"""

import math
from collections.abc import Sequence
from typing import Annotated, Any

import numpy as np
from msgspec import Meta
from numba import njit
from numpy.typing import NDArray

from streamrec.settings.types import NonNegative, Section
from streamrec.sources.similarity import (
    gains,
    learn_pairs,
    list_columns,
)
from streamrec.sources.slots import note_slots, slot_of
from streamrec.sources.source import Said, Shopper, Source
from streamrec.state.schema import Column

Array = NDArray[Any]


class CosineSettings(Section, frozen=True, kw_only=True):
    """Symmetric co-occurrence over long histories, normalised like a cosine."""

    window: Annotated[int, Meta(ge=1, le=127)] = 50
    """Earlier items of the user that are paired with a new one; the b-th newest weighs b^-1/2."""
    neighbours: Annotated[int, Meta(ge=0, le=1000)] = 0
    """Neighbours kept for an item, with the same slack of two; 0 switches this source off."""
    half_life_seconds: NonNegative = 0.0
    """Half-life of the counts; 0: none."""


class Cosine(Source):
    """What goes with all that the user took."""

    name = section = "cosine"
    Settings = CosineSettings
    weight = 0.3

    def __init__(self, settings: Any) -> None:
        mine: CosineSettings = settings.cosine
        self._neighbours = mine.neighbours
        self._window = mine.window
        half_life_ms = mine.half_life_seconds * 1000.0
        self._by = *gains(mine.window, 1.0, 1.0, power=0.5), half_life_ms

    def active(self) -> bool:
        """Say whether it keeps lists."""
        return self._neighbours > 0

    def window(self) -> int:
        """Return how many earlier items it pairs an event with."""
        return self._window if self._neighbours else 0

    def columns(self) -> Sequence[Column]:
        """Return the list."""
        return list_columns("cosine", 2 * self._neighbours, counted=False)

    def learn(self, arrays: Any, update: Any) -> None:
        """Add the record's pairs to the lists of their items."""
        a = arrays
        if self._neighbours:
            no_counts, nothing = a.similarity_counts[:, :0], (a.pairs[:0], a.items_changed[:0])
            lists = (
                a.cosine_keys, a.cosine_weights, no_counts, a.cosine_size, a.cosine_clock,
                a.cosine_changed, *nothing,
            )  # fmt: skip
            learn_pairs(lists, update.columns["pairs"], update.events, self._by)

    def score(self, arrays: Any, user: Shopper, scores: Array, touched: Array) -> Said:
        """Add the cosines with all past items."""
        a = arrays
        lists = a.cosine_keys, a.cosine_weights, a.cosine_size, a.events
        count, total = score(lists, user.history, scores, touched)
        return Said(count, total)

    def support(self, arrays: Any, user: Shopper, rows: Array, where: Array) -> Array:
        """Return each past item's term of the sum."""
        a = arrays
        lists = a.cosine_keys, a.cosine_weights, a.cosine_size, a.events
        out = np.zeros((len(rows), len(user.history)))
        support(lists, user.history, rows, where, out)
        return out

    def pairs(self, arrays: Any, past: Array, rows: Array, where: Array) -> Array:
        """Return the cosine of each row with each past item."""
        a = arrays
        lists = a.cosine_keys, a.cosine_weights, a.cosine_size, a.events
        out = np.zeros((len(rows), len(past)))
        support(lists, past, rows, where, out)
        out *= np.arange(1.0, len(past) + 1.0)
        return out


@njit(cache=True, nogil=True)
def score(lists, history, scores, touched):  # type: ignore[no-untyped-def]
    """Add sum_b S[h_b, j] / (b sqrt(n_{h_b} n_j)) to `scores`; return how many were touched, sum.

    lists: (rows int32[items, 2K], -1 unknown; weights float32[items, 2K]; sizes int32[items];
    events uint32[items]); scores: float64[items]; touched: int32[...].
    """
    neighbours, weights, sizes, events = lists
    found = 0
    for b in range(len(history)):
        h = history[b]
        scale = 1.0 / ((b + 1.0) * math.sqrt(max(1.0, events[h])))
        for n in range(sizes[h]):
            j, more = neighbours[h, n], scale * weights[h, n]
            if j >= 0:
                touched[found] = j
                found += (scores[j] == 0.0) & (more > 0.0)
                scores[j] += more
    total = 0.0
    for n in range(found):
        j = touched[n]
        scores[j] /= math.sqrt(max(1.0, events[j]))
        total += scores[j]
    return found, total


@njit(cache=True, nogil=True)
def support(lists, history, rows, where, out):  # type: ignore[no-untyped-def]
    """Set out float64[rows, history] to what each past item's list (see score) adds to rows."""
    neighbours, weights, sizes, events = lists
    note_slots(rows, where)
    for b in range(len(history)):
        h = history[b]
        for n in range(sizes[h]):
            r = slot_of(neighbours[h, n], rows, where)
            if r >= 0:
                both = max(1.0, events[h]) * max(1.0, events[rows[r]])
                out[r, b] = weights[h, n] / ((b + 1.0) * math.sqrt(both))
