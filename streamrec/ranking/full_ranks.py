"""The place of one item in a source's ranking of the whole catalogue, for evaluation."""

import numpy as np
from numba import njit

from streamrec.ranking.views import sparse
from streamrec.sources.registry import FACTORS, POPULARITY_LONG


@njit(cache=True, nogil=True)
def _above(values, target, servable, marks):  # type: ignore[no-untyped-def]
    """Return how many allowed items have a higher value than the target, plus half of the equal.

    Without a branch, for which side an item is on cannot be foretold.
    """
    mine, twice = values[target], np.int64(0)
    for j in range(len(servable)):
        v, allowed = values[j], servable[j] & (marks[j] == 0)
        twice += (np.int64(v > mine) + np.int64(v >= mine)) * np.int64(allowed)
    return (twice - (servable[target] & (marks[target] == 0))) / 2.0


@njit(cache=True, nogil=True)
def _above_sparse(scores, rows, target, servable, marks, allowed):  # type: ignore[no-untyped-def]
    """Return the same of a source that says something of `rows` only; `allowed`: of all items."""
    mine, above, level = scores[target], 0, 0
    for j in rows:
        if servable[j] and marks[j] == 0 and j != target:
            above += scores[j] > mine
            level += scores[j] == mine
    if mine == 0.0:  # all others that the source is silent about
        level = max(0, allowed - above - 1)
    return above + level / 2.0


@njit(cache=True, nogil=True)
def places_of(target, user, table, catalogue, rules, scratch, found):  # type: ignore[no-untyped-def]
    """Return float64[M]: the target's place (0 best) among all allowed items, ties at their middle.

    NaN where the source says nothing of any item, or no source could show the target.
    """
    active, heats, logits, contents = rules.active, table.heats, user.logits, user.contents
    servable, marks, scores, touched = (
        catalogue.servable, scratch.marks, scratch.scores, scratch.touched
    )  # fmt: skip
    allowed = catalogue.servable_count - len(user.excluded) - len(user.seen)
    out = np.full(len(active), np.nan)
    if target < 0 or not servable[target]:
        return out
    for m in range(len(active)):
        s = sparse(m)
        if not active[m]:
            continue
        if m <= POPULARITY_LONG:
            out[m] = _above(heats[:, m], target, servable, marks)
        elif s >= 0:
            if found[s] > 0:
                rows = touched[s, : found[s]]
                out[m] = _above_sparse(scores[s], rows, target, servable, marks, allowed)
        else:
            values = logits if m == FACTORS else contents
            if len(values) > 0:
                out[m] = _above(values, target, servable, marks)
    return out
