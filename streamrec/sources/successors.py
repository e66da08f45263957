"""Session and user neighbours: each item keeps a ring of what users took around it lately.

Event i after history h_1 (newest), h_2, ...: the ring of h_b gets (i, b), the ring of i gets
(h_b, b, reverse). Score of j: sum_b d^(b-1) sum of the weights of j in the ring of h_b, over the
sum of all its weights; an entry weighs 1/b, reverse ones half. So the latest users who share an
item vote on what comes next, as in session-kNN (Ludewig and Jannach 2018), without a table of
sessions; overlap weights and decay were measured to add nothing. Bound: the ring's length.
"""

import numpy as np
from numba import njit

REVERSE = 128
"""Flag in an entry's rank byte."""


@njit(cache=True, nogil=True)
def push(keys, ranks, totals, row, other, rank):  # type: ignore[no-untyped-def]
    """Put (other key, rank byte) into the ring of `row` over its oldest; return the place.

    totals[row] counts all that were ever put in.
    """
    at = totals[row] % keys.shape[1]
    keys[row, at] = other
    ranks[row, at] = rank
    totals[row] += 1
    return np.int64(at)


@njit(cache=True, nogil=True)
def vote(rank, reverse):  # type: ignore[no-untyped-def]
    """Return the weight of an entry from its rank byte."""
    return (reverse if rank >= REVERSE else 1.0) / ((rank & 127) + 1)


@njit(cache=True, nogil=True)
def score(rings, ranks, totals, history, decay, reverse, scores, touched):  # type: ignore[no-untyped-def]
    """Add the votes for each item to `scores`; return how many entries of `touched` were filled.

    rings: int32[items, M] rows, -1 unknown; history: rows, newest first; reverse: weight of
    reverse entries.
    """
    found = 0
    step = 1.0
    for b in range(len(history)):
        h = history[b]
        size = min(np.int64(totals[h]), rings.shape[1])
        total = 0.0
        for n in range(size):
            total += vote(ranks[h, n], reverse)
        if total > 0.0:
            for n in range(size):
                j, more = rings[h, n], step * vote(ranks[h, n], reverse) / total
                if j >= 0:
                    touched[found] = j
                    found += (scores[j] == 0.0) & (more > 0.0)
                    scores[j] += more
        step *= decay
    return found
