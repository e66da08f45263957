"""Candidates of every source for one user, with what each source says of each candidate.

Counting sources give log shares, at least LOG_FLOOR; factors and content give raw scores. An item
of which a source says nothing has its floor. A source's list alone holds only what it proposes.
"""

import math
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from streamrec.ranking.full_ranks import places_of
from streamrec.ranking.seen import mark
from streamrec.ranking.views import SPARSE, sparse
from streamrec.sources import repeats, similarity, successors
from streamrec.sources.popularity import LOG_FLOOR, log_share
from streamrec.sources.registry import (
    CONTENT,
    COSINE,
    EXTRAS,
    FACTORS,
    POPULARITY_LONG,
    REPEATS,
    SEGMENT,
    SIMILARITY,
    SOURCES,
    SUCCESSORS,
)

Array = NDArray[Any]
M, E = len(SOURCES), len(EXTRAS)


@njit(cache=True, nogil=True)
def _best(rows, values, servable, marks, most, pool):  # type: ignore[no-untyped-def]
    """Fill pool with the best allowed of `rows` by values[row], best first; return how many."""
    best = np.empty(most, np.float64)
    size = 0
    least = -np.inf
    for j in rows:
        s = values[j]
        if s > least and servable[j] and marks[j] == 0:
            at = size if size < most else most - 1
            while at > 0 and best[at - 1] < s:
                best[at], pool[at] = best[at - 1], pool[at - 1]
                at -= 1
            best[at], pool[at] = s, j
            size = min(size + 1, most)
            if size == most:
                least = best[most - 1]
    return size


@njit(cache=True, nogil=True)
def _first(order, marks, most, pool):  # type: ignore[no-untyped-def]
    """Fill pool with the first allowed items of a given order; return how many."""
    size = 0
    for j in order:
        if j < 0 or size == most:
            break
        if marks[j] == 0:
            pool[size] = j
            size += 1
    return size


@njit(cache=True, nogil=True)
def _score_sparse(user, table, catalogue, rules, scratch, found):  # type: ignore[no-untyped-def]
    """Score similarity, cosine, successors and repeats; return the mass left for popularity."""
    scores, touched, history = scratch.scores, scratch.touched, user.history
    mass = 0.0
    if rules.active[SIMILARITY]:
        found[0], mass = similarity.score(
            table.neighbours, table.weights, table.sizes, table.totals, history[: rules.window],
            rules.decay, rules.prior, scores[0], touched[0],
        )  # fmt: skip
        total = catalogue.log2_totals[POPULARITY_LONG]
        for n in range(found[0]):
            j = touched[0, n]
            scores[0, j] += mass * math.exp(log_share(table.heats[j, POPULARITY_LONG], total))
    if rules.active[COSINE]:
        found[1] = similarity.score_cosine(
            table.far, table.far_weights, table.far_sizes, table.events, history, scores[1],
            touched[1],
        )  # fmt: skip
    if rules.active[SUCCESSORS]:
        found[2] = successors.score(
            table.ring, table.ring_ranks, table.ring_totals, history[: rules.ring], rules.decay,
            rules.reverse, scores[2], touched[2],
        )  # fmt: skip
    if rules.active[REPEATS]:
        found[3] = repeats.score(history, user.takes, user.in_session, scores[3], touched[3])
    if rules.active[SEGMENT]:
        found[4], _ = similarity.score(
            table.neighbours, table.weights, table.sizes, table.totals, user.segment, 1.0, 0.0,
            scores[4], touched[4],
        )  # fmt: skip
    return mass


@njit(cache=True, nogil=True)
def gather(user, table, catalogue, rules, scratch, target):  # type: ignore[no-untyped-def]
    """Return (candidates, values, ranks, extras, pools, places) of one user.

    candidates: int32[C] rows; values, ranks, extras: as learned_blend.Features; pools: int32[M,
    most], what each source alone would show, -1 padded; places: float64[M], the place of row
    `target` in each source's ranking of all allowed items, ties at their middle (NaN where there
    is no target, or none that could be shown).
    """
    marks = scratch.marks
    for row in user.excluded:
        marks[row] |= 1
    mark(user.seen, catalogue.shorts, catalogue.short_rows, marks, True)
    found = np.zeros(len(SPARSE), np.int64)
    mass = _score_sparse(user, table, catalogue, rules, scratch, found)
    pools, sizes = _propose(user, catalogue, rules, scratch, found)
    places = places_of(target, user, table, catalogue, rules, scratch, found)
    candidates, where = np.empty(M * rules.most, np.int32), scratch.where
    n = 0
    for m in range(M):
        for k in range(sizes[m]):
            j = pools[m, k]
            if not marks[j] & 2:
                marks[j] |= 2
                candidates[n] = j
                where[j] = n
                n += 1
    candidates = candidates[:n]
    mark(user.seen, catalogue.shorts, catalogue.short_rows, marks, False)
    for row in user.excluded:
        marks[row] = 0
    for row in candidates:
        marks[row] = 0
    values = _values(candidates, user, table, catalogue, rules, scratch, found, mass)
    ranks = _ranks(n, pools, sizes, where)
    scores, touched = scratch.scores, scratch.touched
    for s in range(len(SPARSE)):
        for k in range(found[s]):
            scores[s, touched[s, k]] = 0.0
    extras = _extras(candidates, user, table, catalogue, where)
    return candidates, values, ranks, extras, pools, places


