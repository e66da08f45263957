"""The item fold's inner loop: one update record over arrays, event by event."""

from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from streamrec.sources.factors import step_context, step_target
from streamrec.sources.popularity import add
from streamrec.sources.similarity import add_pair
from streamrec.sources.successors import REVERSE, push

Array = NDArray[Any]
ALL = -1
"""Of a list, more than one entry changed."""


class ItemArrays(NamedTuple):
    """Item rows: K factors, up to 2N neighbours an item."""

    targets: Array  # float32[items, K]
    offsets: Array  # float32[items, K]
    biases: Array  # float32[items]
    target_sums: Array  # float32[items]: Adagrad
    offset_sums: Array  # float32[items]
    bias_sums: Array  # float32[items]
    events: Array  # uint32[items]: accepted events that name it
    pairs: Array  # uint32[items]: directed pairs learnt with it as the earlier item
    popularity: Array  # float32[items, 3]
    clocks: Array  # int64[items], ms
    born: Array  # int64[items], ms: event time of the first event learnt; 0: none yet
    near: Array  # uint64[items, 2N] keys of neighbours: directed, short window
    near_weights: Array  # float32[items, 2N]
    near_counts: Array  # uint32[items, 2N]
    near_sizes: Array  # int32[items]
    near_clocks: Array  # int64[items], ms
    far: Array  # uint64[items, 2F] keys of neighbours: symmetric, long history
    far_weights: Array  # float32[items, 2F]
    far_sizes: Array  # int32[items]
    far_clocks: Array  # int64[items], ms
    ring: Array  # uint64[items, R] keys of recent successors
    ring_ranks: Array  # uint8[items, R]
    ring_totals: Array  # uint32[items]: entries ever pushed
    changed: Array  # bool[items]: factor row differs from the stored one
    near_changed: Array  # int32[items]: 0 no, n + 1: only entry n of the list, ALL
    far_changed: Array  # int32[items]
    ring_changed: Array  # int32[items]


def empty(rows: int, size: int, near: int, far: int, ring: int) -> ItemArrays:
    """Return arrays for `rows` items of `size` factors and such lengths of lists."""
    return ItemArrays(
        targets=np.zeros((rows, size), np.float32),
        offsets=np.zeros((rows, size), np.float32),
        biases=np.zeros(rows, np.float32),
        target_sums=np.zeros(rows, np.float32),
        offset_sums=np.zeros(rows, np.float32),
        bias_sums=np.zeros(rows, np.float32),
        events=np.zeros(rows, np.uint32),
        pairs=np.zeros(rows, np.uint32),
        popularity=np.zeros((rows, 3), np.float32),
        clocks=np.zeros(rows, np.int64),
        born=np.zeros(rows, np.int64),
        near=np.zeros((rows, near), np.uint64),
        near_weights=np.zeros((rows, near), np.float32),
        near_counts=np.zeros((rows, near), np.uint32),
        near_sizes=np.zeros(rows, np.int32),
        near_clocks=np.zeros(rows, np.int64),
        far=np.zeros((rows, far), np.uint64),
        far_weights=np.zeros((rows, far), np.float32),
        far_sizes=np.zeros(rows, np.int32),
        far_clocks=np.zeros(rows, np.int64),
        ring=np.zeros((rows, ring), np.uint64),
        ring_ranks=np.zeros((rows, ring), np.uint8),
        ring_totals=np.zeros(rows, np.uint32),
        changed=np.zeros(rows, np.bool_),
        near_changed=np.zeros(rows, np.int32),
        far_changed=np.zeros(rows, np.int32),
        ring_changed=np.zeros(rows, np.int32),
    )


class ItemRules(NamedTuple):
    """Settings the kernel needs."""

    rate: float
    half_lives_ms: Array
    near_half_life_ms: float
    near_window: int
    reverse_weight: float
    far_half_life_ms: float
    far_window: int
    ring_window: int


class Columns(NamedTuple):
    """An update record's columns (updates.COLUMNS); known: rows of its keys here, -1 unknown."""

    known: Array
    offsets: Array
    ts: Array
    weights: Array
    z: Array
    g: Array
    item_events: Array
    item_keys: Array
    item_gains: Array
    item_ts: Array
    scored_events: Array
    scored_keys: Array
    scored_log_q: Array
    scored_rest: Array
    scored_y: Array
    context_events: Array
    context_keys: Array
    context_weights: Array
    pair_events: Array
    pair_keys: Array
    pair_others: Array
    pair_ranks: Array


@njit(cache=True, nogil=True)
def _note(changed, row, entry):  # type: ignore[no-untyped-def]
    """Remember which entry of the row's list changed, -1: all."""
    one = entry + 1 if entry >= 0 else ALL
    changed[row] = one if changed[row] == 0 or changed[row] == one else ALL


