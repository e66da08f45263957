"""Kernels of the learned blend, around two matrix products in numpy; see learned_blend.py."""

import numpy as np
from numba import njit

LEAK = np.float32(0.1)
CLIP = np.float32(4.0)
LEAST_VARIANCE = 1e-4
LISTED = 20
GAINS = np.append(0.0, 1.0 / np.log2(1.0 + np.arange(1, 256))).astype(np.float32)
"""1 / log2(1 + rank) of each rank, 1 best; 0 where a source does not list the item."""
SUMS = {"reassoc", "contract"}  # lets the compiler add several terms of a sum at once


@njit(cache=True, nogil=True)
def filled(values, silence):  # type: ignore[no-untyped-def]
    """Return float32[C, M]: values, silence[m] where one is NaN."""
    out = np.empty_like(values)
    for c in range(values.shape[0]):
        for m in range(values.shape[1]):
            out[c, m] = silence[m] if np.isnan(values[c, m]) else values[c, m]
    return out


@njit(cache=True, nogil=True)
def inputs(values, ranks, extras, length, mean, square):  # type: ignore[no-untyped-def]
    """Return float32[C, 2M + E + 1]: standardised values and extras, GAINS, history's length."""
    count, m, e = values.shape[0], values.shape[1], extras.shape[1]
    scale = np.empty(m + e, np.float32)
    for k in range(m + e):
        scale[k] = 1.0 / np.sqrt(max(square[k] - mean[k] ** 2, LEAST_VARIANCE))
    x = np.empty((count, 2 * m + e + 1), np.float32)
    for c in range(count):
        for k in range(m + e):
            raw = values[c, k] if k < m else extras[c, k - m]
            x[c, k] = min(CLIP, max(-CLIP, (raw - mean[k]) * scale[k]))
        for k in range(m):
            x[c, m + e + k] = GAINS[ranks[c, k]]
        x[c, -1] = length
    return x


@njit(cache=True, nogil=True, fastmath=SUMS)
def network_scores(hidden, shift, outward):  # type: ignore[no-untyped-def]
    """Make U x, float32[C, H], the hidden layer leaky(U x + c); return float32[C]: v . hidden."""
    out = np.empty(len(hidden), np.float32)
    for c in range(len(hidden)):
        row, total = hidden[c], np.float32(0.0)
        for h in range(len(outward)):
            a = row[h] + shift[h]
            row[h] = max(a, LEAK * a)
            total += outward[h] * row[h]
        out[c] = total
    return out


@njit(cache=True, nogil=True, fastmath=SUMS)
def add_linear(values, extras, weights, scores):  # type: ignore[no-untyped-def]
    """Add sum_m w_m l_m to each score.

    values: float32[C, M]; extras: float32[C, E]; weights: float32[M + E]; scores: float[C].
    """
    m = values.shape[1]
    for c in range(len(values)):
        total = np.float32(0.0)
        for k in range(m):
            total += weights[k] * values[c, k]
        for k in range(extras.shape[1]):
            total += weights[m + k] * extras[c, k]
        scores[c] += total


@njit(cache=True, nogil=True)
def softmax(scores):  # type: ignore[no-untyped-def]
    """Return float32[C]: the shares of exp(scores)."""
    p = np.exp(scores - scores.max())
    return p / p.sum()


@njit(cache=True, nogil=True)
def lose(scores, ranks, clicked, memory, losses):  # type: ignore[no-untyped-def]
    """Discount the losses; add 1 - reciprocal rank, 0 beyond the list, of blend and sources.

    ranks: uint8[C, M] in each source's own list, 0 absent.
    """
    above = ties = 0
    for s in scores:
        above += s > scores[clicked]
        ties += s == scores[clicked]
    place = above + (ties - 1) // 2
    losses[0] = memory * losses[0] + 1.0 - (1.0 / (1 + place) if place < LISTED else 0.0)
    for m in range(ranks.shape[1]):
        rank = ranks[clicked, m]
        losses[1 + m] = memory * losses[1 + m] + 1.0 - (1.0 / rank if 0 < rank <= LISTED else 0.0)


@njit(cache=True, nogil=True)
def step_linear(features, d, pinned, rate, both, both_sums):  # type: ignore[no-untyped-def]
    """Move the shared and the bucket's own linear weights one Adagrad step against the loss.

    features: (values float32[C, M], extras float32[C, E]); d: float32[C], the loss's derivative by
    each score; both: (weights, the bucket's own) float32[M + E]; both_sums: of squared slopes.
    """
    values, extras = features
    weights, own = both
    sums, own_sums = both_sums
    m = values.shape[1]
    slope = np.zeros(len(weights), np.float32)
    for c in range(len(values)):
        for k in range(m):
            slope[k] += d[c] * values[c, k]
        for k in range(extras.shape[1]):
            slope[m + k] += d[c] * extras[c, k]
    for k in range(len(weights)):
        if k >= m or not pinned[k]:
            sums[k] += slope[k] ** 2
            own_sums[k] += slope[k] ** 2
            weights[k] -= rate * slope[k] / np.sqrt(sums[k] + 1e-6)
            own[k] -= rate * slope[k] / np.sqrt(own_sums[k] + 1e-6)


@njit(cache=True, nogil=True)
def backward(d, hidden, outward):  # type: ignore[no-untyped-def]
    """Return the loss's derivatives: by U x float32[C, H], by c float32[H], by v float32[H]."""
    units = len(outward)
    toward = np.empty((len(hidden), units), np.float32)
    by_shift = np.zeros(units, np.float32)
    by_outward = np.zeros(units, np.float32)
    for c in range(len(hidden)):
        row, into = hidden[c], toward[c]
        for h in range(units):
            into[h] = d[c] * outward[h] * (np.float32(1.0) if row[h] > 0.0 else LEAK)
            by_shift[h] += into[h]
            by_outward[h] += d[c] * row[h]
    return toward, by_shift, by_outward


@njit(cache=True, nogil=True)
def step(weights, gradient, squares, rate, decay, unbias):  # type: ignore[no-untyped-def]
    """Move flat weights one RMS-normalised step; squares: their decayed mean squares.

    weights, gradient, squares: float32[n].
    """
    for n in range(len(weights)):
        squares[n] = decay * squares[n] + (1.0 - decay) * gradient[n] ** 2
        weights[n] -= rate * gradient[n] / np.sqrt(squares[n] / unbias + 1e-8)


@njit(cache=True, nogil=True)
def standardise(values, extras, rate, mean, square):  # type: ignore[no-untyped-def]
    """Move the running means and mean squares of the values and extras.

    values: float[C, M]; extras: float[C, E]; mean, square: float[M + E].
    """
    count, m = values.shape
    for k in range(len(mean)):
        total = squares = 0.0
        for c in range(count):
            raw = values[c, k] if k < m else extras[c, k - m]
            total += raw
            squares += raw * raw
        mean[k] += rate * (total / count - mean[k])
        square[k] += rate * (squares / count - square[k])
