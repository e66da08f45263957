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
from streamrec.sources.neighbours import Lists, Neighbours, add, sum_of, used
from streamrec.sources.similarity import REVERSE
from streamrec.sources.source import Said, Shopper
from streamrec.state.schema import Column, note

Array = NDArray[Any]


class SuccessorSettings(Section, frozen=True, kw_only=True):
    """Session and user neighbours: rings of what users took around an item lately."""

    window: Annotated[int, Meta(ge=1, le=127)] = 5
    """Earlier items of the user whose rings learn of a new one."""
    entries: Annotated[int, Meta(ge=0, le=4096)] = 64
    """Entries in an item's ring; 0 switches this source off."""


class Successors(Neighbours):
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
        lists, said = self.said(arrays, user.history)
        count = add(lists, user.history, said, scores, touched)
        return Said(count, sum_of(scores, touched, count))

    def said(self, arrays: Any, past: Array, *, alone: bool = False) -> tuple[Lists, Array]:
        """Return the shares of the votes of each past item's ring."""
        a, (decay, reverse) = arrays, self._by
        rings = a.successors_keys, a.successors_ranks, a.successors_total
        if alone:
            return rings, votes(rings, past, 1.0, reverse)
        return rings, votes(rings, past[: self._window], decay, reverse)


@njit(cache=True, nogil=True)
def _learn(rings, changed, pairs, events, window):  # type: ignore[no-untyped-def]
    """Put the fresh pairs (updates.PAIR) of ranks below the window into the rings.

    rings: as `push`; changed: int32[items], see schema.note; pairs: PAIR[...].
    """
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
def votes(rings, past, decay, reverse):  # type: ignore[no-untyped-def]
    """Return float64[past, R]: decay^b times an entry's share of the weights in its ring.

    rings: a plain tuple as neighbours.Lists, of rank bytes; past: int32[...], newest first;
    reverse: weight of reverse entries.
    """
    ranks = rings[1]
    said = np.empty((len(past), ranks.shape[1]))
    step = 1.0
    for b in range(len(past)):
        h, total = past[b], 0.0
        for n in range(used(rings, h)):
            rank = ranks[h, n]
            said[b, n] = (reverse if rank >= REVERSE else 1.0) / ((rank & 127) + 1)
            total += said[b, n]
        for n in range(used(rings, h)):
            said[b, n] = step * said[b, n] / total if total > 0.0 else 0.0
        step *= decay
    return said
