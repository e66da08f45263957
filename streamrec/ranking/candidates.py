"""Candidates of every source for one user, with what each source says of each candidate.

What enters the blend of a source is the log of its share, at least LOG_FLOOR, or its score itself
(Source.in_blend); NaN where it says nothing. A source's list alone holds only what it proposes.
"""

import math

import numpy as np
from numba import njit

from streamrec.blend.learned import E
from streamrec.blend.quantised import LAST_RANK
from streamrec.ranking.full_ranks import full_ranks
from streamrec.ranking.views import FEW, SAME, Catalogue, Filtered, Roster, Scratch
from streamrec.sources.popularity import LOG_FLOOR, LONG, log_share
from streamrec.sources.repeats import FACTS, again, since_and_due

HOUR_MS = 3_600_000.0
MORE = len(FACTS)


@njit(cache=True, nogil=True)
def gather(past, left_out, dense, target, catalogue, filtered, roster, scratch, most):  # type: ignore[no-untyped-def]
    """Return (candidates, values, ranks, extras, alone, full ranks) of one user.

    past: (history, takes, in_session, times, gaps) of a Shopper; left_out: int32[...] rows;
    catalogue, filtered, roster, scratch: plain tuples of views.py's fields.
    dense: (float32[ALL sources, users, items], NaN where silent; number of the user); target: a
    row, or -1; most: candidates of a source. candidates: int32[C] rows; values, ranks, extras: as
    blend.learned.Features; alone: int32[M, most], what each source alone would show, -1 padded;
    full ranks: of row `target`. Under a filter, catalogue.servable is what passes, and dense may
    hold anything elsewhere.
    """
    catalogue, roster, scratch = Catalogue(*catalogue), Roster(*roster), Scratch(*scratch)
    filtered = Filtered(*filtered)
    marks, scores, touched, where = scratch.marks, scratch.scores, scratch.touched, scratch.where
    _smooth(catalogue, scratch)
    out, servable = 0, catalogue.servable
    for row in left_out:
        if not filtered.on or (row < len(servable) and servable[row] and marks[row] == 0):
            out += 1
        marks[row] = 1
    alone, sizes = _propose(dense, catalogue, filtered, roster, scratch, most)
    ranked = full_ranks(target, out, dense, catalogue, roster, scratch)
    room = (len(sizes) + 1) * most + len(filtered.pinned)
    candidates, n = np.empty(room, np.int32), 0
    for m in range(len(sizes)):
        n = _join(alone[m, : sizes[m]], candidates, n, room, catalogue, scratch)
    n = _join(filtered.pinned, candidates, n, room, catalogue, scratch)
    if filtered.on and n < most:  # of some that pass no source speaks: they are to be there too
        n = _join(filtered.rows, candidates, n, most, catalogue, scratch)
    candidates = candidates[:n]
    for row in left_out:
        marks[row] = 0
    for row in candidates:
        marks[row] = 0
    values = _values(candidates, dense, catalogue, roster, scratch)
    ranks = _ranks(n, alone, sizes, where)
    for s in range(len(scores)):
        for k in range(scratch.found[s]):
            scores[s, touched[s, k]] = 0.0
    extras = _extras(candidates, past, catalogue, where)
    return candidates, values, ranks, extras, alone, ranked


@njit(cache=True, nogil=True)
def _join(rows, candidates, n, most, catalogue, scratch):  # type: ignore[no-untyped-def]
    """Add those of rows that may be and are not yet to the first n candidates; return how many.

    There are `most` of them then, or fewer. rows: int32[...]; candidates: int32[room].
    """
    for j in rows:
        if n >= most:
            break
        if catalogue.servable[j] and scratch.marks[j] == 0:
            scratch.marks[j] = 2
            candidates[n] = j
            scratch.where[j] = n
            n += 1
    return n


@njit(cache=True, nogil=True)
def popular_share(j, catalogue):  # type: ignore[no-untyped-def]
    """Return an item's share of the week's popularity.

    j: a row, int; catalogue: a Catalogue, of which heats is float64[items, 3].
    """
    return math.exp(log_share(catalogue.heats[j, LONG], catalogue.log2_totals[LONG]))


@njit(cache=True, nogil=True)
def _smooth(catalogue, scratch):  # type: ignore[no-untyped-def]
    """Add to what sources say of few items what they say of all (Said.rest).

    catalogue: a Catalogue; scratch: a Scratch, of which scores is float64[FEW sources, items].
    """
    scores, touched, found, rest = scratch.scores, scratch.touched, scratch.found, scratch.rest
    for s in range(len(scores)):
        if rest[s] > 0.0:
            for n in range(found[s]):
                j = touched[s, n]
                scores[s, j] += rest[s] * popular_share(j, catalogue)


