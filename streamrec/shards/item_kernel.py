"""The item fold's inner loop: one update record over arrays, event by event."""

from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from streamrec.learners.factors import step_context, step_target
from streamrec.learners.popularity import add
from streamrec.learners.similarity import add_pair
from streamrec.learners.successors import REVERSE, push

Array = NDArray[Any]


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
    near_changed: Array  # bool[items]
    far_changed: Array  # bool[items]
    ring_changed: Array  # bool[items]


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
        near_changed=np.zeros(rows, np.bool_),
        far_changed=np.zeros(rows, np.bool_),
        ring_changed=np.zeros(rows, np.bool_),
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
    """An update record's columns (updates.COLUMNS) with items as rows of this shard, -1 unknown."""

    offsets: Array
    ts: Array
    weights: Array
    z: Array
    g: Array
    item_events: Array
    item_rows: Array
    item_gains: Array
    item_ts: Array
    scored_events: Array
    scored_rows: Array
    scored_log_q: Array
    scored_rest: Array
    scored_y: Array
    context_events: Array
    context_rows: Array
    context_weights: Array
    pair_events: Array
    pair_rows: Array
    pair_others: Array
    pair_ranks: Array


@njit(cache=True, nogil=True)
def _pair(items, row, other, rank, weight, ts, rules):  # type: ignore[no-untyped-def]
    """Tell each list of `row` about one pair; `rank` 0 = the newest earlier item, | REVERSE."""
    b = np.int64(rank & 127)
    forward = rank < REVERSE
    near = 1.0 if forward else rules.reverse_weight
    if b < rules.near_window and near > 0.0:
        add_pair(
            items.near, items.near_weights, items.near_counts, items.near_sizes, items.near_clocks,
            row, other, np.float32(near / (b + 1)) * weight, np.uint32(forward), ts,
            rules.near_half_life_ms,
        )  # fmt: skip
        items.near_changed[row] = True
        if forward:
            items.pairs[row] += 1
            items.changed[row] = True
    if b < rules.far_window:
        add_pair(
            items.far, items.far_weights, items.near_counts[:, :0], items.far_sizes,
            items.far_clocks, row, other, np.float32((b + 1.0) ** -0.5) * weight, np.uint32(0), ts,
            rules.far_half_life_ms,
        )  # fmt: skip
        items.far_changed[row] = True
    if b < rules.ring_window:
        push(items.ring, items.ring_ranks, items.ring_totals, row, other, rank)
        items.ring_changed[row] = True


@njit(cache=True, nogil=True)
def fold(items, c, mark, rules):  # type: ignore[no-untyped-def]
    """Apply the updates of events at offsets >= mark, in order; return those of unknown items."""
    i = s = x = p = unknown = 0
    for e in range(len(c.offsets)):
        fresh = c.offsets[e] >= mark
        weight, ts = c.weights[e], c.ts[e]
        while i < len(c.item_events) and c.item_events[i] == e:
            row = c.item_rows[i]
            if fresh and row >= 0:
                items.events[row] += 1
                if items.born[row] == 0:
                    items.born[row] = ts
                if c.item_gains[i] != 0.0:
                    add(
                        items.popularity,
                        items.clocks,
                        row,
                        c.item_gains[i],
                        c.item_ts[i],
                        rules.half_lives_ms,
                    )
                items.changed[row] = True
            i += 1
        while s < len(c.scored_events) and c.scored_events[s] == e:
            row = c.scored_rows[s]
            if row < 0:
                unknown += fresh
            elif fresh:
                if step_target(
                    items.targets, items.biases, items.target_sums, items.bias_sums, row, c.z[e],
                    c.scored_log_q[s], c.scored_rest[s], c.scored_y[s], weight, rules.rate,
                ):  # fmt: skip
                    items.changed[row] = True
            s += 1
        while x < len(c.context_events) and c.context_events[x] == e:
            row = c.context_rows[x]
            if row < 0:
                unknown += fresh
            elif fresh:
                step_context(
                    items.targets, items.offsets, items.target_sums, items.offset_sums, row, c.g[e],
                    c.context_weights[x] * weight, rules.rate,
                )  # fmt: skip
                items.changed[row] = True
            x += 1
        while p < len(c.pair_events) and c.pair_events[p] == e:
            row = c.pair_rows[p]
            if row < 0:
                unknown += fresh
            elif fresh:
                _pair(items, row, c.pair_others[p], c.pair_ranks[p], weight, ts, rules)
            p += 1
    return unknown
