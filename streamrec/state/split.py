"""From the user fold's steps to one set of update columns for each item partition."""

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from streamrec.sources.similarity import REVERSE
from streamrec.state.user_kernel import COUNT, POSITIVE

Array = NDArray[Any]
NAMES = (
    "item_events", "item_keys", "item_gains", "item_ts",
    "scored_events", "scored_keys", "scored_log_q", "scored_rest", "scored_y",
    "context_events", "context_keys", "context_weights",
    "pair_events", "pair_keys", "pair_others", "pair_ranks",
)  # fmt: skip
"""Columns of the record (updates.COLUMNS) that `split` returns after keys, events and named."""


def columns_for(
    part: tuple[int, int], batch: Any, steps: Any, shared: dict[str, Array], item_keys: Array
) -> tuple[dict[str, Array], list[tuple[int, int]]]:
    """Return one partition's columns, and (index in keys, table row) of the items named.

    part: its number, of how many; shared: weights, z and g, one an event, as they travel.
    """
    keys, events, named, *columns = split(part, batch, steps, item_keys)
    some = events if len(events) < len(batch.users) else slice(None)  # all of them: no copies
    found = dict(zip(NAMES, columns, strict=True))
    found |= {"keys": keys, "offsets": batch.offsets[some], "ts": batch.ts[some]}
    found |= {"times": batch.times[some], **{name: array[some] for name, array in shared.items()}}
    return found, named.tolist()


@njit(cache=True, nogil=True)
def owned(key, part):  # type: ignore[no-untyped-def]
    """Say whether an item is a part's: key % parts, unsigned, which numba does not do by itself."""
    return key % np.uint64(part[1]) == np.uint64(part[0])


@njit(cache=True, nogil=True)
def _local(row, local, keys, item_keys, n_keys):  # type: ignore[no-untyped-def]
    """Return the record's index of an item, made if new, and how many keys there are now.

    local: int32[items], -1 not named yet; keys: uint64[...], item_keys: uint64[items].
    """
    if local[row] < 0:
        local[row] = n_keys
        keys[n_keys] = item_keys[row]
        n_keys += 1
    return local[row], n_keys


@njit(cache=True, nogil=True)
def split(part, batch, steps, item_keys):  # type: ignore[no-untyped-def]
    """Return what concerns the items that a part owns: keys, events, named, and NAMES.

    part: (number, of how many); batch: BatchArrays, steps: Steps of n events; item_keys:
    uint64[items]. events: int64[...] numbers in the batch of those that concern it; named:
    int64[..., 2] (index in keys, table row).
    """
    n, width, context = len(batch.users), steps.scored.shape[1], steps.context_weights.shape[1]
    history = steps.history.shape[1]
    most, pairs = n * (2 + width + history), n * (2 * history + 1)
    local = np.full(len(item_keys), -1, np.int32)
    keys, events = np.empty(most, np.uint64), np.empty(n, np.int64)
    named = np.empty((2 * n, 2), np.int64)
    item_e, item_k = np.empty(n, np.uint32), np.empty(n, np.uint32)
    gains, gain_ts = np.empty(n, np.float32), np.empty(n, np.int64)
    scored_e, scored_k = np.empty(n * width, np.uint32), np.empty(n * width, np.uint32)
    log_q, rest = np.empty(n * width, np.float32), np.empty(n * width, np.float32)
    y = np.empty(n * width, np.uint8)
    context_e, context_k = np.empty(n * context, np.uint32), np.empty(n * context, np.uint32)
    context_w = np.empty(n * context, np.float32)
    pair_e, pair_k = np.empty(pairs, np.uint32), np.empty(pairs, np.uint32)
    others, ranks = np.empty(pairs, np.uint64), np.empty(pairs, np.uint8)
    n_keys = n_events = n_named = n_item = n_scored = n_context = n_pair = 0
    for e in range(n):
        before = n_item + n_scored + n_context + n_pair
        item = batch.items[e]
        mine = owned(item_keys[item], part)
        if mine:
            at, n_keys = _local(item, local, keys, item_keys, n_keys)
            item_e[n_item], item_k[n_item] = n_events, at
            gains[n_item], gain_ts[n_item] = steps.gains[e], steps.gain_ts[e]
            named[n_named, 0], named[n_named, 1] = at, item
            n_item, n_named = n_item + 1, n_named + 1
        if batch.kinds[e] == COUNT:
            if mine:
                events[n_events] = e
                n_events += 1
            continue
        positive = batch.kinds[e] == POSITIVE
        for k in range(width):
            row = steps.scored[e, k]
            if row >= 0 and owned(item_keys[row], part):
                at, n_keys = _local(row, local, keys, item_keys, n_keys)
                scored_e[n_scored], scored_k[n_scored] = n_events, at
                log_q[n_scored], rest[n_scored] = steps.log_q[e, k], steps.rest[e, k]
                y[n_scored] = k == 0 and positive
                n_scored += 1
        for b in range(history):
            row = steps.history[e, b]
            if row < 0:
                break
            if owned(item_keys[row], part):
                at, n_keys = _local(row, local, keys, item_keys, n_keys)
                if b < context:
                    context_e[n_context], context_k[n_context] = n_events, at
                    context_w[n_context] = steps.context_weights[e, b]
                    n_context += 1
                if b < steps.window and positive:
                    pair_e[n_pair], pair_k[n_pair] = n_events, at
                    others[n_pair], ranks[n_pair] = item_keys[item], b
                    n_pair += 1
            if mine and b < steps.window and positive:
                pair_e[n_pair], pair_k[n_pair] = n_events, local[item]
                others[n_pair], ranks[n_pair] = item_keys[row], b | REVERSE
                n_pair += 1
        row = batch.segments[e]
        if row >= 0 and positive and owned(item_keys[row], part):
            at, n_keys = _local(row, local, keys, item_keys, n_keys)
            named[n_named, 0], named[n_named, 1] = at, row
            n_named += 1
            pair_e[n_pair], pair_k[n_pair] = n_events, at
            others[n_pair], ranks[n_pair] = item_keys[item], 0
            n_pair += 1
        if n_item + n_scored + n_context + n_pair > before:
            events[n_events] = e
            n_events += 1
    return (
        keys[:n_keys], events[:n_events], named[:n_named],
        item_e[:n_item], item_k[:n_item], gains[:n_item], gain_ts[:n_item],
        scored_e[:n_scored], scored_k[:n_scored], log_q[:n_scored], rest[:n_scored], y[:n_scored],
        context_e[:n_context], context_k[:n_context], context_w[:n_context],
        pair_e[:n_pair], pair_k[:n_pair], others[:n_pair], ranks[:n_pair],
    )  # fmt: skip