@njit(cache=True, nogil=True)
def fold(items, c, mark, rules):  # type: ignore[no-untyped-def]
    """Apply the updates of events at offsets >= mark, in order; return those of unknown items.

    Counts, vectors and lists do not depend on each other: each has its own loop. What a loop reads
    is taken out of the tuples before it, for inside it costs more than the arithmetic.
    """
    fresh = c.offsets >= mark
    _count(items, c, fresh, rules)
    return _step(items, c, fresh, rules) + _pair(items, c, fresh, rules)


@njit(cache=True, nogil=True)
def _count(items, c, fresh, rules):  # type: ignore[no-untyped-def]
    """Count the events that name an item."""
    events, born, popularity, clocks = items.events, items.born, items.popularity, items.clocks
    changed, half_lives = items.changed, rules.half_lives_ms
    at, keys, gains, gain_ts, ts = c.item_events, c.item_keys, c.item_gains, c.item_ts, c.ts
    known = c.known
    for i in range(len(at)):
        e, row = at[i], known[keys[i]]
        if fresh[e] and row >= 0:
            events[row] += 1
            if born[row] == 0:
                born[row] = ts[e]
            if gains[i] != 0.0:
                add(popularity, clocks, row, gains[i], gain_ts[i], half_lives)
            changed[row] = True


@njit(cache=True, nogil=True)
def _step(items, c, fresh, rules):  # type: ignore[no-untyped-def]
    """Step the vectors, event by event; return how many updates were of unknown items."""
    targets, offsets, biases, changed = items.targets, items.offsets, items.biases, items.changed
    target_sums, offset_sums, bias_sums = items.target_sums, items.offset_sums, items.bias_sums
    scored, scored_keys, log_q, rest = c.scored_events, c.scored_keys, c.scored_log_q, c.scored_rest
    y, context, context_keys, context_weights = (
        c.scored_y, c.context_events, c.context_keys, c.context_weights
    )  # fmt: skip
    known, weights, rate = c.known, c.weights, rules.rate
    s = x = unknown = 0
    for e in range(len(fresh)):
        z, g, weight = c.z[e], c.g[e], weights[e]
        while s < len(scored) and scored[s] == e:
            row = known[scored_keys[s]]
            if row < 0:
                unknown += fresh[e]
            elif fresh[e] and step_target(
                targets, biases, target_sums, bias_sums, row, z, log_q[s], rest[s], y[s], weight,
                rate,
            ):  # fmt: skip
                changed[row] = True
            s += 1
        while x < len(context) and context[x] == e:
            row = known[context_keys[x]]
            if row < 0:
                unknown += fresh[e]
            elif fresh[e]:
                step_context(
                    targets, offsets, target_sums, offset_sums, row, g, context_weights[x] * weight,
                    rate,
                )  # fmt: skip
                changed[row] = True
            x += 1
    return unknown


@njit(cache=True, nogil=True)
def _pair(items, c, fresh, rules):  # type: ignore[no-untyped-def]
    """Tell each list of an item about its pairs; return how many were of unknown items."""
    near, near_weights, near_counts = items.near, items.near_weights, items.near_counts
    near_sizes, near_clocks, near_changed = items.near_sizes, items.near_clocks, items.near_changed
    far, far_weights, no_counts = items.far, items.far_weights, items.near_counts[:, :0]
    far_sizes, far_clocks, far_changed = items.far_sizes, items.far_clocks, items.far_changed
    ring, ring_ranks, ring_totals = items.ring, items.ring_ranks, items.ring_totals
    ring_changed, pairs, changed = items.ring_changed, items.pairs, items.changed
    at, keys, others, ranks = c.pair_events, c.pair_keys, c.pair_others, c.pair_ranks
    known, weights, ts = c.known, c.weights, c.ts
    near_window, far_window, ring_window = rules.near_window, rules.far_window, rules.ring_window
    near_half_life, far_half_life = rules.near_half_life_ms, rules.far_half_life_ms
    unknown = 0
    for p in range(len(at)):
        e, row, other = at[p], known[keys[p]], others[p]
        if row < 0 or not fresh[e]:
            unknown += fresh[e]
            continue
        b, forward = np.int64(ranks[p] & 127), ranks[p] < REVERSE  # 0 = the newest earlier item
        gain = 1.0 if forward else rules.reverse_weight
        if b < near_window and gain > 0.0:
            entry = add_pair(
                near, near_weights, near_counts, near_sizes, near_clocks, row, other,
                np.float32(gain / (b + 1)) * weights[e], np.uint32(forward), ts[e], near_half_life,
            )  # fmt: skip
            _note(near_changed, row, entry)
            if forward:
                pairs[row] += 1
                changed[row] = True
        if b < far_window:
            entry = add_pair(
                far, far_weights, no_counts, far_sizes, far_clocks, row, other,
                np.float32((b + 1.0) ** -0.5) * weights[e], np.uint32(0), ts[e], far_half_life,
            )  # fmt: skip
            _note(far_changed, row, entry)
        if b < ring_window:
            _note(ring_changed, row, push(ring, ring_ranks, ring_totals, row, other, ranks[p]))
    return unknown
