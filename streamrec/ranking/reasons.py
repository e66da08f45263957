"""Reasons: which past items speak for a recommended one."""

import numpy as np
from numba import njit

from streamrec.learners.sources import FACTORS, SIMILARITY


@njit(cache=True, nogil=True)
def because(history, rows, source, table, window, decay, most):  # type: ignore[no-untyped-def]
    """Return int32[len(rows), most] history rows that support each item, strongest first or -1.

    For similarity, by d^(b-1) P[h_b -> j]; for factors, by w_b c_{h_b}.t_j; popularity has none.
    """
    out = np.full((len(rows), most), -1, np.int32)
    support = np.empty(len(history), np.float64)
    for r in range(len(rows)):
        j = rows[r]
        if source[r] != SIMILARITY and source[r] != FACTORS:
            continue
        step = 1.0
        for b in range(len(history)):
            h = history[b]
            support[b] = 0.0
            if source[r] == SIMILARITY:
                if b >= window:
                    continue
                for n in range(table.sizes[h]):
                    if table.neighbours[h, n] == j:
                        support[b] = step * table.weights[h, n] / table.totals[h]
                step *= decay
            else:
                for k in range(table.targets.shape[1]):
                    support[b] += table.contexts[h, k] * table.targets[j, k]
                support[b] *= step
                step *= decay
        order = np.argsort(-support)
        for n in range(min(most, len(order))):
            if support[order[n]] > 0.0:
                out[r, n] = history[order[n]]
    return out
