"""Variety of one list within a stated loss of relevance, by one of several ways.

A way is a compiled function (r, cosines, dial, length) -> order. r float64[n] is the relevance
scaled to 0..1; cosines float64[n, n]; the dial runs from 1, the order of falling relevance, to 0,
variety alone; an order is int64[length], indices of candidates, best first, and begins with the
most relevant one. A vector of zeros (an item of which nothing is known) has cosine 0 with every
other: neither like it nor unlike.
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from streamrec.ranking.dpp import dpp
from streamrec.ranking.mmr import mmr

Order = NDArray[np.int64]
Scores = NDArray[Any]
Way = Callable[[Scores, Scores, float, int], Order]

WAYS: dict[str, Way | None] = {"none": None, "mmr": mmr, "dpp": dpp}
"""By their names in `lists.diversity`."""
HALVINGS = 10
"""Steps of the search for the dial: it is found to 1 / 1024."""
ROUNDING = 1e-12


def diversify(
    way: Way | None, relevance: Scores, vectors: NDArray[np.float32], length: int, budget: float
) -> Order:
    """Return the most diverse order that a way finds within a budget of expected NDCG loss.

    The loss is 1 - DCG(order) / DCG(original), with DCG = sum_k p[order[k]] / log2(k + 2) and p =
    softmax(relevance), the chance of a click: scores are log shares. Bisection looks for the
    smallest dial whose order loses at most the budget; only an order whose loss was computed is
    returned. The original order is that of falling relevance, equal ones by index.

    relevance: float[n], finite; vectors: float32[n, d], of unit length or zero. O(n^2 d) beside
    the eleven orders.
    """
    relevance = np.asarray(relevance, np.float64)
    original = np.argsort(-relevance, kind="stable")[: max(0, length)]
    if way is None or budget <= 0.0 or len(original) < 2:
        return original
    cosines, r = cosines_of(vectors), scaled(relevance)
    chances = np.exp(relevance - relevance.max())
    chances /= chances.sum()
    least = (1.0 - budget) * _dcg(chances, original) - ROUNDING
    found, low, high, dial = original, 0.0, 1.0, 0.0
    for _ in range(HALVINGS + 1):
        order = way(r, cosines, dial, len(original))
        if _dcg(chances, order) >= least:
            found, high = order, dial
        else:
            low = dial
        if high == 0.0:
            break
        dial = (low + high) / 2.0
    return found


def scaled(relevance: Scores) -> NDArray[np.float64]:
    """Return relevance scaled to 0..1; all 0 where all are equal."""
    r = np.asarray(relevance, np.float64)
    if len(r) == 0 or r.max() == r.min():
        return np.zeros(len(r))
    return np.asarray((r - r.min()) / (r.max() - r.min()))


def cosines_of(vectors: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return float64[n, n] of vectors of unit length or zero."""
    exact = vectors.astype(np.float64)
    return np.asarray(np.clip(exact @ exact.T, -1.0, 1.0))


@njit(cache=True, nogil=True)
def _dcg(chances, order):  # type: ignore[no-untyped-def]
    """Return the expected DCG of order int64[...] under chances float64[n]."""
    total = 0.0
    for k in range(len(order)):
        total += chances[order[k]] / math.log2(k + 2.0)
    return total
