"""A user's history: distinct items, oldest first by (event time, offset); older ones only seen."""

import numpy as np
from numba import njit

from streamrec.sources.repeats import gap_code, usual_gap

EXCLUDE = {"user": 0, "session": 1, "none": 2}


@njit(cache=True, nogil=True)
def position(ts, size, event_ts):  # type: ignore[no-untyped-def]
    """Return where an event at `event_ts` belongs among the first `size` entries of ts.

    ts: int64[H], ms, ascending.
    """
    at = size
    while at > 0 and ts[at - 1] > event_ts:
        at -= 1
    return at


@njit(cache=True, nogil=True)
def excluded_from(ts, size, event_ts, exclude, session_ms):  # type: ignore[no-untyped-def]
    """Return the index from which on the history may not be recommended (EXCLUDE codes).

    ts: int64[H], ms, ascending.
    """
    if exclude == 0:
        return 0
    if exclude == 2:
        return size
    newer = event_ts
    at = size
    while at > 0 and newer - ts[at - 1] <= session_ms:
        at -= 1
        newer = ts[at]
    return at


@njit(cache=True, nogil=True)
def index_of(keys, size, key):  # type: ignore[no-untyped-def]
    """Return the index of `key` among the first `size` keys, or -1.

    keys: uint64[H].
    """
    for n in range(size - 1, -1, -1):
        if keys[n] == key:
            return n
    return -1


@njit(cache=True, nogil=True)
def take(entries, size, key, event_ts, kind, held, gap_ms):  # type: ignore[no-untyped-def]
    """Put an item in its place; return (new size, key that fell out, whether one did).

    entries: (keys uint64[H], ts int64[H], types uint8[H], takes uint8[H], held uint8[H], gaps
    uint8[H]), `size` of them in use; held: the item's latest event taught others nothing; gap_ms:
    after which it is taken again, see repeats.gap_code.

    An item already there moves to its new place if that is later, and its count of takes grows.
    """
    keys, ts, types, takes, helds, gaps = entries
    at = index_of(keys, size, key)
    count, gap = 1, 0
    if at >= 0:
        count = min(255, takes[at] + 1)
        if ts[at] > event_ts:
            takes[at] = count
            return size, key, False
        gap = usual_gap(gaps[at], gap_code(event_ts - ts[at], gap_ms))
        size = drop(entries, size, at)
    place = position(ts, size, event_ts)
    fell = key
    full = size == len(keys)
    if full:
        if place == 0:
            return size, key, True
        fell = keys[0]
        size = drop(entries, size, 0)
        place -= 1
    for n in range(size, place, -1):
        keys[n] = keys[n - 1]
        ts[n] = ts[n - 1]
        types[n] = types[n - 1]
        takes[n] = takes[n - 1]
        helds[n] = helds[n - 1]
        gaps[n] = gaps[n - 1]
    keys[place] = key
    ts[place] = event_ts
    types[place] = kind
    takes[place] = count
    helds[place] = held
    gaps[place] = gap
    return size + 1, fell, full


@njit(cache=True, nogil=True)
def drop(entries, size, at):  # type: ignore[no-untyped-def]
    """Take entry `at` out of the first `size`; return the new size.

    entries: keys uint64[H], ts int64[H], and types, takes, helds, gaps of the same length.
    """
    keys, ts, types, takes, helds, gaps = entries
    for n in range(at, size - 1):
        keys[n] = keys[n + 1]
        ts[n] = ts[n + 1]
        types[n] = types[n + 1]
        takes[n] = takes[n + 1]
        helds[n] = helds[n + 1]
        gaps[n] = gaps[n + 1]
    return size - 1


@njit(cache=True, nogil=True)
def note_earlier(earlier, size, event, latest):  # type: ignore[no-untyped-def]
    """Note of an event on an item what its latest event would hide; return the new size.

    earlier: (keys uint64[H], ts int64[H], types uint8[H]), `size` of them in use: the newest event
    of each type of an item, but of the type of its latest; over the oldest when full. event:
    (key, ts, type); latest: (ts, type) of the item's latest event before it.
    """
    keys, tss, types = earlier
    key, ts, kind = event
    if latest[1] == kind:
        return size
    over = kind  # the entry that is no longer the newest of its type, or is the latest now
    if ts >= latest[0]:
        ts, kind = latest
    at, oldest = -1, 0
    for n in range(size):
        if keys[n] == key and types[n] == over:
            at = n
        if tss[n] < tss[oldest]:
            oldest = n
    if at >= 0:
        if kind == over and tss[at] > ts:
            return size
    elif size < len(keys):
        at = size
        size += 1
    elif tss[oldest] > ts:
        return size
    else:
        at = oldest
    keys[at], tss[at], types[at] = key, ts, kind
    return size


@njit(cache=True, nogil=True)
def drop_earlier(earlier, size, key):  # type: ignore[no-untyped-def]
    """Take all entries of an item out of the first `size`; return the new size.

    earlier: as note_earlier, keys uint64[H] first.
    """
    keys, ts, types = earlier
    kept = 0
    for n in range(size):
        if keys[n] != key:
            keys[kept], ts[kept], types[kept] = keys[n], ts[n], types[n]
            kept += 1
    return kept


@njit(cache=True, nogil=True)
def is_seen(seen, size, key):  # type: ignore[no-untyped-def]
    """Return whether the key's 32-bit hash is among the seen ones.

    seen: uint32[S]; key: uint64.
    """
    short = np.uint32(key & np.uint64(0xFFFFFFFF))
    for n in range(size):
        if seen[n] == short:
            return True
    return False


@njit(cache=True, nogil=True)
def mark_seen(seen, size, next_, key):  # type: ignore[no-untyped-def]
    """Remember a key as seen, over the oldest when full; return (size, next).

    seen: uint32[S]; key: uint64.
    """
    if len(seen) == 0 or is_seen(seen, size, key):
        return size, next_
    short = np.uint32(key & np.uint64(0xFFFFFFFF))
    if size < len(seen):
        seen[size] = short
        return size + 1, next_
    seen[next_] = short
    return size, (next_ + 1) % len(seen)


@njit(cache=True, nogil=True)
def forget_seen(seen, size, next_, key):  # type: ignore[no-untyped-def]
    """Take a key out of the seen ones, the others in their order; return (size, next).

    seen: uint32[S]; key: uint64.
    """
    short = np.uint32(key & np.uint64(0xFFFFFFFF))
    first = next_ if size == len(seen) else 0
    order = np.empty(size, np.uint32)
    kept = 0
    for n in range(size):
        one = seen[(first + n) % size]
        if one != short:
            order[kept] = one
            kept += 1
    seen[:kept] = order[:kept]
    return kept, 0
