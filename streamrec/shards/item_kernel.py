"""The item fold's inner loop: one update record over arrays, event by event."""

from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from streamrec.learners.factors import step_context, step_target
from streamrec.learners.popularity import add
from streamrec.learners.similarity import add_pair

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
    near: Array  # uint64[items, 2N] keys
    near_weights: Array  # float32[items, 2N]
    near_counts: Array  # uint32[items, 2N]
    near_sizes: Array  # int32[items]
    near_clocks: Array  # int64[items], ms
    changed: Array  # bool[items]: factor row differs from the stored one
    near_changed: Array  # bool[items]


def empty(rows: int, size: int, near: int) -> ItemArrays:
    """Return arrays for `rows` items of `size` factors and up to `near` neighbours."""
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
        near=np.zeros((rows, near), np.uint64),
        near_weights=np.zeros((rows, near), np.float32),
        near_counts=np.zeros((rows, near), np.uint32),
        near_sizes=np.zeros(rows, np.int32),
        near_clocks=np.zeros(rows, np.int64),
        changed=np.zeros(rows, np.bool_),
        near_changed=np.zeros(rows, np.bool_),
    )


class ItemRules(NamedTuple):
    """Settings the kernel needs."""

    rate: float
    half_lives_ms: Array
    near_half_life_ms: float


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
    pair_weights: Array
    pair_counts: Array


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
                count = np.uint32(c.pair_counts[p])
                add_pair(
                    items.near, items.near_weights, items.near_counts, items.near_sizes,
                    items.near_clocks, row, c.pair_others[p], c.pair_weights[p] * weight, count,
                    ts, rules.near_half_life_ms,
                )  # fmt: skip
                items.near_changed[row] = True
                if count > 0:
                    items.pairs[row] += count
                    items.changed[row] = True
            p += 1
    return unknown
