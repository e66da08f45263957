"""The profile that fits a log, chosen from its first events alone."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from streamrec.settings.profiles import Profile

FIRST = 20_000
SHARE, MOST = 0.3, 100_000
"""Repeats are looked for in this share of a longer log, for they take time to come."""
AGAIN, LATER = 0.1, 0.05
"""Shares from which a log is a shop's: of all events, of those in a user's later visits."""
FEW = 100
"""Events in later visits of which nothing is concluded."""
VISIT_MS = 1_800_000
HOURLY = 0.1
"""Share of the next items that the last hour's popularity must find in a log of news."""
HALF_LIVES_MS = (3_600_000.0, 604_800_000.0)


class Choice(NamedTuple):
    """A profile and why."""

    profile: Profile
    why: str


def choose(
    users: Sequence[int] | NDArray[np.int32], items: NDArray[np.int32], ts: NDArray[np.int64]
) -> Choice:
    """Return the profile for events in time order, from the first 20,000 or, of repeats, 30 %.

    Many repeats: shop. Otherwise news if the popularity of the last hour finds the next item
    (among its ten most popular) often, and more often than that of the last week; else catalogue.
    """
    users = np.asarray(users)
    count = max(FIRST, min(MOST, int(SHARE * len(items))))
    again, later = _repeats(users[:count], items[:count], ts[:count])
    if again >= AGAIN:
        return Choice("shop", f"{again:.0%} of the first events take an item again")
    if later >= LATER:
        return Choice("shop", f"{later:.0%} of the events in later visits take an item again")
    hour, week = (_hits(items[:FIRST], ts[:FIRST], half_life) for half_life in HALF_LIVES_MS)
    words = f"what was popular in the last hour hits {hour:.1%}, in the last week {week:.1%}"
    return Choice("news" if hour > max(week, HOURLY) else "catalogue", words)


def _repeats(
    users: NDArray[np.int32], items: NDArray[np.int32], ts: NDArray[np.int64]
) -> tuple[float, float]:
    """Return the share of events that take an item again, and the same of later visits.

    An item right after itself is not taken again. A visit ends after half an hour without events;
    in a later one, what an earlier one took counts.
    """
    latest: dict[int, tuple[int, int]] = {}  # of a user: item, time
    visits: dict[int, int] = {}
    taken: dict[tuple[int, int], int] = {}  # in which visit first
    again = later = chances = 0
    for user, item, now in zip(users.tolist(), items.tolist(), ts.tolist(), strict=True):
        last, before = latest.get(user, (-1, now))
        visit = visits[user] = visits.get(user, 0) + (now - before > VISIT_MS)
        again += last != item and (user, item) in taken
        chances += visit > 0
        later += taken.setdefault((user, item), visit) < visit
        latest[user] = item, now
    return again / max(1, len(users)), later / chances if chances >= FEW else 0.0


@njit(cache=True, nogil=True)
def _hits(items, ts, half_life_ms):  # type: ignore[no-untyped-def]
    """Return how often the next item is among the ten of the highest decayed popularity.

    items: int[n], numbers from 0; ts: int64[n], ms.
    """
    heat = np.full(items.max() + 1 if len(items) else 1, -np.inf)
    hits = 0
    for n in range(len(items)):
        i = items[n]
        above = 0
        for j in range(len(heat)):
            above += heat[j] > heat[i]
        hits += heat[i] > -np.inf and above < 10
        now = (ts[n] - ts[0]) / half_life_ms
        gap = heat[i] - now
        heat[i] = now + (np.log2(1.0 + 2.0**gap) if heat[i] > -np.inf else 0.0)
    return hits / max(1, len(items))
