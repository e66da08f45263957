"""Repeats: what the user takes again, and when, from the history alone.

Score of j: takes_j / (place_j + 4), place 1 being the newest item; a tenth of it for an item of
this session, which waits for the next one. No state but the history and its counts.
"""

from numba import njit

DELAY = 4.0
WAITS = 0.1


@njit(cache=True, nogil=True)
def score(history, takes, in_session, scores, touched):  # type: ignore[no-untyped-def]
    """Write each history item's score to `scores` and its row to `touched`; return how many.

    history: rows, newest first; takes, in_session: of each entry.
    """
    for b in range(len(history)):
        j = history[b]
        scores[j] = takes[b] / (b + 1.0 + DELAY)
        if in_session[b]:
            scores[j] *= WAITS
        touched[b] = j
    return len(history)
