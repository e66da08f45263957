"""Popularity: exponentially decayed counts at three half-lives, one source each.

c <- c 2^(-(ts - clock)/H) + w for an event of weight w; the score of an item is its share of all
counts. Most popular items are kept in order, for they are the same for everybody.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from streamrec.settings.types import Positive, Section
from streamrec.sources.source import Source
from streamrec.state.schema import ALL, Column

Array = NDArray[Any]
LOG_FLOOR = math.log(1e-6)
"""Log of the smallest share told apart from none."""
HALF_LIVES = {"short": 0, "medium": 1, "long": 2}
SHORT, MEDIUM, LONG = range(3)


class PopularitySettings(Section, frozen=True, kw_only=True):
    """Exponentially decayed popularity."""

    half_lives_seconds: tuple[Positive, Positive, Positive] = (900.0, 14_400.0, 604_800.0)
    """Three half-lives: what is hot now, today, this week."""


def half_lives_ms(settings: Any) -> NDArray[np.float64]:
    """Return float64[3]."""
    return np.array(settings.popularity.half_lives_seconds, np.float64) * 1000.0


class Popularity(Source):
    """What is popular at one half-life; the counts of all three are learnt by the first."""

    section = "popularity"
    Settings = PopularitySettings

    def __init__(self, settings: Any) -> None:
        self._half_lives_ms = half_lives_ms(settings)

    def columns(self) -> Sequence[Column]:
        """Return the counts, and the newest event time of the row (ms)."""
        return (Column("popularity", "<f4", 3), Column("clock", "<i8"))


class PopularityShort(Popularity):
    """What is hot now."""

    name = "popularity_short"
    weight = 0.05
    half_life = SHORT

    def learn(self, arrays: Any, update: Any) -> None:
        """Count the record's events (item_rows.FACTS) and add their gains."""
        a = arrays
        rows = a.popularity, a.clock, a.events, a.born, a.items_changed
        _learn(rows, update.columns["items"], update.events, self._half_lives_ms)


class PopularityMedium(Popularity):
    """What is popular today."""

    name = "popularity_medium"
    weight = 0.02
    half_life = MEDIUM


class PopularityLong(Popularity):
    """What is popular this week."""

    name = "popularity_long"
    weight = 0.1
    half_life = LONG


@njit(cache=True, nogil=True)
def _learn(rows, named, of_events, half_lives_ms):  # type: ignore[no-untyped-def]
    """Count fresh events and add their gains.

    rows: (counts float32[items, 3], clocks int64[items], events uint32[items], born int64[items],
    changed int32[items]); named: updates.ITEM[...]; of_events: updates.Learnt.events.
    """
    counts, clocks, events, born, changed = rows
    known, fresh, _, ts = of_events
    for one in named:
        e, row = one.event, known[one.key]
        if fresh[e] and row >= 0:
            events[row] += one.counts
            if born[row] == 0:
                born[row] = ts[e]
            changed[row] = ALL
            if one.gain != 0.0:
                add(counts, clocks, row, one.gain, one.ts, half_lives_ms)


@njit(cache=True, nogil=True)
def add(counts, clocks, row, weight, ts, half_lives_ms):  # type: ignore[no-untyped-def]
    """Add one event of `weight` at event time `ts` (ms) to counts[row]; late ones arrive decayed.

    counts: float32[items, 3]; clocks: int64[items], the newest event time of the row.
    """
    age = ts - clocks[row]
    for h in range(len(half_lives_ms)):
        if age > 0:
            counts[row, h] = counts[row, h] * 2.0 ** (-age / half_lives_ms[h]) + weight
        else:
            counts[row, h] += weight * 2.0 ** (age / half_lives_ms[h])
    if age > 0:
        clocks[row] = ts


@njit(cache=True, nogil=True)
def refresh_heats(rows, of_items, half_lives_ms, sums, base):  # type: ignore[no-untyped-def]
    """Set heats[row] = log2(count) + clock / H for some rows, an order that needs no decay.

    of_items: (counts float32[items, 3], clocks int64[items], heats float64[items, 3]). The share
    of item j, at any time, is 2^(heat_j) / sum_k 2^(heat_k); -inf without events. The sum is kept
    up to date as sums = sum_k 2^(heat_k - base). Returns the largest new heat - base.
    """
    counts, clocks, heats = of_items
    largest = -math.inf
    for row in rows:
        for h in range(len(half_lives_ms)):
            count = counts[row, h]
            new = -math.inf
            if count > 1e-12:
                new = math.log2(count) + clocks[row] / half_lives_ms[h]
            sums[h] += 2.0 ** (new - base[h]) - 2.0 ** (heats[row, h] - base[h])
            heats[row, h] = new
            largest = max(largest, new - base[h])
    return largest


@njit(cache=True, nogil=True)
def log_share(heat, log2_total):  # type: ignore[no-untyped-def]
    """Return the natural log of an item's share, at least LOG_FLOOR.

    heat: float64, log2 of its popularity; log2_total: float64, the same of all.
    """
    return max(LOG_FLOOR, math.log(2.0) * (heat - log2_total))


