"""Candidates of every source for one user, and their weighted blend.

Sources give log shares (popularity, similarity) or logits (factors); NaN is "no opinion" and counts
as the source's floor. Blend of item j: s_j = sum_m w_m f_m(j), a weighted product of shares.
"""

import math
from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from streamrec.learners import similarity
from streamrec.shards.history import is_seen

Array = NDArray[Any]
SOURCES = ("popularity_short", "popularity_medium", "popularity_long", "similarity", "factors")
SIMILARITY, FACTORS = 3, 4
SIEVE = 65_536
TINY = 1e-8
"""The floor of a share."""


class Scratch(NamedTuple):
    """Dense work arrays, one entry an item; all zero between users."""

    similarity: Array  # float64[items]
    marks: Array  # uint8[items]: bit 0 excluded, bit 1 candidate
    touched: Array  # int32[...]
    sieve: Array  # uint8[SIEVE]: 1 where a seen item's hash may be


class Catalogue(NamedTuple):
    """What is the same for all users until the table changes."""

    keys: Array  # uint64[items]
    shares: Array  # float32[items, 3]
    popular: Array  # int32[3, top]: rows by falling share, available ones only
    servable: Array  # bool[items]


class Ranked(NamedTuple):
    """One user's list and what each source alone would have shown, as table rows, -1 padded."""

    rows: Array  # int32[length]
    scores: Array  # float64[length]
    source: Array  # int8[length]: the source for which the item stands out most
    alone: Array  # int32[sources, length]


@njit(cache=True, nogil=True)
def _left_out(j, marks, keys, seen, sieve):  # type: ignore[no-untyped-def]
    """Say whether item j is excluded or seen; the sieve spares most looks through `seen`."""
    if marks[j] & 1:
        return True
    if not sieve[keys[j] & np.uint64(SIEVE - 1)]:
        return False
    return is_seen(seen, len(seen), keys[j])


@njit(cache=True, nogil=True)
def top(scores, servable, marks, keys, seen, sieve, most, rows):  # type: ignore[no-untyped-def]
    """Fill rows[:most] with the best allowed items, best first; return how many."""
    best = np.empty(most, np.float32)
    size = 0
    for j in range(len(scores)):
        s = scores[j]
        if size == most and s <= best[size - 1]:
            continue
        if not servable[j] or _left_out(j, marks, keys, seen, sieve):
            continue
        at = size if size < most else most - 1
        while at > 0 and best[at - 1] < s:
            if at < most:
                best[at], rows[at] = best[at - 1], rows[at - 1]
            at -= 1
        best[at], rows[at] = s, j
        size = min(size + 1, most)
    return size


@njit(cache=True, nogil=True)
def _top_of(candidates, scores, servable, marks, keys, seen, sieve, most, rows):  # type: ignore[no-untyped-def]
    """As `top`, over a list of candidate rows."""
    order = np.argsort(-scores[candidates])
    size = 0
    for n in order:
        j = candidates[n]
        if size == most:
            break
        if not servable[j] or _left_out(j, marks, keys, seen, sieve):
            continue
        rows[size] = j
        size += 1
    return size


@njit(cache=True, nogil=True)
def _first(order, marks, keys, seen, sieve, most, rows):  # type: ignore[no-untyped-def]
    """Fill rows with the first allowed items of a given order; return how many."""
    size = 0
    for j in order:
        if j < 0 or size == most:
            break
        if not _left_out(j, marks, keys, seen, sieve):
            rows[size] = j
            size += 1
    return size


