"""The user fold's inner loop: one batch of one partition over arrays, event by event."""

import math
from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from streamrec.sources.factors import gradient
from streamrec.sources.popularity import log_share
from streamrec.sources.repeats import gap_code
from streamrec.sources.user_vector import user_vector
from streamrec.state import history
from streamrec.state.keys import GOLDEN, find, mix, uniform
from streamrec.state.newcomers import CrowdArrays, judge
from streamrec.state.steps import Steps
from streamrec.state.user_rows import UserArrays

Array = NDArray[Any]
POSITIVE, NEGATIVE, REMOVE, COUNT = 0, 1, 2, 3


EVENT = np.dtype(
    [
        (name, np.int64)
        for name in ("user", "item", "kind", "type", "ts", "offset", "time", "segment")
    ]
)
"""An accepted event: the user's row; rows of the item table, -1 no segment; time: the log's, ms."""


class RingArrays(NamedTuple):
    """The latest items, as table rows, for drawing negatives."""

    rows: Array  # int32[capacity]
    counts: Array  # int32[items]
    state: Array  # int64[2]: size, next


class UserRules(NamedTuple):
    """How the user fold goes, from the settings."""

    seed: int  # of this partition's draws
    context: int  # newest items in a user's vector, at least 1
    decay: float  # of their weights, 0..1
    norm: float  # power of their sum, 0..1
    prior: float  # weight of log popularity, at least 0
    uniform_share: float  # of the negatives, 0..1
    exclude: int  # history.EXCLUDE
    session_ms: int
    gap_ms: int  # after which an item is taken again, see sources/repeats.py; 0: it is not noted
    newcomer_items: int  # other items that end being a newcomer
    newcomer_ratio: float  # see state/newcomers.py


class Table(NamedTuple):
    """What the fold reads of the item table."""

    keys: Array  # uint64[items]
    live: Array  # int32[...] rows that exist
    index: Any  # slots of the index by key, see state/keys.py
    targets: Array  # float32[items, K]
    contexts: Array  # float32[items, K]
    biases: Array  # float32[items]
    heats: Array  # float64[items], at the half-life that the factors' prior goes by
    log2_total: float  # of the same


def kind_of(type_: str, weight: float) -> int:
    """Return how the fold treats a type: by its weight, but `remove` undoes."""
    if type_ == "remove" or weight == 0.0:
        return REMOVE if type_ == "remove" else COUNT
    return POSITIVE if weight > 0 else NEGATIVE


@njit(cache=True, nogil=True)
def push(ring, row):  # type: ignore[no-untyped-def]
    """Put an item's row, int32, into the ring (RingArrays) over the oldest."""
    size, at = ring.state[0], ring.state[1]
    if len(ring.rows) == 0:
        return
    if size == len(ring.rows):
        ring.counts[ring.rows[at]] -= 1
    else:
        ring.state[0] = size + 1
    ring.rows[at] = row
    ring.counts[row] += 1
    ring.state[1] = (at + 1) % len(ring.rows)


@njit(cache=True, nogil=True)
def _earlier(users, user, at, key, index, out):  # type: ignore[no-untyped-def]
    """Fill out int32[...] with the rows of the entries before `at`, newest first, without `key`."""
    found = 0
    n = at - 1
    while n >= 0 and found < len(out):
        if users.keys[user, n] != key:
            out[found] = find(index[0], index[1], users.keys[user, n])
            found += 1
        n -= 1
    return found


@njit(cache=True, nogil=True)
def scorable(past, seen, key, event_ts, exclude, session_ms):  # type: ignore[no-untyped-def]
    """Say whether a list could have held this item: earlier events, and the item not excluded.

    past: (keys uint64[...], ts int64[...]) of the user's history; seen: uint32[...] hashes;
    exclude: history.EXCLUDE.
    """
    keys, ts = past
    first = history.excluded_from(ts, len(ts), event_ts, exclude, session_ms)
    if len(ts) == 0 or (exclude == 1 and first == len(ts)):
        return False
    if history.is_seen(seen, len(seen), key):
        return False
    at = history.index_of(keys, len(keys), key)
    return at < first if at >= 0 else True


