"""Repeats: what the user takes again, and when, from the history alone.

Score of j: takes_j / (rank_j + 4), rank 1 being the newest item; a tenth of it for an item of
this session, which waits for the next one. No state but the history and its counts.
"""

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from streamrec.sources.source import Said, Shopper, Source

Array = NDArray[Any]
DELAY = 4.0
"""Added to the rank: the newest item weighs twice as much as the sixth, not six times."""
WAITS = 0.1
"""Weight of an item of this session: what was just bought is not bought again at once."""


class Repeats(Source):
    """What the user took before; only where lists may hold it."""

    name = "repeats"
    in_pairs = "raw"

    def __init__(self, settings: Any) -> None:
        self._allowed: bool = settings.lists.exclude == "none"

    def active(self) -> bool:
        """Say whether lists may hold what the user took."""
        return self._allowed

    def score(self, arrays: Any, user: Shopper, scores: Array, touched: Array) -> Said:
        """Score the recent items."""
        count, total = score(user.history, user.takes, user.in_session, scores, touched)
        return Said(count, total)

    def support(self, arrays: Any, user: Shopper, rows: Array, where: Array) -> Array:
        """Return the item's own score: a repeat is its own reason."""
        n = len(user.history)
        own = user.takes / (np.arange(n) + 1.0 + DELAY) * np.where(user.in_session, WAITS, 1.0)
        out: Array = (rows[:, None] == user.history) * own
        return out

    def pairs(self, arrays: Any, past: Array, rows: Array, where: Array) -> Array:
        """Return 2 where the row is the past item itself."""
        same: Array = rows[:, None] == past
        return same * 2.0


@njit(cache=True, nogil=True)
def score(history, takes, in_session, scores, touched):  # type: ignore[no-untyped-def]
    """Write each history item's score to `scores` and its row to `touched`; return how many, sum.

    history: int32[n] rows, newest first; takes uint8[n], in_session bool[n]: of each entry.
    """
    total = 0.0
    for b in range(len(history)):
        j = history[b]
        scores[j] = takes[b] / (b + 1.0 + DELAY)
        if in_session[b]:
            scores[j] *= WAITS
        touched[b] = j
        total += scores[j]
    return len(history), total
