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
from streamrec.sources.neighbours import Lists, Neighbours, add, scaled
from streamrec.sources.similarity import gains, learn_pairs, list_columns
from streamrec.sources.source import Said, Shopper
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


class Cosine(Neighbours):
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
        lists, said = self.said(arrays, user.history)
        count = add(lists, user.history, said, scores, touched)
        return Said(count, _normalise(scores, touched[:count], arrays.events))

    def said(self, arrays: Any, past: Array, *, alone: bool = False) -> tuple[Lists, Array]:
        """Return each past item's terms of the sum, but for what the other item is divided by."""
        lists = arrays.cosine_keys, arrays.cosine_weights, arrays.cosine_size
        return lists, scaled(lists, past, _scales(arrays.events, past, alone))

    def laid_out(
        self, arrays: Any, past: Array, rows: Array, where: Array, *, alone: bool
    ) -> Array:
        """Return each past item's term of the sum."""
        terms = super().laid_out(arrays, past, rows, where, alone=alone)
        terms /= np.sqrt(np.maximum(1.0, arrays.events[rows]))[:, None]
        return terms


@njit(cache=True, nogil=True)
def _scales(events, past, alone):  # type: ignore[no-untyped-def]
    """Return float64[past]: 1 / (b sqrt(n)), without b where each is alone; n: uint32[items]."""
    scales = np.empty(len(past))
    for b in range(len(past)):
        rank = 1.0 if alone else b + 1.0
        scales[b] = 1.0 / (rank * math.sqrt(max(1.0, events[past[b]])))
    return scales


@njit(cache=True, nogil=True)
def _normalise(scores, rows, events):  # type: ignore[no-untyped-def]
    """Divide the scores of rows by sqrt(n); return their sum.

    scores: float64[items]; rows: int32[...]; events: uint32[items], the n of each.
    """
    total = 0.0
    for j in rows:
        scores[j] /= math.sqrt(max(1.0, events[j]))
        total += scores[j]
    return total
