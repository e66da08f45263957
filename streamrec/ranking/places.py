"""The place of one item in a source's ranking of the whole catalogue, for evaluation."""

import math

from numba import njit

from streamrec.learners.sources import CONTENT, FACTORS, POPULARITY_LONG
from streamrec.ranking.views import sparse


@njit(cache=True, nogil=True)
def _above(values, target, servable, marks):  # type: ignore[no-untyped-def]
    """Return how many allowed items have a higher value than the target, plus half of the equal."""
    mine, above, level = values[target], 0, 0
    for j in range(len(servable)):
        allowed = servable[j] & (marks[j] == 0)
        above += allowed & (values[j] > mine)
        level += allowed & (values[j] == mine)
    level -= servable[target] & (marks[target] == 0)
    return above + level / 2.0


@njit(cache=True, nogil=True)
def place_of(m, target, user, table, catalogue, rules, scratch, found):  # type: ignore[no-untyped-def]
    """Return the place (0 best) of the target among all allowed items, ties at their middle.

    NaN where the source says nothing of any item.
    """
    if not rules.active[m]:
        return math.nan
    servable, marks = catalogue.servable, scratch.marks
    if m <= POPULARITY_LONG:
        return _above(table.heats[:, m], target, servable, marks)
    s = sparse(m)
    if s >= 0:
        if found[s] == 0:
            return math.nan
        mine, above, level = scratch.scores[s, target], 0, 0
        for n in range(found[s]):
            j = scratch.touched[s, n]
            if servable[j] and marks[j] == 0 and j != target:
                above += scratch.scores[s, j] > mine
                level += scratch.scores[s, j] == mine
        if mine == 0.0:  # all others that the source is silent about
            gone = len(user.excluded) + len(user.seen)
            level = max(0, catalogue.servable_count - gone - above - 1)
        return above + level / 2.0
    dense = user.logits if m == FACTORS else user.contents
    if (m == FACTORS or m == CONTENT) and len(dense) > 0:
        return _above(dense, target, servable, marks)
    return math.nan
