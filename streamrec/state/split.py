"""From the user fold's steps to one set of update columns for each item partition."""

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from streamrec.sources.successors import REVERSE
from streamrec.state.user_kernel import COUNT, POSITIVE

Array = NDArray[Any]


@njit(cache=True, nogil=True)
def owned(key, part, parts):  # type: ignore[no-untyped-def]
    """Say whether an item is `part`'s: key % parts, unsigned, which numba does not do by itself."""
    return key % np.uint64(parts) == np.uint64(part)


@njit(cache=True, nogil=True)
def _local(row, local, keys, item_keys, n_keys):  # type: ignore[no-untyped-def]
    """Return the record's index of an item, made if new."""
    if local[row] < 0:
        local[row] = n_keys
        keys[n_keys] = item_keys[row]
        n_keys += 1
    return local[row], n_keys


@njit(cache=True, nogil=True)
def split(part, parts, batch, steps, item_keys, window):  # type: ignore[no-untyped-def]
    """Return the columns for partition `part` of `parts`: what concerns the items it owns."""
    n, width, context = len(batch.users), steps.scored.shape[1], steps.context_weights.shape[1]
    most = n * (2 + width + steps.history.shape[1])
    local = np.full(len(item_keys), -1, np.int32)
    keys, n_keys = np.empty(most, np.uint64), 0
    events, n_events = np.empty(n, np.int64), 0
    item_u = np.empty((n, 2), np.uint32)
    item_rows = np.empty(n, np.int64)
    gain, gain_ts = np.empty(n, np.float32), np.empty(n, np.int64)
    sc_u, sc_f = np.empty((n * width, 2), np.uint32), np.empty((n * width, 2), np.float32)
    sc_y = np.empty(n * width, np.uint8)
    cx_u, cx_w = np.empty((n * context, 2), np.uint32), np.empty(n * context, np.float32)
    pa_u, pa_o = (
        np.empty((n * (2 * window + 1), 2), np.uint32),
        np.empty(n * (2 * window + 1), np.uint64),
    )
    pa_r = np.empty(n * (2 * window + 1), np.uint8)
    segments, n_segments = np.empty((n, 2), np.int64), 0
    n_item = n_sc = n_cx = n_pa = 0
    for e in range(n):
        before = n_item + n_sc + n_cx + n_pa
        item = batch.items[e]
        mine = owned(item_keys[item], part, parts)
        if mine:
            at, n_keys = _local(item, local, keys, item_keys, n_keys)
            item_u[n_item, 0], item_u[n_item, 1] = n_events, at
            item_rows[n_item] = item
            gain[n_item], gain_ts[n_item] = steps.gains[e], steps.gain_ts[e]
            n_item += 1
        if batch.kinds[e] == COUNT:
            if mine:
                events[n_events] = e
                n_events += 1
            continue
        positive = batch.kinds[e] == POSITIVE
        for k in range(width):
            row = steps.scored[e, k]
            if row >= 0 and owned(item_keys[row], part, parts):
                at, n_keys = _local(row, local, keys, item_keys, n_keys)
                sc_u[n_sc, 0], sc_u[n_sc, 1] = n_events, at
                sc_f[n_sc, 0], sc_f[n_sc, 1] = steps.log_q[e, k], steps.rest[e, k]
                sc_y[n_sc] = k == 0 and positive
                n_sc += 1
        for b in range(steps.history.shape[1]):
            row = steps.history[e, b]
            if row < 0:
                break
            if owned(item_keys[row], part, parts):
                at, n_keys = _local(row, local, keys, item_keys, n_keys)
                if b < context:
                    cx_u[n_cx, 0], cx_u[n_cx, 1] = n_events, at
                    cx_w[n_cx] = steps.context_weights[e, b]
                    n_cx += 1
                if b < window and positive:
                    pa_u[n_pa, 0], pa_u[n_pa, 1] = n_events, at
                    pa_o[n_pa], pa_r[n_pa] = item_keys[item], b
                    n_pa += 1
            if mine and b < window and positive:
                pa_u[n_pa, 0], pa_u[n_pa, 1] = n_events, local[item]
                pa_o[n_pa], pa_r[n_pa] = item_keys[row], b | REVERSE
                n_pa += 1
        row = batch.segments[e]
        if row >= 0 and positive and owned(item_keys[row], part, parts):
            at, n_keys = _local(row, local, keys, item_keys, n_keys)
            segments[n_segments, 0], segments[n_segments, 1] = at, row
            n_segments += 1
            pa_u[n_pa, 0], pa_u[n_pa, 1], pa_o[n_pa], pa_r[n_pa] = n_events, at, item_keys[item], 0
            n_pa += 1
        if n_item + n_sc + n_cx + n_pa > before:
            events[n_events] = e
            n_events += 1
    return (
        keys[:n_keys], events[:n_events], item_u[:n_item], item_rows[:n_item], gain[:n_item],
        gain_ts[:n_item],
        sc_u[:n_sc], sc_f[:n_sc], sc_y[:n_sc], cx_u[:n_cx], cx_w[:n_cx],
        pa_u[:n_pa], pa_o[:n_pa], pa_r[:n_pa], segments[:n_segments],
    )  # fmt: skip


def columns_for(
    part: int,
    parts: int,
    batch: Any,
    weights: Array,
    steps: Any,
    halves: tuple[Array, Array],
    item_keys: Array,
    window: int,
) -> tuple[dict[str, Array], list[tuple[int, int]]]:
    """Return one partition's columns, and (index in keys, table row) of the items named."""
    keys, events, item_u, item_rows, gain, gain_ts, *rest = split(
        part, parts, batch, steps, item_keys, window
    )
    sc_u, sc_f, sc_y, cx_u, cx_w, pa_u, pa_o, pa_r, segments = rest
    some = events if len(events) < len(weights) else slice(None)  # all of them: no copies
    columns = {
        "keys": keys,
        "offsets": batch.offsets[some],
        "ts": batch.ts[some],
        "times": batch.times[some],
        "weights": weights[some],
        "z": halves[0][some],
        "g": halves[1][some],
        "item_events": item_u[:, 0],
        "item_keys": item_u[:, 1],
        "item_gains": gain,
        "item_ts": gain_ts,
        "scored_events": sc_u[:, 0],
        "scored_keys": sc_u[:, 1],
        "scored_log_q": sc_f[:, 0],
        "scored_rest": sc_f[:, 1],
        "scored_y": sc_y,
        "context_events": cx_u[:, 0],
        "context_keys": cx_u[:, 1],
        "context_weights": cx_w,
        "pair_events": pa_u[:, 0],
        "pair_keys": pa_u[:, 1],
        "pair_others": pa_o,
        "pair_ranks": pa_r,
    }
    named = list(zip(item_u[:, 1].tolist(), item_rows.tolist(), strict=True))
    return columns, named + [(at, row) for at, row in segments.tolist()]