class Popular:
    """int32[half-lives, most] rows by falling popularity, available ones only, -1 padded.

    Of equals the lower row comes first, so that the order is the items' alone, however often it was
    brought up to date.
    """

    def __init__(self, most: int, half_lives: int = 3) -> None:
        self.order: Array = np.full((half_lives, most), -1, np.int32)
        self._used: Array = np.full(half_lives, -1, np.int64)  # -1: not made yet
        # of a full list: no item outside it comes before this popularity and row
        self._bounds: Array = np.full(half_lives, -np.inf)
        self._bound_rows: Array = np.zeros(half_lives, np.int64)

    def refresh(self, heats: Array, servable: Array, changed: Array) -> None:
        """Bring the lists up to date; heats: float64[items, half-lives], changed: rows."""
        few = len(changed) * 8 < len(heats) + 64
        state = self._used, self._bounds, self._bound_rows
        if not few or not _update_all(self.order, state, heats, servable, changed):
            self._make_anew(heats, servable)

    def _make_anew(self, heats: Array, servable: Array) -> None:
        self.order[:] = -1
        for h in range(len(self.order)):
            worth = np.where(servable, heats[:, h], -np.inf)
            most = min(self.order.shape[1], len(worth))
            least = np.partition(worth, len(worth) - most)[len(worth) - most] if most else np.inf
            sure, level = np.flatnonzero(worth > least), np.flatnonzero(worth == least)
            rows = np.sort(np.concatenate([sure, level[: most - len(sure)]]))
            rows = rows[np.argsort(-worth[rows], kind="stable")]
            rows = rows[np.isfinite(worth[rows])]
            self.order[h, : len(rows)] = rows
            self._used[h] = len(rows)
            full = 0 < len(rows) == self.order.shape[1]
            self._bounds[h] = worth[rows[-1]] if full else -np.inf
            self._bound_rows[h] = rows[-1] if full else 0


@njit(cache=True, nogil=True)
def _drop(order, used, rows):  # type: ignore[no-untyped-def]
    """Take some rows out of the first `used` entries of order int32[most]; return how many stay."""
    for row in rows:
        for n in range(used):  # no early exit, so it vectorises
            if order[n] == row:
                order[n] = -1
    left = 0
    for n in range(used):
        if order[n] >= 0:
            order[left] = order[n]
            left += 1
    order[left:used] = -1
    return left


@njit(cache=True, nogil=True)
def _first(heat, row, other_heat, other):  # type: ignore[no-untyped-def]
    """Tell whether a row comes before another one.

    By heat, a float64, then by row, an int.
    """
    return heat > other_heat or (heat == other_heat and row < other)


@njit(cache=True, nogil=True)
def _insert(order, used, row, heats, h):  # type: ignore[no-untyped-def]
    """Put a row behind all that come before it, in an order int32[most] with room for it."""
    low, high = 0, used
    while low < high:
        middle = (low + high) // 2
        if _first(heats[order[middle], h], order[middle], heats[row, h], row):
            low = middle + 1
        else:
            high = middle
    for n in range(used, low, -1):
        order[n] = order[n - 1]
    order[low] = row


@njit(cache=True, nogil=True)
def _update(order, used, bounds, items, changed, h):  # type: ignore[no-untyped-def]
    """Bring one order int32[most] up to date; return how many it has, -1: it must be made anew.

    bounds: (float64[half-lives], int64[half-lives] rows); items: (heats float64[items, half-lives],
    servable bool[items]).
    """
    heats, servable = items
    bound, bound_row = bounds
    size, before = len(order), used
    used = _drop(order, used, changed)
    for row in changed:
        if servable[row] and heats[row, h] > -np.inf:
            if used == size:
                out = order[size - 1]
                comes_in = _first(heats[row, h], row, heats[out, h], out)
                out = out if comes_in else row
                if _first(heats[out, h], out, bound[h], bound_row[h]):
                    bound[h], bound_row[h] = heats[out, h], out
                if not comes_in:
                    continue
                used -= 1
            _insert(order, used, row, heats, h)
            used += 1
    if used < size:  # all items there are, if it was no full list
        return used if before < size else -1
    # behind its bound, an item that is not in the list may come before the last one
    last = order[size - 1]
    return used if not _first(bound[h], bound_row[h], heats[last, h], last) else -1


@njit(cache=True, nogil=True)
def _update_all(order, state, heats, servable, changed):  # type: ignore[no-untyped-def]
    """Move the changed rows to their places; return False if the lists must be made anew.

    order: int32[half-lives, most]; state: (entries used int64[half-lives], bounds float64[...],
    their rows int64[...]).
    """
    used, bounds, rows = state
    for h in range(order.shape[0]):
        if used[h] >= 0:
            items = heats, servable
            used[h] = _update(order[h], used[h], (bounds, rows), items, changed, h)
        if used[h] < 0:
            return False
    return True
