"""Popularity: exponentially decayed counts at three half-lives, one source each.

c <- c 2^(-(ts - clock)/H) + w for an event of weight w; the score of an item is its share of all
counts. Most popular items are kept in order, for they are the same for everybody.
"""

import math
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
from numba import njit
from numpy.typing import NDArray

from streamrec.settings.types import Positive, Section
from streamrec.sources.source import Source
from streamrec.state.schema import Column

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
    """What is popular at one half-life; the first of the three learns for all."""

    section: ClassVar[str] = "popularity"
    Settings = PopularitySettings
    half_life: ClassVar[int]

    def __init__(self, settings: Any) -> None:
        self._half_lives_ms = half_lives_ms(settings)
        # enough that who has seen the most popular items gets the next ones
        users = settings.users
        self._most = settings.blend.candidates + users.recent_items + users.seen_items
        self._popular = Popular(self._most, self.half_life)
        self._table: Any = None

    def columns(self) -> Sequence[Column]:
        """Return the counts, and the newest event time of the row (ms)."""
        return (Column("popularity", "<f4", 3), Column("clock", "<i8"))

    def learn(self, arrays: Any, update: Any) -> None:
        """Add what the record's events are worth to the items that they name."""
        if self.half_life == SHORT:
            c = update.columns
            named = c["item_events"], c["item_keys"], c["item_gains"], c["item_ts"]
            rows = arrays.popularity, arrays.clock
            _learn(rows, named, update.known, update.fresh, self._half_lives_ms)

    def prepare(self, table: Any) -> None:
        """Bring the order up to date."""
        if self._table is not table.table:  # its rows are other items
            self._popular, self._table = Popular(self._most, self.half_life), table.table
        self._popular.refresh(table.heats, table.servable, table.changed)

    def order(self) -> Array:
        """Return the most popular items."""
        return self._popular.order


class PopularityShort(Popularity):
    """What is hot now."""

    name = "popularity_short"
    weight = 0.05
    half_life = SHORT


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
def _learn(rows, named, known, fresh, half_lives_ms):  # type: ignore[no-untyped-def]
    """Add the gains of fresh events to rows: (counts float32[items, 3], clocks int64[items]).

    named: of each event that names an item, its number, the item's index in known, its gain, and
    as of when (ms).
    """
    counts, clocks = rows
    events, keys, gains, ts = named
    for i in range(len(events)):
        row = known[keys[i]]
        if fresh[events[i]] and row >= 0 and gains[i] != 0.0:
            add(counts, clocks, row, gains[i], ts[i], half_lives_ms)


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
    """Return the natural log of an item's share, at least LOG_FLOOR."""
    return max(LOG_FLOOR, math.log(2.0) * (heat - log2_total))


class Popular:
    """int32[most] rows by falling popularity at one half-life, available ones only, -1 padded."""

    def __init__(self, most: int, half_life: int) -> None:
        self.order: Array = np.full(most, -1, np.int32)
        self._half_life = half_life
        # entries used, -1: not made yet
        self._used = -1
        # of a full list: no item outside it is more popular
        self._bound = -math.inf

    def refresh(self, heats: Array, servable: Array, changed: Array) -> None:
        """Bring the list up to date; heats: float64[items, half-lives], changed: rows."""
        if self._used >= 0 and len(changed) * 8 < len(heats) + 64:
            state = (self._used, self._bound)
            self._used, self._bound = _update(
                self.order, state, heats, servable, changed, self._half_life
            )
        else:
            self._used = -1
        if self._used < 0:
            self._make_anew(heats[:, self._half_life], servable)

    def _make_anew(self, heats: Array, servable: Array) -> None:
        self.order[:] = -1
        worth = np.where(servable, heats, -np.inf)
        most = min(len(self.order), len(worth))
        rows = np.argpartition(-worth, most - 1)[:most] if most else np.zeros(0, np.int64)
        rows = rows[np.argsort(-worth[rows], kind="stable")]
        rows = rows[np.isfinite(worth[rows])]
        self.order[: len(rows)] = rows
        self._used = len(rows)
        self._bound = worth[rows[-1]] if len(rows) == len(self.order) else -math.inf


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
def _insert(order, used, row, heats, h):  # type: ignore[no-untyped-def]
    """Put a row behind all that are as popular, in an order int32[most] with room for it."""
    low, high = 0, used
    while low < high:
        middle = (low + high) // 2
        if heats[order[middle], h] >= heats[row, h]:
            low = middle + 1
        else:
            high = middle
    for n in range(used, low, -1):
        order[n] = order[n - 1]
    order[low] = row


@njit(cache=True, nogil=True)
def _update(order, state, heats, servable, changed, h):  # type: ignore[no-untyped-def]
    """Move the changed rows to their places; return (entries used, bound), used -1: make it anew.

    order: int32[most]; state: (entries used, bound); heats: float64[items, half-lives].
    """
    size, (before, bound) = len(order), state
    used = _drop(order, before, changed)
    for row in changed:
        if servable[row] and heats[row, h] > -np.inf:
            if used == size:
                last = order[size - 1]
                bound = max(bound, min(heats[last, h], heats[row, h]))
                if heats[row, h] <= heats[last, h]:
                    continue
                used -= 1
            _insert(order, used, row, heats, h)
            used += 1
    if used < size:  # all items there are, if it was no full list
        return (used if before < size else -1), bound
    # below its bound, an item that is not in the list may be better
    return (used if heats[order[size - 1], h] >= bound else -1), bound
