"""The rank of one item in a source's order of the whole catalogue, for evaluation."""

import numpy as np
from numba import njit

from streamrec.ranking.views import FEW, SAME


@njit(cache=True, nogil=True)
def _above(values, target, servable, marks):  # type: ignore[no-untyped-def]
    """Return how many allowed items have a higher value than the target, plus half of the equal.

    values: float[items]; servable: bool[items]; marks: uint8[items], 0 allowed. Without a branch,
    for which side an item is on cannot be foretold.
    """
    mine, twice = values[target], np.int64(0)
    for j in range(len(servable)):
        v, allowed = values[j], servable[j] & (marks[j] == 0)
        twice += (np.int64(v > mine) + np.int64(v >= mine)) * np.int64(allowed)
    return (twice - (servable[target] & (marks[target] == 0))) / 2.0


@njit(cache=True, nogil=True)
def _above_few(scores, rows, target, servable, marks, allowed):  # type: ignore[no-untyped-def]
    """Return the same of a source that says something of `rows` only; `allowed`: of all items.

    scores: float64[items]; rows: int32[...]; servable: bool[items]; marks: uint8[items].
    """
    mine, above, level = scores[target], 0, 0
    for j in rows:
        if servable[j] and marks[j] == 0 and j != target:
            above += scores[j] > mine
            level += scores[j] == mine
    if mine == 0.0:  # all others that the source is silent about
        level = max(0, allowed - above - 1)
    return above + level / 2.0


@njit(cache=True, nogil=True)
def full_ranks(target, excluded, dense, catalogue, roster, scratch):  # type: ignore[no-untyped-def]
    """Return float64[M]: how many allowed items stand above the target, 0 best, ties in the middle.

    excluded: how many items the list leaves out; dense: as in candidates.gather. NaN where the
    source says nothing of any item, or no source could show the target.
    """
    active, style, place = roster.active, roster.style, roster.place
    servable, heats, marks = catalogue.servable, catalogue.heats, scratch.marks
    scores, touched, found = scratch.scores, scratch.touched, scratch.found
    allowed = catalogue.servable_count - excluded
    said, u = dense
    out = np.full(len(active), np.nan)
    if target < 0 or not servable[target]:
        return out
    for m in range(len(active)):
        k = place[m]
        if not active[m]:
            continue
        if style[m] == SAME:
            out[m] = _above(heats[:, k], target, servable, marks)
        elif style[m] == FEW:
            if found[k] > 0:
                rows = touched[k, : found[k]]
                out[m] = _above_few(scores[k], rows, target, servable, marks, allowed)
        elif not np.isnan(said[k, u, target]):
            out[m] = _above(said[k, u], target, servable, marks)
    return out
