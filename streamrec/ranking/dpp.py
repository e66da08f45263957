"""Variety by a determinantal point process (Chen, Zhang and Zhou, NeurIPS 2018)."""

import math

import numpy as np
from numba import njit

RIDGE = 1e-6
"""Added to the diagonal of S: identical items stay possible, each far below any other."""
WINDOW = 10
ALL_BUT_ONE = 1e-12
"""Keeps the strength of dial 1 finite; no other dial comes so near."""


@njit(cache=True, nogil=True)
def dpp(r, cosines, dial, length, window=WINDOW):  # type: ignore[no-untyped-def]
    """Return a way's order (variety.py): the greedy most probable set.

    Each next item is argmax_j log det L[W + j] - log det L[W], with

        L = diag(q) S diag(q),  q_j = exp(strength r_j / 2),  strength = dial / (1 - dial),
        S_ij = (1 + cos(i, j)) / 2,  S_ii = 1 + 1e-6,

    and W the last window - 1 items chosen. That is argmax_j strength r_j + log d_j^2, with d_j^2
    what of S_jj the items of W do not explain. The d_j^2 are kept by an incremental Cholesky
    factor, from which the oldest item is rotated out. S, and not the cosine, so that opposite
    items are unlike. O(n length window).
    Shapes: float64[n], float64[n, n] and int64[length], as there.
    """
    n = len(r)
    strength = dial / max(1.0 - dial, ALL_BUT_ONE)
    order = np.empty(length, np.int64)
    left = np.ones(n, np.bool_)
    most = max(min(window, length), 1) - 1  # items that the next one is held against
    c = np.zeros((n, most + 1))  # row j is j's part of the Cholesky factor of the window
    d2 = np.full(n, 1.0 + RIDGE)
    size = 0
    for k in range(length):
        best, value = -1, -math.inf
        for j in range(n):
            if left[j]:
                v = strength * r[j] + math.log(max(d2[j], RIDGE)) if k > 0 else r[j]
                if v > value:
                    best, value = j, v
        order[k] = best
        left[best] = False
        if most == 0:
            continue
        root = math.sqrt(max(d2[best], RIDGE))
        for j in range(n):
            if left[j]:
                dot = (1.0 + cosines[best, j]) / 2.0
                for m in range(size):
                    dot -= c[best, m] * c[j, m]
                c[j, size] = dot / root
                d2[j] -= c[j, size] ** 2
        c[best, size] = root
        size += 1
        if size > most:
            _forget_oldest(c, d2, order[k - most : k + 1], left)
            size -= 1
    return order


@njit(cache=True, nogil=True)
def _forget_oldest(c, d2, chosen, left):  # type: ignore[no-untyped-def]
    """Take chosen[0] out of the factor: column 0 is rotated into the others, then dropped.

    A rotation keeps the length of each row, so what is left of column 0 goes back to d2.
    c: float64[n, window]; d2: float64[n]; chosen: rows of c; left: bool[n].
    """
    size = len(chosen)
    for m in range(1, size):
        a, b = c[chosen[m], m], c[chosen[m], 0]
        length = math.hypot(a, b)
        a, b = a / length, b / length
        for j in range(len(c)):
            x, y = c[j, m], c[j, 0]
            c[j, m] = a * x + b * y
            c[j, 0] = a * y - b * x
    for j in range(len(c)):
        if left[j]:
            d2[j] += c[j, 0] ** 2
        for m in range(1, size):
            c[j, m - 1] = c[j, m]