@njit(cache=True, nogil=True)
def _propose(user, catalogue, rules, scratch, found):  # type: ignore[no-untyped-def]
    """Return int32[M, most], what each source alone would show, -1 padded, and how many each."""
    active, most, popular = rules.active, rules.most, catalogue.popular
    servable, marks, scores, touched = (
        catalogue.servable, scratch.marks, scratch.scores, scratch.touched
    )  # fmt: skip
    logits, contents = user.logits, user.contents
    pools, sizes = np.full((M, most), -1, np.int32), np.zeros(M, np.int64)
    for m in range(M):
        s = sparse(m)
        if not active[m]:
            continue
        if m <= POPULARITY_LONG:
            sizes[m] = _first(popular[m], marks, most, pools[m])
        elif s >= 0:
            rows = touched[s, : found[s]]
            sizes[m] = _best(rows, scores[s], servable, marks, most, pools[m])
        else:
            values = logits if m == FACTORS else contents
            sizes[m] = _best(range(len(values)), values, servable, marks, most, pools[m])
    return pools, sizes


@njit(cache=True, nogil=True)
def _values(candidates, user, table, catalogue, rules, scratch, found, mass):  # type: ignore[no-untyped-def]
    scores, touched, heats, active = scratch.scores, scratch.touched, table.heats, rules.active
    log2_totals, logits, contents = catalogue.log2_totals, user.logits, user.contents
    with_logits = active[FACTORS] and len(logits) > 0
    with_contents = active[CONTENT] and len(contents) > 0
    totals = np.zeros(len(SPARSE))
    for s in range(1, len(SPARSE)):
        for k in range(found[s]):
            totals[s] += scores[s, touched[s, k]]
    out = np.full((len(candidates), M), np.float32(LOG_FLOOR))
    for n in range(len(candidates)):
        j = candidates[n]
        for m in range(POPULARITY_LONG + 1):
            if active[m]:
                out[n, m] = log_share(heats[j, m], log2_totals[m])
        for s in range(len(SPARSE)):
            p = scores[s, j]
            if s == 0:
                if p == 0.0 and mass > 0.0:
                    share = log_share(heats[j, POPULARITY_LONG], log2_totals[POPULARITY_LONG])
                    p = mass * math.exp(share)
            elif totals[s] > 0.0:
                p /= totals[s]
            if p > 0.0:
                out[n, SPARSE[s]] = max(LOG_FLOOR, math.log(p))
        out[n, FACTORS] = logits[j] if with_logits else 0.0
        out[n, CONTENT] = contents[j] if with_contents else 0.0
    return out


@njit(cache=True, nogil=True)
def _ranks(count, pools, sizes, where):  # type: ignore[no-untyped-def]
    """Return uint8[C, M]: the rank of each candidate in each source's list, 0 where absent."""
    out = np.zeros((count, M), np.uint8)
    for m in range(M):
        for k in range(sizes[m]):
            out[where[pools[m, k]], m] = min(k + 1, 255)
    return out


@njit(cache=True, nogil=True)
def _extras(candidates, user, table, catalogue, where):  # type: ignore[no-untyped-def]
    history, takes, in_session = user.history, user.takes, user.in_session
    born, now = table.born, catalogue.now
    out = np.zeros((len(candidates), E), np.float32)
    for n in range(len(candidates)):
        j = candidates[n]
        if born[j] > 0:
            out[n, 0] = math.log1p(max(0, now - born[j]) / 3_600_000.0)
    for b in range(len(history)):
        n = where[history[b]]
        if n < len(candidates) and candidates[n] == history[b]:  # else the number is an old one
            out[n, 1] = 1.0
            out[n, 2] = 1.0 / (1.0 + b)
            out[n, 3] = math.log1p(takes[b])
            out[n, 4] = in_session[b]
            out[n, 5] = b == 0
    return out
