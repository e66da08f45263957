"""Repeats: what the user takes again, and when, from the history alone.

Score of j: takes_j / (rank_j + 4), rank 1 being the newest item; a tenth of it for an item of
this session, which waits for the next one. No state of its own for that.

An item taken again in a later session is a repeat. Each entry of a history has the user's usual
gap between two takes, u, and each item how many repeats it had and the sum of their gaps; gaps are
log(1 + hours). Of these are three facts of a candidate, extras of the blend:

    since = log(1 + hours since the user took it)          0: it is not in the history
    due   = since - usual_j, within -3..3                  the same
    again = (repeats_j + 1) / (events_j + 4)

usual_j = (sum of gaps + 3 log 501) / (repeats_j + 3) of the item; of a user who took it again,
(usual_j + 2 u) / 3.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from streamrec.sources.source import Said, Shopper, Source
from streamrec.state.schema import ALL, Column

Array = NDArray[Any]
DELAY = 4.0
"""Added to the rank: the newest item weighs twice as much as the sixth, not six times."""
WAITS = 0.1
"""Weight of an item of this session: what was just bought is not bought again at once."""
FACTS = ("since", "due", "again")
"""Of a candidate, where repeats are listed: see above."""
STEPS = 22.0
"""Of a code, for 1 of log(1 + hours): 254 of them are 11 years."""
RATE = 1.0 / 3.0
"""Of the usual gap towards the latest."""
PRIOR, PRIOR_GAP = 3.0, math.log1p(500.0)
"""Gaps of three weeks that each item starts with, as so many repeats."""
MOST_DUE = 3.0
HOUR_MS = 3_600_000.0
NO_REPEATS = np.zeros(0, np.uint32), np.zeros(0, np.uint32), np.zeros(0, np.float32)


class Repeats(Source):
    """What the user took before; only where lists may hold it."""

    name = "repeats"
    in_pairs = "raw"

    def __init__(self, settings: Any) -> None:
        self._allowed = gap_ms(settings) > 0

    def active(self) -> bool:
        """Say whether lists may hold what the user took."""
        return self._allowed

    def columns(self) -> Sequence[Column]:
        """Return how many repeats the item had, and the sum of their gaps."""
        return (Column("repeats", "<u4"), Column("repeat_gaps", "<f4")) if self._allowed else ()

    def learn(self, arrays: Any, update: Any) -> None:
        """Count the record's repeats."""
        if self._allowed:
            rows = arrays.repeats, arrays.repeat_gaps, arrays.items_changed
            _learn(rows, update.columns["items"], update.events)

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


def gap_ms(settings: Any) -> int:
    """Return after how long taking an item again is a repeat; 0 where lists hold none."""
    if settings.lists.exclude != "none":
        return 0
    return max(1, int(settings.lists.session_seconds * 1000))


def gap_hours(code: int) -> float:
    """Return the hours of a code above 0."""
    return round(math.expm1((code - 1) / STEPS), 1)


def rows_of(arrays: Any, items: int) -> tuple[Array, Array, Array]:
    """Return what facts are made of: of so many items, events, repeats and the sums of gaps.

    Of none where lists hold no repeats.
    """
    if "repeats" not in arrays.names:
        return NO_REPEATS
    return arrays.events[:items], arrays.repeats[:items], arrays.repeat_gaps[:items]


@njit(cache=True, nogil=True)
def gap_code(elapsed, least):  # type: ignore[no-untyped-def]
    """Return a gap of so many ms as 1 + STEPS log(1 + hours), at most 255.

    0: there is none: it is no longer than `least` ms, or that is 0. elapsed, least: int64.
    """
    if least <= 0 or elapsed <= least:
        return 0
    return min(255, 1 + round(STEPS * math.log1p(elapsed / HOUR_MS)))


@njit(cache=True, nogil=True)
def log_gap(code):  # type: ignore[no-untyped-def]
    """Return log(1 + hours) of a code above 0.

    code: uint8.
    """
    return (code - 1.0) / STEPS


@njit(cache=True, nogil=True)
def usual_gap(usual, code):  # type: ignore[no-untyped-def]
    """Return the code of a user's usual gap after one more; either may be 0 for none.

    usual, code: uint8.
    """
    if code == 0:
        return np.int64(usual)
    if usual == 0:
        return np.int64(code)
    return np.int64(round(usual + RATE * (code - np.int64(usual))))


@njit(cache=True, nogil=True)
def _learn(rows, named, of_events):  # type: ignore[no-untyped-def]
    """Add fresh repeats.

    rows: (repeats uint32[items], sums of gaps float32[items], changed int32[items]); named:
    updates.ITEM[...]; of_events: updates.Learnt.events.
    """
    repeats, gaps, changed = rows
    known, fresh, _, _ = of_events
    for one in named:
        row = known[one.key]
        if one.gap > 0 and fresh[one.event] and row >= 0:
            repeats[row] += 1
            gaps[row] += log_gap(one.gap)
            changed[row] = ALL


@njit(cache=True, nogil=True)
def again(j, rows):  # type: ignore[no-untyped-def]
    """Return the share of an item's events that are repeats.

    rows: (events uint32[items], repeats uint32[items], sums of gaps float32[items]).
    """
    return (rows[1][j] + 1.0) / (rows[0][j] + 4.0)


@njit(cache=True, nogil=True)
def since_and_due(elapsed, own, j, rows):  # type: ignore[no-untyped-def]
    """Return the two facts of an item that was taken so many ms ago; own: code of the usual gap.

    elapsed: int64; own: uint8.
    """
    usual = (rows[2][j] + PRIOR * PRIOR_GAP) / (rows[1][j] + PRIOR)
    if own > 0:
        usual = (usual + 2.0 * log_gap(own)) / 3.0
    since = math.log1p(max(0, elapsed) / HOUR_MS)
    return since, min(MOST_DUE, max(-MOST_DUE, since - usual))


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