@njit(cache=True, nogil=True)
def _apply(users, user, event, type_weights, rules, held):  # type: ignore[no-untyped-def]
    """Change the user's row; return the weight that a removal gives back, its time, the gap.

    The gap: code of the time since the user took the item (repeats.gap_code). event: (kind, key,
    event time ms, type). What is marked as seen is never listed: disliked items and, by the rule
    `user`, older ones. key: uint64.
    """
    kind, key, event_ts, type_ = event
    back, back_ts, gap = np.float32(0.0), event_ts, 0
    keys, ts, types, takes = users.keys[user], users.ts[user], users.types[user], users.takes[user]
    entries = (keys, ts, types, takes, users.held[user], users.gaps[user])
    earlier = users.earlier_keys[user], users.earlier_ts[user], users.earlier_types[user]
    size, past = np.int64(users.recent[user]), np.int64(users.earlier[user])
    at = history.index_of(keys, size, key)
    if kind == POSITIVE:
        if at >= 0:
            event, latest = (key, event_ts, type_), (ts[at], np.int64(types[at]))
            past = history.note_earlier(earlier, past, event, latest)
            gap = gap_code(event_ts - ts[at], rules.gap_ms)
        size, fell, out = history.take(entries, size, key, event_ts, type_, held, rules.gap_ms)
        if out:
            past = history.drop_earlier(earlier, past, fell)
        old, out = fell, out and rules.exclude == 0
    else:
        if at >= 0:
            past = history.drop_earlier(earlier, past, key)
            if kind == REMOVE and not users.held[user, at]:  # nobody was given what is held
                back, back_ts = type_weights[types[at]], ts[at]
            size = history.drop(entries, size, at)
        old, out = key, kind == NEGATIVE
    seen, count, next_ = users.seen[user], users.seen_size[user], users.seen_next[user]
    if out:
        count, next_ = history.mark_seen(seen, count, next_, old)
    elif kind == REMOVE and history.is_seen(seen, count, key):
        count, next_ = history.forget_seen(seen, count, next_, key)
    users.seen_size[user], users.seen_next[user] = count, next_
    users.recent[user], users.earlier[user] = size, past
    users.gapped[user] = size if rules.gap_ms > 0 else 0
    return back, back_ts, gap


@njit(cache=True, nogil=True)
def fold(users, batch, ring, crowd, type_weights, table, rules, steps):  # type: ignore[no-untyped-def]
    """Learn one batch: change the user rows and the ring, fill `steps`.

    batch: EVENT[n]; type_weights: float32[types]; the others are plain tuples, for calls with
    named ones take twice as long: as UserArrays, RingArrays, CrowdArrays, Table, UserRules, Steps.
    """
    users, ring, table = UserArrays(*users), RingArrays(*ring), Table(*table)
    rules, steps, crowd = UserRules(*rules), Steps(*steps), CrowdArrays(*crowd)
    for n in range(len(batch)):
        event = batch[n]
        user, item, kind, type_ = event.user, event.item, event.kind, event.type
        key, ts = table.keys[item], event.ts
        steps.scored[n] = -1
        steps.history[n] = -1
        steps.released[n] = -1
        steps.gains[n, 0], steps.gain_ts[n, 0] = type_weights[type_], ts
        past = users.keys[user, : users.recent[user]], users.ts[user, : users.recent[user]]
        seen = users.seen[user, : users.seen_size[user]]
        steps.scorable[n] = kind == POSITIVE and scorable(
            past, seen, key, ts, rules.exclude, rules.session_ms
        )
        users.events[user] += 1
        users.clock[user] = max(users.clock[user], event.time)
        if rules.newcomer_items > 0 and steps.gains[n, 0] != 0.0:
            steps.noted[n] = True
            earlier = past[0], users.held[user, : users.recent[user]]
            by = rules.newcomer_items - len(seen), rules.newcomer_ratio
            steps.new[n], steps.held[n] = judge(crowd, key, earlier, by)
            if steps.held[n]:
                steps.gains[n, 0] = 0.0
        held = steps.held[n]
        if kind == COUNT:
            continue
        users.offset[user] = event.offset
        if event.segment >= 0:
            users.segment[user] = table.keys[event.segment]
        if kind != REMOVE and not held:
            at = history.position(users.ts[user], np.int64(users.recent[user]), ts)
            found = _earlier(users, user, at, key, table.index, steps.history[n, 0])
            _draw((n, 0), found, (item, kind, event.offset), ring, table, rules, steps)
        change = (kind, key, ts, type_)
        back, steps.gain_ts[n, 0], gap = _apply(users, user, change, type_weights, rules, held)
        steps.gains[n, 0] -= back
        if not held:
            steps.gaps[n] = gap
        if kind == POSITIVE and not held:
            push(ring, item)
            if not steps.new[n]:
                place = _release(n, users, user, key, (table.index, type_weights), steps)
                late = np.int64(steps.released[n])
                if late >= 0:
                    past, before = users.keys[user, place], steps.history[n, 1]
                    few = before[: min(len(before), rules.newcomer_items)]
                    found = _earlier(users, user, place, past, table.index, few)
                    _draw((n, 1), found, (late, POSITIVE, event.offset), ring, table, rules, steps)
                    push(ring, late)


