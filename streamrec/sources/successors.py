"""Successors: session and user neighbours, from rings of what users took around an item lately.

Event i after history h_1 (newest), h_2, ...: the ring of h_b gets (i, b), the ring of i gets
(h_b, b, reverse). Score of j: sum_b d^(b-1) sum of the weights of j in the ring of h_b, over the
sum of all its weights; an entry weighs 1/b, reverse ones half. So the latest users who share an
item vote on what comes next, as in session-kNN (Ludewig and Jannach 2018), without a table of
sessions; overlap weights and decay were measured to add nothing. Bound: the ring's length.
"""

from collections.abc import Sequence
from typing import Annotated, Any

import numpy as np
from msgspec import Meta
from numba import njit
from numpy.typing import NDArray

from streamrec.settings.types import Section
from streamrec.sources.similarity import REVERSE
from streamrec.sources.slots import note_slots, slot_of
from streamrec.sources.source import Said, Shopper, Source
from streamrec.state.schema import Column, note

Array = NDArray[Any]


class SuccessorSettings(Section, frozen=True, kw_only=True):
    """Session and user neighbours: rings of what users took around an item lately."""

    window: Annotated[int, Meta(ge=1, le=127)] = 5
    """Earlier items of the user whose rings learn of a new one."""
    entries: Annotated[int, Meta(ge=0, le=4096)] = 64
    """Entries in an item's ring; 0 switches this source off."""


class Successors(Source):
    """What the latest users of the same items took around them."""

    name = section = "successors"
    Settings = SuccessorSettings
    weight = 0.1

    def __init__(self, settings: Any) -> None:
        mine: SuccessorSettings = settings.successors
        self._window, self._entries = mine.window, mine.entries
        self._by = settings.factors.context_decay, settings.similarity.reverse_weight

    def active(self) -> bool:
        """Say whether it keeps rings."""
        return self._entries > 0

    def window(self) -> int:
        """Return how many earlier items it pairs an event with."""
        return self._window if self._entries else 0

    def columns(self) -> Sequence[Column]:
        """Return the ring: keys, rank bytes, and how many were ever put in."""
        mine, total = ("successors", "successors_total")
        return (
            Column(total, "<u4", 0, mine),
            Column("successors_keys", "<u8", self._entries, mine, total, table="rows"),
            Column("successors_ranks", "u1", self._entries, mine, total),
        )

    def learn(self, arrays: Any, update: Any) -> None:
        """Put the record's pairs into the rings of their items."""
        a = arrays
        if self._entries:
            rings = a.successors_keys, a.successors_ranks, a.successors_total
            _learn(
                rings, a.successors_changed, update.columns["pairs"], update.events, self._window
            )

    def score(self, arrays: Any, user: Shopper, scores: Array, touched: Array) -> Said:
        """Add the votes of the rings of the latest items."""
        a = arrays
        rings = a.successors_keys, a.successors_ranks, a.successors_total
        count, total = score(rings, user.history[: self._window], self._by, scores, touched)
        return Said(count, total)

    def support(self, arrays: Any, user: Shopper, rows: Array, where: Array) -> Array:
        """Return each past item's votes."""
        a = arrays
        rings = a.successors_keys, a.successors_ranks, a.successors_total
        out = np.zeros((len(rows), len(user.history)))
        support(rings, user.history[: self._window], self._by, rows, where, out)
        return out

    def pairs(self, arrays: Any, past: Array, rows: Array, where: Array) -> Array:
        """Return each row's share of the votes of each past item's ring."""
        a = arrays
        rings = a.successors_keys, a.successors_ranks, a.successors_total
        out = np.zeros((len(rows), len(past)))
        support(rings, past, (1.0, self._by[1]), rows, where, out)
        return out


@njit(cache=True, nogil=True)
def _learn(rings, changed, pairs, events, window):  # type: ignore[no-untyped-def]
    """Put the fresh pairs (updates.PAIR) of ranks below the window into the rings."""
    known, fresh, _, _ = events
    for pair in pairs:
        row = known[pair.key]
        if np.int64(pair.rank & 127) < window and row >= 0 and fresh[pair.event]:
            note(changed, row, push(rings, row, pair.other, pair.rank))


@njit(cache=True, nogil=True)
def push(rings, row, other, rank):  # type: ignore[no-untyped-def]
    """Put (other key, rank byte) into the ring of `row` over its oldest; return where.

    rings: (keys uint64[items, R], rank bytes uint8[items, R], uint32[items] all ever put in).
    """
    keys, ranks, totals = rings
    at = totals[row] % keys.shape[1]
    keys[row, at] = other
    ranks[row, at] = rank
    totals[row] += 1
    return np.int64(at)


@njit(cache=True, nogil=True)
def vote(rank, reverse):  # type: ignore[no-untyped-def]
    """Return the weight of an entry from its rank byte."""
    return (reverse if rank >= REVERSE else 1.0) / ((rank & 127) + 1)


@njit(cache=True, nogil=True)
def score(rings, history, by, scores, touched):  # type: ignore[no-untyped-def]
    """Add the votes for each item to `scores`; return how many were touched, and their sum.

    rings: (rows int32[items, R], -1 unknown; rank bytes uint8[items, R]; uint32[items] entries
    ever put in); by: (decay, weight of reverse entries); scores: float64[items].
    """
    keys, ranks, totals = rings
    decay, reverse = by
    found = 0
    step = 1.0
    for b in range(len(history)):
        h = history[b]
        size = min(np.int64(totals[h]), keys.shape[1])
        total = 0.0
        for n in range(size):
            total += vote(ranks[h, n], reverse)
        if total > 0.0:
            for n in range(size):
                j, more = keys[h, n], step * vote(ranks[h, n], reverse) / total
                if j >= 0:
                    touched[found] = j
                    found += (scores[j] == 0.0) & (more > 0.0)
                    scores[j] += more
        step *= decay
    total = 0.0
    for n in range(found):
        total += scores[touched[n]]
    return found, total


@njit(cache=True, nogil=True)
def support(rings, history, by, rows, where, out):  # type: ignore[no-untyped-def]
    """Add to out float64[rows, history] the votes of each past item's ring (see score) for rows."""
    keys, ranks, totals = rings
    decay, reverse = by
    note_slots(rows, where)
    step = 1.0
    for b in range(len(history)):
        h = history[b]
        size = min(np.int64(totals[h]), keys.shape[1])
        total = 0.0
        for n in range(size):
            total += vote(ranks[h, n], reverse)
        for n in range(size):
            r = slot_of(keys[h, n], rows, where)
            if r >= 0 and total > 0.0:
                out[r, b] += step * vote(ranks[h, n], reverse) / total
        step *= decay