@njit(cache=True, nogil=True)
def _propose(dense, catalogue, filtered, roster, scratch, most):  # type: ignore[no-untyped-def]
    """Return int32[M, most], what each source alone would show, -1 padded, and how many each."""
    active, style, place, servable = roster.active, roster.style, roster.place, catalogue.servable
    marks, scores, touched = scratch.marks, scratch.scores, scratch.touched
    said, u = dense
    alone = np.full((len(active), most), -1, np.int32)
    sizes = np.zeros(len(active), np.int64)
    for m in range(len(active)):
        k = place[m]
        if not active[m]:
            continue
        if style[m] == SAME:
            heats = catalogue.heats[:, k]
            if not filtered.picked:
                sizes[m] = _first(catalogue.orders[k], servable, marks, most, alone[m])
            if filtered.on and sizes[m] < most:  # the order ends somewhere
                sizes[m] = _best(filtered.rows, heats, servable, marks, most, alone[m])
        elif style[m] == FEW:
            rows = touched[k, : scratch.found[k]]
            sizes[m] = _best(rows, scores[k], servable, marks, most, alone[m])
        else:
            sizes[m] = _best(filtered.rows, said[k, u], servable, marks, most, alone[m])
    return alone, sizes


@njit(cache=True, nogil=True)
def _best(rows, values, servable, marks, most, out):  # type: ignore[no-untyped-def]
    """Fill out int32[most] with the best allowed of `rows` by values[row]; return how many.

    NaN is never among the best.
    """
    best = np.empty(most, np.float64)
    size = 0
    least = -np.inf
    for j in rows:
        s = values[j]
        if s > least and servable[j] and marks[j] == 0:
            at = size if size < most else most - 1
            while at > 0 and best[at - 1] < s:
                best[at], out[at] = best[at - 1], out[at - 1]
                at -= 1
            best[at], out[at] = s, j
            size = min(size + 1, most)
            if size == most:
                least = best[most - 1]
    return size


@njit(cache=True, nogil=True)
def _first(order, servable, marks, most, out):  # type: ignore[no-untyped-def]
    """Fill out int32[most] with the first allowed items of an order int32[...]; return how many."""
    size = 0
    for j in order:
        if j < 0 or size == most:
            break
        if servable[j] and marks[j] == 0:
            out[size] = j
            size += 1
    return size


@njit(cache=True, nogil=True)
def _values(candidates, dense, catalogue, roster, scratch):  # type: ignore[no-untyped-def]
    """Return float32[C, M]: what each source says of each candidate, NaN for nothing."""
    active, style, place, shares = roster.active, roster.style, roster.place, roster.shares
    heats, log2_totals = catalogue.heats, catalogue.log2_totals
    scores, totals, rest = scratch.scores, scratch.totals, scratch.rest
    said, u = dense
    out = np.full((len(candidates), len(active)), np.float32(np.nan))
    for m in range(len(active)):
        k = place[m]
        if not active[m]:
            continue
        for n in range(len(candidates)):
            j = candidates[n]
            if style[m] == SAME:
                out[n, m] = log_share(heats[j, k], log2_totals[k])
            elif style[m] == FEW:
                p = scores[k, j]
                if p == 0.0 and rest[k] > 0.0:
                    p = rest[k] * popular_share(j, catalogue)
                if totals[k] > 0.0:
                    p /= totals[k]
                if p > 0.0:
                    out[n, m] = max(LOG_FLOOR, math.log(p)) if shares[m] else p
            else:
                out[n, m] = said[k, u, j]
    return out


@njit(cache=True, nogil=True)
def _ranks(count, alone, sizes, where):  # type: ignore[no-untyped-def]
    """Return uint8[C, M]: the rank of each candidate in each source's list, 0 where absent.

    alone: int32[M, most]; sizes: int64[M]; where: int32[items], a candidate's number.
    """
    out = np.zeros((count, len(sizes)), np.uint8)
    for m in range(len(sizes)):
        for k in range(sizes[m]):
            out[where[alone[m, k]], m] = min(k + 1, LAST_RANK)
    return out


@njit(cache=True, nogil=True)
def _extras(candidates, past, catalogue, where):  # type: ignore[no-untyped-def]
    """Return float32[C, E]: those of blend.learned.EXTRAS; and of repeats, FACTS.

    past: (history int32[n], takes uint8[n], in_session bool[n], times int64[n], gaps uint8[n]);
    where: int32[items].
    """
    history, takes, in_session, times, gaps = past
    born, now, repeats = catalogue.born, catalogue.now, catalogue.repeats
    more = len(repeats[0]) > 0
    out = np.zeros((len(candidates), E + MORE if more else E), np.float32)
    for n in range(len(candidates)):
        j = candidates[n]
        if born[j] > 0:
            out[n, 0] = math.log1p(max(0, now - born[j]) / HOUR_MS)
        if more:
            out[n, E + 2] = again(j, repeats)
    for b in range(len(history)):
        n = where[history[b]]
        if n < len(candidates) and candidates[n] == history[b]:  # else the number is an old one
            out[n, 1] = 1.0
            out[n, 2] = 1.0 / (1.0 + b)
            out[n, 3] = math.log1p(takes[b])
            out[n, 4] = in_session[b]
            out[n, 5] = b == 0
            if more:
                out[n, E], out[n, E + 1] = since_and_due(
                    now - times[b], gaps[b], history[b], repeats
                )
    return out
