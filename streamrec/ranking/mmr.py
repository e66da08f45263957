"""Variety by maximal marginal relevance (Carbonell and Goldstein, SIGIR 1998)."""

import math

import numpy as np
from numba import njit


@njit(cache=True, nogil=True)
def mmr(r, cosines, dial, length):  # type: ignore[no-untyped-def]
    """Return a way's order (variety.py).

    Each next item is argmax_j dial r_j - (1 - dial) max_{i chosen} cos(i, j). O(n length).
    Shapes: float64[n], float64[n, n] and int64[length], as there.
    """
    n = len(r)
    order = np.empty(length, np.int64)
    left = np.ones(n, np.bool_)
    nearest = np.full(n, -1.0)
    for k in range(length):
        best, value = -1, -math.inf
        for j in range(n):
            if left[j]:
                v = dial * r[j] - (1.0 - dial) * nearest[j] if k > 0 else r[j]
                if v > value:
                    best, value = j, v
        order[k] = best
        left[best] = False
        for j in range(n):
            nearest[j] = max(nearest[j], cosines[best, j])
    return order
