"""Popularity: exponentially decayed counts at three half-lives."""

import numpy as np
from numba import njit
from numpy.typing import NDArray


@njit(cache=True, nogil=True)
def add(counts, clocks, row, weight, ts, half_lives_ms):  # type: ignore[no-untyped-def]
    """Add one event of `weight` at event time `ts` to counts[row]; late events arrive decayed.

    c <- c 2^(-(ts - clock)/H) + w, the clock being the newest event time of the row (ms).
    """
    age = ts - clocks[row]
    for h in range(len(half_lives_ms)):
        if age > 0:
            counts[row, h] = counts[row, h] * 2.0 ** (-age / half_lives_ms[h]) + weight
        else:
            counts[row, h] += weight * 2.0 ** (age / half_lives_ms[h])
    if age > 0:
        clocks[row] = ts


def shares(
    counts: NDArray[np.float32],
    clocks: NDArray[np.int64],
    now: int,
    half_lives_ms: NDArray[np.float64],
) -> NDArray[np.float32]:
    """Return float32[items, half-lives]: each item's share of all events, decayed to `now` (ms)."""
    age = np.minimum(clocks - now, 0).astype(np.float64)
    decayed = np.maximum(counts, 0.0) * np.exp2(age[:, None] / half_lives_ms)
    total = decayed.sum(axis=0)
    return (decayed / np.where(total > 0, total, 1.0)).astype(np.float32)