@njit(cache=True, nogil=True)
def rank(  # type: ignore[no-untyped-def]
    history,
    excluded,
    seen,
    logits,
    table,
    catalogue,
    weights,
    window,
    decay,
    prior,
    length,
    most,
    scratch,
):
    """Return (rows, scores, source, alone) of one user.

    history: int32[n] rows, newest first; excluded: int32[m] rows left out; logits: float32[items]
    or empty when there is no history; weights: float64[sources]; most: candidates of each source.
    """
    keys, shares, servable = catalogue.keys, catalogue.shares, catalogue.servable
    marks, dense = scratch.marks, scratch.similarity
    for row in excluded:
        marks[row] |= 1
    sieve = scratch.sieve
    for short in seen:
        sieve[short & np.uint32(SIEVE - 1)] = 1
    pools = np.full((len(weights), most), -1, np.int32)
    sizes = np.zeros(len(weights), np.int64)
    for m in range(3):
        sizes[m] = _first(catalogue.popular[m], marks, keys, seen, sieve, most, pools[m])
    found, mass = similarity.score(
        table.neighbours, table.weights, table.sizes, table.totals, history[:window], decay,
        prior, dense, scratch.touched,
    )  # fmt: skip
    touched = scratch.touched[:found]
    for row in touched:
        dense[row] += mass * shares[row, 2]
    sizes[SIMILARITY] = _top_of(
        touched, dense, servable, marks, keys, seen, sieve, most, pools[SIMILARITY]
    )
    if len(logits) > 0:
        sizes[FACTORS] = top(logits, servable, marks, keys, seen, sieve, most, pools[FACTORS])
    candidates = np.empty(len(weights) * most, np.int32)
    n = 0
    for m in range(len(weights)):
        if weights[m] != 0.0:
            for k in range(sizes[m]):
                j = pools[m, k]
                if not marks[j] & 2:
                    marks[j] |= 2
                    candidates[n] = j
                    n += 1
    candidates = candidates[:n]
    features = _features(candidates, shares, dense, mass, logits)
    scores, source = blend(features, weights)
    order = np.argsort(-scores)[:length]
    alone = np.full((len(weights), length), -1, np.int32)
    for m in range(len(weights)):
        size = min(length, sizes[m])
        alone[m, :size] = pools[m, :size]
    for short in seen:
        sieve[short & np.uint32(SIEVE - 1)] = 0
    for row in excluded:
        marks[row] = 0
    for row in candidates:
        marks[row] = 0
    for row in touched:
        dense[row] = 0.0
    return candidates[order], scores[order], source[order], alone


@njit(cache=True, nogil=True)
def _features(candidates, shares, dense, mass, logits):  # type: ignore[no-untyped-def]
    """Return float64[candidates, sources], NaN where a source has no opinion."""
    out = np.empty((len(candidates), 5), np.float64)
    for n in range(len(candidates)):
        j = candidates[n]
        for m in range(3):
            out[n, m] = math.log(shares[j, m]) if shares[j, m] > TINY else math.nan
        p = dense[j] if dense[j] > 0.0 else mass * shares[j, 2]
        out[n, SIMILARITY] = math.log(p) if p > TINY else math.nan
        out[n, FACTORS] = logits[j] if len(logits) > 0 else math.nan
    return out


@njit(cache=True, nogil=True)
def blend(features, weights):  # type: ignore[no-untyped-def]
    """Return float64[n] scores and int8[n]: the source with the largest part above its mean.

    s_j = sum_m w_m f_m(j), where NaN counts as log TINY (for a share) or the lowest logit given.
    """
    n, sources = features.shape
    silent = np.isnan(features)
    scores = np.zeros(n, np.float64)
    best = np.full(n, -1e300)
    source = np.zeros(n, np.int8)
    for m in range(sources):
        if weights[m] == 0.0:
            continue
        floor = math.log(TINY)
        if m == FACTORS:
            floor = 0.0
            for j in range(n):
                if not math.isnan(features[j, m]):
                    floor = min(floor, features[j, m])
        total = 0.0
        for j in range(n):
            if math.isnan(features[j, m]):
                features[j, m] = floor
            total += features[j, m]
        for j in range(n):
            part = weights[m] * features[j, m]
            scores[j] += part
            above = part - weights[m] * total / n
            if above > best[j] and not silent[j, m]:
                best[j] = above
                source[j] = m
    return scores, source
