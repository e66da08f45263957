"""Rerankers of one list: variety within a stated loss of relevance, and rotation.

An order is int64[length]: indices of candidates, best first. The original order is that of falling
relevance, equal ones by index. Relevance is finite; vectors are L2-normalised, and a zero vector
(an item of which nothing is known) has cosine 0 with every other: neither like it nor unlike.
"""

import math
from typing import Any, Literal

import numpy as np
from numba import njit
from numpy.typing import NDArray

Order = NDArray[np.int64]
Vectors = NDArray[np.float32]
Scores = NDArray[Any]
Method = Literal["none", "mmr", "dpp"]
RIDGE = 1e-6
"""Added to the diagonal of S: identical items stay possible, each far below any other."""
WINDOW = 10
HALVINGS = 10
"""Steps of the search for the dial: it is found to 1 / 1024."""
ROUNDING = 1e-12


def mmr(relevance: Scores, vectors: Vectors, trade: float, length: int) -> Order:
    """Return the order by maximal marginal relevance (Carbonell and Goldstein, SIGIR 1998).

    Each next item is argmax_j trade r_j - (1 - trade) max_{i chosen} cos(i, j), with r the
    relevance scaled to 0..1; the first is the most relevant one. trade = 1 is the original order.

    relevance: float[n]; vectors: float32[n, d]. O(n^2 d + n length).
    """
    order: Order = _mmr(scaled(relevance), _cosines(vectors), trade, _room(relevance, length))
    return order


def dpp(
    relevance: Scores, vectors: Vectors, strength: float, length: int, window: int = WINDOW
) -> Order:
    """Return the greedy most probable set of a determinantal point process, in order of choice.

    Each next item is argmax_j log det L[W + j] - log det L[W], with

        L = diag(q) S diag(q),  q_j = exp(strength r_j / 2),
        S_ij = (1 + cos(i, j)) / 2,  S_ii = 1 + 1e-6,

    r the relevance scaled to 0..1 and W the last window - 1 items chosen. That is
    argmax_j strength r_j + log d_j^2, with d_j^2 what of S_jj the items of W do not explain: no
    strength is variety alone, much is the original order. The d_j^2 are kept by an incremental
    Cholesky factor, from which the oldest item is rotated out (Chen, Zhang and Zhou, NeurIPS 2018).
    S, and not the cosine, so that opposite items are unlike. The first is the most relevant one.

    relevance: float[n]; vectors: float32[n, d]. O(n^2 d + n length window).
    """
    room = _room(relevance, length)
    order: Order = _dpp(scaled(relevance), _cosines(vectors), strength, room, max(window, 1))
    return order


def diversify(
    method: Method, relevance: Scores, vectors: Vectors, length: int, budget: float
) -> Order:
    """Return the most diverse order that a method finds within a budget of expected NDCG loss.

    The dial runs from 1 (the original order) to 0 (variety alone): it is `trade` for mmr, and
    strength = dial / (1 - dial) for dpp. Bisection looks for the smallest dial whose order loses at
    most `budget`, and only an order whose loss was computed is returned. "none": the original one.
    """
    room = _room(relevance, length)
    original = by_relevance(relevance)[:room]
    if method == "none":
        return original
    if method not in ("mmr", "dpp"):
        raise ValueError(f"no such way to diversify: {method}")
    if budget <= 0.0 or room < 2:
        return original
    cosines, chances, r = _cosines(vectors), click_chances(relevance), scaled(relevance)
    order: Order = _bisect(method == "dpp", r, chances, cosines, original, budget)
    return order


def loss(relevance: Scores, order: Order) -> float:
    """Return the expected NDCG loss of an order: 1 - DCG(order) / DCG(original of that length).

    DCG = sum_k p[order[k]] / log2(k + 2), where p = softmax(relevance) is the chance of a click.
    """
    if len(order) == 0:
        return 0.0
    chances = click_chances(relevance)
    best = _dcg(chances, by_relevance(relevance)[: len(order)])
    return float(1.0 - _dcg(chances, order) / best)


