"""Popularity: exponentially decayed counts at three half-lives."""

import math

from numba import njit

LOG_FLOOR = math.log(1e-6)
"""Log of the smallest share told apart from none."""


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


@njit(cache=True, nogil=True)
def refresh_heats(counts, clocks, rows, half_lives_ms, heats, sums, base):  # type: ignore[no-untyped-def]
    """Set heats[row] = log2(count) + clock / H for some rows, an order that needs no decay.

    The share of item j, at any time, is 2^(heat_j) / sum_k 2^(heat_k); -inf without events. The
    sum is kept up to date as sums = sum_k 2^(heat_k - base). Returns the largest new heat - base.
    """
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
