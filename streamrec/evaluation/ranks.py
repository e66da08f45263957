"""The rank of one among scores: that by which every list of an evaluation is judged."""

import numpy as np
from numba import njit


@njit(cache=True, nogil=True)
def rank_of(scores, at, allowed=None):  # type: ignore[no-untyped-def]
    """Return the rank of entry `at` by score, 0 best, ties mid way; NaN and -inf are below all.

    allowed: bool[n], the entries that are in the list beside it; None: all.
    """
    mine = scores[at]
    silent = not mine > -np.inf
    above = level = 0
    for j in range(len(scores)):
        if j != at and (allowed is None or allowed[j]):
            above += scores[j] > (-np.inf if silent else mine)
            level += not scores[j] > -np.inf if silent else scores[j] == mine
    return above + level / 2.0