def rotate(scores: Scores, shown_counts: NDArray[Any], penalty: float) -> Scores:
    """Return scores less penalty * log(1 + times shown): what was shown and not taken sinks."""
    return np.asarray(scores - penalty * np.log1p(shown_counts))


def intra_list_distance(vectors: Vectors) -> float:
    """Return the mean of 1 - cos over all pairs of float32[k, d]; 0 for less than two items.

    Over pairs the sum of cosines is (|sum_i v_i|^2 - sum_i |v_i|^2) / 2.
    """
    k = len(vectors)
    if k < 2:
        return 0.0
    exact = vectors.astype(np.float64)
    total = exact.sum(axis=0)
    return float(1.0 - (total @ total - (exact * exact).sum()) / (k * (k - 1)))


def by_relevance(relevance: Scores) -> Order:
    """Return all candidates by falling relevance, equal ones by index."""
    return np.argsort(-np.asarray(relevance, np.float64), kind="stable")


def scaled(relevance: Scores) -> NDArray[np.float64]:
    """Return relevance scaled to 0..1; all 0 where all are equal."""
    r = np.asarray(relevance, np.float64)
    if len(r) == 0 or r.max() == r.min():
        return np.zeros(len(r))
    return np.asarray((r - r.min()) / (r.max() - r.min()))


def click_chances(relevance: Scores) -> NDArray[np.float64]:
    """Return softmax(relevance): scores are log shares, so this is each one's share."""
    r = np.asarray(relevance, np.float64)
    if len(r) == 0:
        return r
    e = np.exp(r - r.max())
    return np.asarray(e / e.sum())


def _room(relevance: Scores, length: int) -> int:
    return max(0, min(length, len(relevance)))


def _cosines(vectors: Vectors) -> NDArray[np.float64]:
    exact = vectors.astype(np.float64)
    return np.asarray(np.clip(exact @ exact.T, -1.0, 1.0))


@njit(cache=True, nogil=True)
def _dcg(chances, order):  # type: ignore[no-untyped-def]
    total = 0.0
    for k in range(len(order)):
        total += chances[order[k]] / math.log2(k + 2.0)
    return total


@njit(cache=True, nogil=True)
def _mmr(r, cosines, trade, length):  # type: ignore[no-untyped-def]
    """Return int64[length] for r float64[n] in 0..1 and cosines float64[n, n]."""
    n = len(r)
    order = np.empty(length, np.int64)
    left = np.ones(n, np.bool_)
    nearest = np.full(n, -1.0)
    for k in range(length):
        best, value = -1, -math.inf
        for j in range(n):
            if left[j]:
                v = trade * r[j] - (1.0 - trade) * nearest[j] if k > 0 else r[j]
                if v > value:
                    best, value = j, v
        order[k] = best
        left[best] = False
        for j in range(n):
            nearest[j] = max(nearest[j], cosines[best, j])
    return order


@njit(cache=True, nogil=True)
def _dpp(r, cosines, strength, length, window):  # type: ignore[no-untyped-def]
    """Return int64[length]; row j of `c` is j's part of the Cholesky factor of the window."""
    n = len(r)
    order = np.empty(length, np.int64)
    left = np.ones(n, np.bool_)
    most = min(window, length) - 1  # items that the next one is held against
    c = np.zeros((n, most + 1))
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


@njit(cache=True, nogil=True)
def _bisect(is_dpp, r, chances, cosines, original, budget):  # type: ignore[no-untyped-def]
    """Return the order of the smallest dial found whose loss is at most the budget."""
    length = len(original)
    least = (1.0 - budget) * _dcg(chances, original) - ROUNDING
    found = original
    low, high = 0.0, 1.0
    for step in range(HALVINGS + 1):
        dial = (low + high) / 2.0 if step else 0.0
        if is_dpp:
            order = _dpp(r, cosines, dial / (1.0 - dial), length, WINDOW)
        else:
            order = _mmr(r, cosines, dial, length)
        if _dcg(chances, order) >= least:
            found = order
            high = dial
            if step == 0:
                break
        elif step:
            low = dial
    return found
