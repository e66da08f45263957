"""The user fold's inner loop: one batch of one partition over arrays, event by event."""

from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from streamrec.sources.factors import draw, gradient, user_vector
from streamrec.sources.popularity import log_share
from streamrec.state import history
from streamrec.state.keys import find, mix

Array = NDArray[Any]
POSITIVE, NEGATIVE, REMOVE, COUNT = 0, 1, 2, 3


class UserArrays(NamedTuple):
    """User rows: H history entries, S seen hashes a user."""

    keys: Array  # uint64[users, H]
    ts: Array  # int64[users, H]
    types: Array  # uint8[users, H]
    takes: Array  # uint8[users, H]
    seen: Array  # uint32[users, S]
    recent: Array  # int32[users]
    seen_sizes: Array  # int32[users]
    seen_next: Array  # int32[users]
    events: Array  # uint32[users]
    offsets: Array  # int64[users]: of the last event that changed the row
    clocks: Array  # int64[users]: log time of the last event, ms
    tokens: Array  # float32[users]
    segments: Array  # uint64[users]: key of the segment last named, or 0


class BatchArrays(NamedTuple):
    """Accepted events of a batch, all int64[n]."""

    users: Array  # rows
    items: Array  # rows of the item table
    kinds: Array
    types: Array
    ts: Array
    offsets: Array
    times: Array  # the log's time, ms
    segments: Array  # rows of the item table, -1 none


class RingArrays(NamedTuple):
    """The latest items, as table rows, for drawing negatives."""

    rows: Array  # int32[capacity]
    counts: Array  # int32[items]
    state: Array  # int64[2]: size, next


class UserRules(NamedTuple):
    """Settings the kernel needs."""

    seed: int
    context: int
    decay: float
    norm: float
    prior: float
    uniform_share: float
    exclude: int
    session_ms: int


class Steps(NamedTuple):
    """What the owners of items must do, one row an event; -1 = no item."""

    history: Array  # int32[n, longest window] earlier items, newest first
    context_weights: Array  # float32[n, context]
    scored: Array  # int32[n, 1 + negatives], the event's item first
    log_q: Array  # float32[n, 1 + negatives]
    rest: Array  # float32[n, 1 + negatives]
    z: Array  # float32[n, K]
    g: Array  # float32[n, K]
    gains: Array  # float32[n]: what the item's popularity gains
    gain_ts: Array  # int64[n]: as of this event time
    scorable: Array  # bool[n]: counts for live metrics


@njit(cache=True, nogil=True)
def push(ring, row):  # type: ignore[no-untyped-def]
    """Put an item's row into the ring over the oldest."""
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
    """Fill out with the table rows of the entries before `at`, newest first, without `key`."""
    found = 0
    n = at - 1
    while n >= 0 and found < len(out):
        if users.keys[user, n] != key:
            out[found] = find(index[0], index[1], users.keys[user, n])
            found += 1
        n -= 1
    return found


@njit(cache=True, nogil=True)
def scorable(users, user, key, event_ts, rules):  # type: ignore[no-untyped-def]
    """Say whether a list could have held this item: earlier events, and the item not excluded."""
    size = users.recent[user]
    first = history.excluded_from(users.ts[user], size, event_ts, rules.exclude, rules.session_ms)
    if size == 0 or (rules.exclude == 1 and first == size):
        return False
    if history.is_seen(users.seen[user], users.seen_sizes[user], key):
        return False
    at = history.index_of(users.keys[user], size, key)
    return at < first if at >= 0 else True


@njit(cache=True, nogil=True)
def _apply(users, user, kind, key, event_ts, type_, type_weights, exclude):  # type: ignore[no-untyped-def]
    """Change the user's row; return the weight that a removal gives back, and its time.

    What is marked as seen is never listed: disliked items and, by the rule `user`, older ones.
    """
    back, back_ts = np.float32(0.0), event_ts
    keys, ts, types, takes = users.keys[user], users.ts[user], users.types[user], users.takes[user]
    seen, size = users.seen[user], users.recent[user]
    if kind == POSITIVE:
        size, fell, out = history.take(keys, ts, types, takes, size, key, event_ts, type_)
        if out and exclude == 0:
            users.seen_sizes[user], users.seen_next[user] = history.mark_seen(
                seen, users.seen_sizes[user], users.seen_next[user], fell
            )
    else:
        at = history.index_of(keys, size, key)
        if at >= 0:
            if kind == REMOVE:
                back, back_ts = type_weights[types[at]], ts[at]
            size = history.drop(keys, ts, types, takes, size, at)
        if kind == NEGATIVE:
            users.seen_sizes[user], users.seen_next[user] = history.mark_seen(
                seen, users.seen_sizes[user], users.seen_next[user], key
            )
        elif history.is_seen(seen, users.seen_sizes[user], key):
            users.seen_sizes[user], users.seen_next[user] = history.forget_seen(
                seen, users.seen_sizes[user], users.seen_next[user], key
            )
    users.recent[user] = size
    return back, back_ts


@njit(cache=True, nogil=True)
def fold(  # type: ignore[no-untyped-def]
    users,
    batch,
    ring,
    type_weights,
    item_keys,
    live,
    index,
    targets,
    contexts,
    biases,
    heats,
    log2_total,
    rules,
    steps,
):
    """Learn one batch: change the user rows and the ring, fill `steps`.

    heats, log2_total: popularity of the half-life that the factors' prior goes by.
    """
    for n in range(len(batch.users)):
        user, item, kind = batch.users[n], batch.items[n], batch.kinds[n]
        key, ts = item_keys[item], batch.ts[n]
        steps.scored[n, :] = -1
        steps.history[n, :] = -1
        steps.gains[n], steps.gain_ts[n] = type_weights[batch.types[n]], ts
        steps.scorable[n] = kind == POSITIVE and scorable(users, user, key, ts, rules)
        users.events[user] += 1
        users.clocks[user] = max(users.clocks[user], batch.times[n])
        if kind == COUNT:
            continue
        users.offsets[user] = batch.offsets[n]
        if batch.segments[n] >= 0:
            users.segments[user] = item_keys[batch.segments[n]]
        if kind != REMOVE:
            at = history.position(users.ts[user], users.recent[user], ts)
            found = _earlier(users, user, at, key, index, steps.history[n])
            in_context = min(found, rules.context)
            if in_context > 0:
                rows = steps.history[n, :in_context]
                z, g = steps.z[n], steps.g[n]
                weights = steps.context_weights[n]
                user_vector(contexts, rows, rules.decay, rules.norm, weights[:in_context], z)
                state = mix(np.uint64(batch.offsets[n]) ^ mix(np.uint64(rules.seed)))
                scored, log_q = steps.scored[n], steps.log_q[n]
                draw(
                    item, live, ring.rows, ring.state[0], ring.counts,
                    rules.uniform_share, state, scored, log_q,
                )  # fmt: skip
                if rules.prior != 0.0:  # to the owners it is part of the correction
                    for k in range(len(scored)):
                        if scored[k] >= 0:
                            log_q[k] -= rules.prior * log_share(heats[scored[k]], log2_total)
                gradient(targets, biases, scored, log_q, kind == POSITIVE, z, steps.rest[n], g)
        type_ = batch.types[n]
        back, steps.gain_ts[n] = _apply(
            users, user, kind, key, ts, type_, type_weights, rules.exclude
        )
        steps.gains[n] -= back
        if kind == POSITIVE:
            push(ring, item)
