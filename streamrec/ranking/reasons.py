"""Reasons: which past items speak for a recommended one."""

import numpy as np
from numba import njit

from streamrec.learners.sources import (
    CONTENT,
    COSINE,
    FACTORS,
    REPEATS,
    SIMILARITY,
    SUCCESSORS,
)
from streamrec.learners.successors import REVERSE


@njit(cache=True, nogil=True)
def because(history, rows, source, table, rules, most):  # type: ignore[no-untyped-def]
    """Return int32[len(rows), most] history rows that support each item, strongest first or -1.

    By what past item h_b adds to the value of the source that the item stands out for (see the
    learners); popularity and segments have no reasons.
    """
    out = np.full((len(rows), most), -1, np.int32)
    support = np.empty(len(history), np.float64)
    for r in range(len(rows)):
        step = 1.0
        for b in range(len(history)):
            support[b] = _support(table, history[b], rows[r], source[r], b, step, rules)
            step *= rules.decay
        order = np.argsort(-support)
        for n in range(min(most, len(order))):
            if support[order[n]] > 0.0:
                out[r, n] = history[order[n]]
    return out


@njit(cache=True, nogil=True)
def _support(table, h, j, source, b, step, rules):  # type: ignore[no-untyped-def]
    """Return what past item h, the b-th newest, adds for item j under a source."""
    if source == SIMILARITY and b < rules.window:
        for n in range(table.sizes[h]):
            if table.neighbours[h, n] == j:
                return step * table.weights[h, n] / table.totals[h]
    if source == COSINE:
        for n in range(table.far_sizes[h]):
            if table.far[h, n] == j:
                return table.far_weights[h, n] / ((b + 1.0) * np.sqrt(max(1.0, table.events[h])))
    if source == SUCCESSORS and b < rules.ring:
        votes = total = 0.0
        for n in range(min(np.int64(table.ring_totals[h]), table.ring.shape[1])):
            rank = table.ring_ranks[h, n]
            weight = (rules.reverse if rank >= REVERSE else 1.0) / ((rank & 127) + 1)
            total += weight
            if table.ring[h, n] == j:
                votes += weight
        return step * votes / total if total > 0.0 else 0.0
    if source == REPEATS:
        return 1.0 if h == j else 0.0
    total = 0.0
    if b >= rules.context:
        return total
    if source == FACTORS:
        for k in range(table.targets.shape[1]):
            total += table.contexts[h, k] * table.targets[j, k]
    if source == CONTENT:
        for k in range(table.content.shape[1]):
            total += table.content[h, k] * table.content[j, k]
    return total * step
