"""Reasons: which past items speak for a recommended one."""

import numpy as np
from numba import njit

from streamrec.sources.registry import (
    CONTENT,
    COSINE,
    FACTORS,
    REPEATS,
    SIMILARITY,
    SUCCESSORS,
)
from streamrec.sources.successors import vote


@njit(cache=True, nogil=True)
def stands_out(parts, ranks):  # type: ignore[no-untyped-def]
    """Return int64[C]: the source whose part is most above its mean, of those that list the item.

    parts: float64[C, M or more]; ranks: uint8[C, M], 0 where a source does not list it.
    """
    count, m = ranks.shape
    means = np.zeros(m)
    for c in range(count):
        means += parts[c, :m]
    means /= max(count, 1)
    out = np.zeros(count, np.int64)
    for c in range(count):
        most = -np.inf
        for k in range(m):
            if ranks[c, k] > 0 and parts[c, k] - means[k] > most:
                most, out[c] = parts[c, k] - means[k], k
    return out


@njit(cache=True, nogil=True)
def because(history, rows, source, table, rules, most, where):  # type: ignore[no-untyped-def]
    """Return int32[len(rows), most] history rows that support each item, strongest first or -1.

    By what past item h_b adds to the value of the source that the item stands out for (see the
    learners); popularity and segments have no reasons. where: int32[items], to work in.
    """
    support = np.zeros((len(rows), len(history)))
    for r in range(len(rows)):
        where[rows[r]] = r
    step = 1.0
    for b in range(len(history)):
        h = history[b]
        _from_lists(table, h, b, step, rules, rows, source, where, support)
        for r in range(len(rows)):
            if source[r] == REPEATS and h == rows[r]:
                support[r, b] = 1.0
            elif b < rules.context and source[r] == FACTORS:
                support[r, b] = step * _dot(table.contexts[h], table.targets[rows[r]])
            elif b < rules.context and source[r] == CONTENT:
                support[r, b] = step * _dot(table.content[h], table.content[rows[r]])
        step *= rules.decay
    out = np.full((len(rows), most), -1, np.int32)
    for r in range(len(rows)):
        for n in range(min(most, len(history))):
            b = support[r].argmax()
            if support[r, b] <= 0.0:
                break
            out[r, n] = history[b]
            support[r, b] = 0.0
    return out


@njit(cache=True, nogil=True)
def _from_lists(table, h, b, step, rules, rows, source, where, support):  # type: ignore[no-untyped-def]
    """Add what the lists of past item h, the b-th newest, say of the items: one pass over them."""
    if b < rules.window and (source == SIMILARITY).any():
        for n in range(table.sizes[h]):
            r = _place(table.neighbours[h, n], rows, where)
            if r >= 0 and source[r] == SIMILARITY:
                support[r, b] = step * table.weights[h, n] / table.totals[h]
    if (source == COSINE).any():
        length = (b + 1.0) * np.sqrt(max(1.0, table.events[h]))
        for n in range(table.far_sizes[h]):
            r = _place(table.far[h, n], rows, where)
            if r >= 0 and source[r] == COSINE:
                support[r, b] = table.far_weights[h, n] / length
    if b < rules.ring and (source == SUCCESSORS).any():
        count = min(np.int64(table.ring_totals[h]), table.ring.shape[1])
        total = 0.0
        for n in range(count):
            total += vote(table.ring_ranks[h, n], rules.reverse)
        for n in range(count):
            r = _place(table.ring[h, n], rows, where)
            if r >= 0 and source[r] == SUCCESSORS:
                support[r, b] += step * vote(table.ring_ranks[h, n], rules.reverse) / total


@njit(cache=True, nogil=True)
def _place(j, rows, where):  # type: ignore[no-untyped-def]
    """Return the place of item j in rows, or -1; where[rows[r]] = r, anything elsewhere."""
    if j < 0:
        return -1
    r = where[j]
    return r if r < len(rows) and rows[r] == j else -1


@njit(cache=True, nogil=True)
def _dot(a, b):  # type: ignore[no-untyped-def]
    total = 0.0
    for k in range(len(a)):
        total += a[k] * b[k]
    return total
