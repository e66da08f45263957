"""Item similarity: decayed co-occurrence in bounded neighbour lists, in two forms.

Event i after history h_1 (newest), h_2, ...
Directed, short: P[h_b -> i] += 1/b and P[i -> h_b] += r/b for the newest few.
Score of j: sum_b d^(b-1) (P[h_b -> j] + m share_j) / (m + sum_x P[h_b -> x]).
Cosine, long: S[h_b, i] and S[i, h_b] += b^-1/2 for the newest fifty.
Score of j: sum_b S[h_b, j] / (b sqrt(n_{h_b} n_j)), n being counts of events.
A list grows to twice its bound K, then the best K are kept: at K = 100 that loses nothing,
replacing the smallest loses a tenth.
"""

import math

import numpy as np
from numba import njit


@njit(cache=True, nogil=True)
def add_pair(keys, weights, counts, sizes, clocks, row, other, weight, count, ts, half_life_ms):  # type: ignore[no-untyped-def]
    """Add `weight` (and `count`) for the neighbour `other` (key) of `row` at event time `ts` (ms).

    keys, weights, counts: [rows, 2K] (counts may have no columns); sizes, clocks: [rows]. The
    whole list decays to the newest event time of the row; a late event arrives decayed.
    half_life_ms 0: no decay. Returns the only entry that changed, -1: all.
    """
    size, all_changed = np.int64(sizes[row]), False
    if half_life_ms > 0.0:
        age = ts - clocks[row]
        if age > 0:
            decay = np.float32(2.0 ** (-age / half_life_ms))
            for n in range(size):
                weights[row, n] *= decay
            clocks[row], all_changed = ts, True
        else:
            weight = weight * 2.0 ** (age / half_life_ms)
    at = _place(keys[row], size, other)
    if at >= 0:
        weights[row, at] += weight
        if counts.shape[1] > 0:
            counts[row, at] += count
        return -1 if all_changed else at
    if size == keys.shape[1]:
        size, all_changed = _prune(keys, weights, counts, row), True
    keys[row, size] = other
    weights[row, size] = weight
    if counts.shape[1] > 0:
        counts[row, size] = count
    sizes[row] = size + 1
    return -1 if all_changed else size


@njit(cache=True, nogil=True)
def _place(keys, size, other):  # type: ignore[no-untyped-def]
    """Return where `other` is among the first `size` keys, or -1.

    Without a way out of the loop several keys are compared at once: three times faster.
    """
    at = -1
    for n in range(size):
        if keys[n] == other:
            at = n
    return at


@njit(cache=True, nogil=True)
def _prune(keys, weights, counts, row):  # type: ignore[no-untyped-def]
    """Keep the better half of a full list, in its order."""
    keep = keys.shape[1] // 2
    order = np.sort(np.argsort(weights[row])[keep:])
    for n in range(len(order)):
        keys[row, n] = keys[row, order[n]]
        weights[row, n] = weights[row, order[n]]
        if counts.shape[1] > 0:
            counts[row, n] = counts[row, order[n]]
    return len(order)


@njit(cache=True, nogil=True)
def score(neighbours, weights, sizes, totals, history, decay, prior, scores, touched):  # type: ignore[no-untyped-def]
    """Add each neighbour's score to `scores` (dense, zero before) and list its rows in `touched`.

    `touched` has one place more than there can be rows: each entry is written there without asking.
    neighbours: int32[rows, 2K] rows, -1 unknown; history: rows, newest first. `prior` counts of
    evidence are popularity's: returns how many entries of `touched` were written, and the mass
    left for the popularity shares (Dirichlet smoothing, Zhai and Lafferty 2004).
    """
    found = 0
    step = 1.0
    mass = 0.0
    for b in range(len(history)):
        h = history[b]
        if h >= 0:
            scale = step / (totals[h] + prior) if totals[h] + prior > 0.0 else 0.0
            mass += scale * prior
            for n in range(sizes[h]):
                j, more = neighbours[h, n], scale * weights[h, n]
                if j >= 0:
                    touched[found] = j  # stays if it is new; decay may have left nothing
                    found += (scores[j] == 0.0) & (more > 0.0)
                    scores[j] += more
        step *= decay
    return found, mass


@njit(cache=True, nogil=True)
def score_cosine(neighbours, weights, sizes, events, history, scores, touched):  # type: ignore[no-untyped-def]
    """Add sum_b S[h_b, j] / (b sqrt(n_{h_b} n_j)) to `scores`; return how many were touched."""
    found = 0
    for b in range(len(history)):
        h = history[b]
        scale = 1.0 / ((b + 1.0) * math.sqrt(max(1.0, events[h])))
        for n in range(sizes[h]):
            j, more = neighbours[h, n], scale * weights[h, n]
            if j >= 0:
                touched[found] = j
                found += (scores[j] == 0.0) & (more > 0.0)
                scores[j] += more
    for n in range(found):
        j = touched[n]
        scores[j] /= math.sqrt(max(1.0, events[j]))
    return found