@njit(cache=True, nogil=True)
def _release(n, users, user, key, by, steps):  # type: ignore[no-untyped-def]
    """Let the user's oldest entry that is held, but for event n's own, be taught with event n.

    Return its place in the history. key: uint64.
    """
    index, type_weights = by
    for at in range(np.int64(users.recent[user])):
        if users.held[user, at] and users.keys[user, at] != key:
            users.held[user, at] = 0
            steps.released[n] = find(index[0], index[1], users.keys[user, at])
            steps.gains[n, 1] = type_weights[users.types[user, at]]
            steps.gain_ts[n, 1] = users.ts[user, at]
            return at
    return -1


@njit(cache=True, nogil=True)
def _draw(place, found, event, ring, table, rules, steps):  # type: ignore[no-untyped-def]
    """Fill an event's steps of factors: its user's vector, negatives, gradient (factors.py).

    place: its number, and 1 for what it releases; found: earlier items in its history, without any
    nothing is done; event: (the item's row, kind, offset). found: int64.
    """
    in_context = min(found, rules.context)
    if in_context == 0:
        return
    item, kind, offset = event
    weights, z = steps.context_weights[place][:in_context], steps.z[place]
    past = (table.contexts, steps.history[place][:in_context])
    user_vector(past, (rules.decay, rules.norm), weights, z)
    state = mix(np.uint64(offset) ^ mix(np.uint64(rules.seed + place[1])))
    drawn = (steps.scored[place], steps.log_q[place])
    latest = (ring.rows, ring.state[0], ring.counts)
    draw(item, table.live, latest, rules.uniform_share, state, drawn)
    scored, log_q = drawn
    if rules.prior != 0.0:  # to the owners it is part of the correction
        for k in range(len(scored)):
            if scored[k] >= 0:
                share = log_share(table.heats[scored[k]], table.log2_total)
                log_q[k] -= rules.prior * share
    gradient(
        (table.targets, table.biases), drawn, kind == POSITIVE, z, steps.rest[place], steps.g[place]
    )


@njit(cache=True, nogil=True)
def draw(target, live, latest, uniform_share, state, out):  # type: ignore[no-untyped-def]
    """Fill rows[1:] with negatives and log_q with log q_j = log(u/I + (1-u) count_j/ring).

    live: int32[I] rows of items that exist; latest: (ring int32[...] of rows, how many it has,
    counts int32[items] of rows in it); out: (rows int32[1 + n], log_q float32[1 + n]). rows[0] is
    the target; a draw that hits the target is dropped (row -1).
    """
    ring, ring_size, ring_counts = latest
    rows, log_q = out
    rows[0] = target
    for n in range(1, len(rows)):
        state += GOLDEN
        r = mix(state)
        pick = uniform(mix(r ^ GOLDEN))
        if ring_size == 0 or uniform(r) < uniform_share:
            j = np.int64(live[np.int64(pick * len(live))]) if len(live) > 0 else target
        else:
            j = np.int64(ring[np.int64(pick * ring_size)])
        rows[n] = j if j != target else -1
    share = uniform_share if ring_size > 0 else 1.0
    for n in range(len(rows)):
        if rows[n] >= 0:
            q = share / max(1, len(live))
            if ring_size > 0:
                q += (1.0 - share) * ring_counts[rows[n]] / ring_size
            log_q[n] = math.log(max(q, 1e-12))
