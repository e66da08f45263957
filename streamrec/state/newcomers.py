"""Newcomers: which items live of users of whom next to nothing is known yet.

An event is a newcomer's while its user has had fewer than `users.newcomer_items` other items. Among
the latest WINDOW events that teach, m of an item are newcomers' and k are not, and r of the m came
after the last of the k. It is held, that is, it teaches nobody but its user, after another that is
held, or if the item lives of newcomers, in all its events or in the latest:

    m > max(a k, u (k + 1))    or    r > max(1, a, 2 u)

    a = min(users.newcomer_ratio, k / THIN)        u = 2 s / (1 - 2 s)

The usual share s is the mean of m / (m + k) over the items: where newcomers make half of all, none
is held. Of users who stay, what was held is released, one with each further event.
"""

from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from streamrec.state.keys import KeyIndex, find, grow
from streamrec.state.ring import Ring

Array = NDArray[Any]
WINDOW = 16_384
"""Latest events of a partition that items are judged by: 8 bytes each."""
ONE = 1 << 20
"""A share of 1; shares are whole numbers, so that their sum does not depend on its order."""
NEW = np.uint64(1)
"""Bit of a ring entry, which stands in the lowest of the item's key: a newcomer's event."""
THIN = 10
"""Others' events that an item needs to be allowed as many newcomers'; of few, the square counts."""


class CrowdArrays(NamedTuple):
    """The latest events by item, as the kernels see them."""

    rows: Array  # int32[WINDOW], the ring: rows of `counts`
    new: Array  # bool[WINDOW], of each: a newcomer's
    state: Array  # int64[4]: events in the ring, next place, items in it, sum of their shares
    counts: Array  # int32[items, 3]: k, m and r
    slot_keys: Array  # the index of rows by key without its lowest bit, see state/keys.py
    slot_rows: Array


@njit(cache=True, nogil=True)
def row_in(crowd, key):  # type: ignore[no-untyped-def]
    """Return an item's row of the counts, -1 if it is in none of the latest events.

    crowd: CrowdArrays; key: uint64.
    """
    return find(crowd.slot_keys, crowd.slot_rows, key | NEW)


@njit(cache=True, nogil=True)
def lives_of_newcomers(crowd, key, ratio):  # type: ignore[no-untyped-def]
    """Say whether an item has more events of newcomers than it is allowed.

    crowd: CrowdArrays; key: uint64; ratio: float64.
    """
    items, shares = crowd.state[2], crowd.state[3]
    usual = 2 * (shares // items) if items > 0 else np.int64(ONE)  # 2 s
    row = row_in(crowd, key)
    if usual >= ONE or row < 0:
        return False
    others, new, latest = crowd.counts[row]
    allowed = min(others, np.int64(THIN * ratio))  # THIN a
    at_once = max(THIN, allowed)
    return _too_many(new, others, allowed, usual) or _too_many(latest, 1, at_once, usual)


@njit(cache=True, nogil=True)
def _too_many(new, others, allowed, usual):  # type: ignore[no-untyped-def]
    """Say whether `new` are too many beside others; all int64, `usual` a share times ONE."""
    return new * THIN > allowed * others and new * (ONE - usual) > usual * (others + 1)


@njit(cache=True, nogil=True)
def _share(crowd, row, by):  # type: ignore[no-untyped-def]
    """Add an item's share to their sum `by` times, and the item to those in the ring.

    crowd: CrowdArrays; row, by: int64.
    """
    others, new, _ = crowd.counts[row]
    if others + new > 0:
        crowd.state[2] += by
        crowd.state[3] += by * (np.int64(new) * ONE // (others + new))


@njit(cache=True, nogil=True)
def _count(crowd, row, by, new):  # type: ignore[no-untyped-def]
    """Count one event more of an item, or with `by` -1 its oldest no more.

    crowd: CrowdArrays; row, by: int64; new: bool.
    """
    counts = crowd.counts[row]
    _share(crowd, row, -1)
    if not new:
        counts[0] += by
        if by > 0:
            counts[2] = 0
    else:
        counts[1] += by
        if by > 0 or counts[0] == 0:  # the oldest is one of the latest only if no other's is left
            counts[2] += by
    _share(crowd, row, 1)


@njit(cache=True, nogil=True)
def note(crowd, row, new):  # type: ignore[no-untyped-def]
    """Take in one event on the item of a row, in place of the oldest.

    crowd: CrowdArrays; row: int32; new: bool.
    """
    size, at = crowd.state[0], crowd.state[1]
    if size == len(crowd.rows):
        _count(crowd, crowd.rows[at], -1, crowd.new[at])
    else:
        crowd.state[0] = size + 1
    crowd.rows[at], crowd.new[at] = row, new
    crowd.state[1] = (at + 1) % len(crowd.rows)
    _count(crowd, row, 1, new)


@njit(cache=True, nogil=True)
def judge(crowd, key, past, by):  # type: ignore[no-untyped-def]
    """Say whether the next event, on an item, is a newcomer's, and whether it is held; note it.

    past: (keys uint64[...], held uint8[...]) of the user's history; by: (other items from which on
    the user is none, users.newcomer_ratio).
    """
    keys, earlier = past
    least, ratio = by
    others = len(keys)
    if others <= least:  # a longer one has enough of others
        for one in keys:
            others -= one == key
    new = others < least
    held = new and (earlier.any() or lives_of_newcomers(crowd, key, ratio))
    note(crowd, row_in(crowd, key), new)
    return new, held


@njit(cache=True, nogil=True)
def _recount(crowd, rows, new):  # type: ignore[no-untyped-def]
    """Take in events in their order; rows: int32[n]; new: bool[n]."""
    for n in range(len(rows)):
        note(crowd, rows[n], new[n])


class Newcomers:
    """The latest events of one partition. Bound: WINDOW."""

    def __init__(self, ring: Ring) -> None:
        self.ring = ring
        self._index = KeyIndex()
        self._arrays: CrowdArrays | None = None

    def arrays(self, keys: NDArray[np.uint64]) -> CrowdArrays:
        """Return the counts, with a row for each of the items that the next events name."""
        if self._arrays is None or self._index.size > 2 * WINDOW:
            self._arrays = self._made()
        self._index.add(keys | NEW)
        index, arrays = self._index, self._arrays
        counts = grow(arrays.counts, index.size)
        self._arrays = arrays._replace(
            counts=counts, slot_keys=index.slot_keys, slot_rows=index.slot_rows
        )
        return self._arrays

    def push(self, keys: NDArray[np.uint64], new: NDArray[np.bool_]) -> None:
        """Keep the events that the kernel has noted, in their order."""
        self.ring.push(np.where(new, keys | NEW, keys & ~NEW))

    def _made(self) -> CrowdArrays:
        self._index = KeyIndex()
        kept = self.ring.latest()
        rows = self._index.add(kept | NEW)
        crowd = CrowdArrays(
            np.zeros(WINDOW, np.int32), np.zeros(WINDOW, np.bool_), np.zeros(4, np.int64),
            np.zeros((max(1024, self._index.size), 3), np.int32), self._index.slot_keys,
            self._index.slot_rows,
        )  # fmt: skip
        _recount(crowd, rows, (kept & NEW) == NEW)
        return crowd
