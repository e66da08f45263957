"""The profile that fits a log, chosen from its first events alone."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from streamrec.profiles import Profile

MOST = 20_000
REPEATS = 0.1
"""Share of events that take an item again (not at once) from which a log is a shop's."""
HALF_LIVES_MS = (3_600_000.0, 604_800_000.0)


class Choice(NamedTuple):
    """A profile and why."""

    profile: Profile
    why: str


def choose(
    users: Sequence[int] | NDArray[np.int32], items: NDArray[np.int32], ts: NDArray[np.int64]
) -> Choice:
    """Return the profile for events in time order, of which the first 20,000 are looked at.

    Many repeats: shop. Otherwise news if the popularity of the last hour finds the next item
    (among its ten most popular) more often than that of the last week; else catalogue.
    """
    users, items, ts = np.asarray(users)[:MOST], items[:MOST], ts[:MOST]
    repeats = _repeats(users, items)
    if repeats >= REPEATS:
        return Choice("shop", f"{repeats:.0%} of the first events take an item again")
    hour, week = (_hits(items, ts, half_life) for half_life in HALF_LIVES_MS)
    words = f"what was popular in the last hour hits {hour:.1%}, in the last week {week:.1%}"
    return Choice("news" if hour > week else "catalogue", words)


def _repeats(users: NDArray[np.int32], items: NDArray[np.int32]) -> float:
    latest: dict[int, int] = {}
    taken: set[tuple[int, int]] = set()
    again = 0
    for user, item in zip(users.tolist(), items.tolist(), strict=True):
        again += (user, item) in taken and latest.get(user) != item
        taken.add((user, item))
        latest[user] = item
    return again / max(1, len(users))


@njit(cache=True, nogil=True)
def _hits(items, ts, half_life_ms):  # type: ignore[no-untyped-def]
    """Return how often the next item is among the ten of the highest decayed popularity."""
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
