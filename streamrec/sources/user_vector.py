"""The user's vector: the weighted mean of what the user's latest items stand for."""

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

Array = NDArray[Any]
FAST = {"reassoc", "contract", "nsz", "arcp"}  # sums in any order; NaN and infinity stay


def mean_of(vectors: Array, history: Array, by: tuple[float, float], out: Array) -> Array:
    """Fill out with the weighted sum of the history's vectors; return the weights float32[n]."""
    weights = np.empty(len(history), np.float32)
    if len(history):
        user_vector((vectors, history), by, weights, out)
    return weights


@njit(cache=True, nogil=True, fastmath=FAST)
def user_vector(past, by, weights, z):  # type: ignore[no-untyped-def]
    """Fill z float32[K] and weights float32[n] from the history.

    past: (contexts float32[items, K], rows int32[n], newest first); by: (decay, norm).
    """
    contexts, rows = past
    decay, norm = by
    total, step = 0.0, 1.0
    for b in range(len(rows)):
        weights[b] = step
        total += step
        step *= decay
    z[:] = 0.0
    for b in range(len(rows)):
        weights[b] /= np.float32(total**norm)
        c = contexts[rows[b]]
        w = weights[b]
        for k in range(len(z)):
            z[k] += w * c[k]
