"""From the user fold's steps to one set of update columns for each item partition."""

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from streamrec.sources.similarity import REVERSE
from streamrec.state.steps import Steps
from streamrec.state.updates import CONTEXT, ITEM, PAIR, SCORED, TABLES
from streamrec.state.user_kernel import COUNT, POSITIVE

Array = NDArray[Any]


def columns_for(
    part: tuple[int, int], batch: Array, steps: Steps, shared: dict[str, Array], item_keys: Array
) -> tuple[dict[str, Array], list[tuple[int, int]]]:
    """Return one partition's columns, and (index in keys, table row) of the items named.

    part: its number, of how many; shared: columns of all events, as they travel.
    """
    keys, events, named, *tables = split(part, batch, tuple(steps), item_keys)
    found = dict(zip(TABLES, tables, strict=True), keys=keys)
    if len(events) < len(batch):
        shared = {name: array[events] for name, array in shared.items()}
    return found | shared, named.tolist()


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
def _pair(pairs, count, new):  # type: ignore[no-untyped-def]
    """Append (event, index in keys, key of the other item, rank); return how many there are now."""
    pair = pairs[count]
    pair.event, pair.key, pair.other, pair.rank = new
    return count + 1


@njit(cache=True, nogil=True)
def split(part, batch, steps, item_keys):  # type: ignore[no-untyped-def]
    """Return what concerns the items that a part owns: keys, events, named, and TABLES.

    part: (number, of how many); batch: EVENT[n]; steps: a tuple as Steps; item_keys:
    uint64[items]. events: int64[...] numbers in the batch of those that concern it; named:
    int64[..., 2] (index in keys, table row).
    """
    steps = Steps(*steps)
    n, width, context = len(batch), steps.scored.shape[1], steps.context_weights.shape[1]
    history = steps.history.shape[1]
    local = np.full(len(item_keys), -1, np.int32)
    before_it = min(steps.released.shape[1] - 1, steps.window)
    most = n * (3 + width + history + before_it)
    keys, events = np.empty(most, np.uint64), np.empty(n, np.int64)
    named, items = np.empty((2 * n, 2), np.int64), np.empty(2 * n, ITEM)
    scored, contexts = np.empty(n * width, SCORED), np.empty(n * context, CONTEXT)
    pairs = np.empty(n * (2 * history + 1 + 2 * before_it), PAIR)
    n_keys = n_events = n_named = n_item = n_scored = n_context = n_pair = 0
    for e in range(n):
        before = n_item + n_scored + n_context + n_pair
        item, kind, segment = batch[e].item, batch[e].kind, batch[e].segment
        positive, mine = kind == POSITIVE, owned(item_keys[item], part)
        if mine:
            at, n_keys = _local(item, local, keys, item_keys, n_keys)
            row = items[n_item]
            row.event, row.key, row.gain, row.ts = n_events, at, steps.gains[e], steps.gain_ts[e]
            row.counts = 1
            named[n_named, 0], named[n_named, 1] = at, item
            n_item, n_named = n_item + 1, n_named + 1
        if kind == COUNT or steps.held[e]:
            if mine:
                events[n_events] = e
                n_events += 1
            continue
        for k in range(width):
            j = steps.scored[e, k]
            if j >= 0 and owned(item_keys[j], part):
                at, n_keys = _local(j, local, keys, item_keys, n_keys)
                target = scored[n_scored]
                target.event, target.key, target.y = n_events, at, k == 0 and positive
                target.log_q, target.rest = steps.log_q[e, k], steps.rest[e, k]
                n_scored += 1
        for b in range(history):
            h = steps.history[e, b]
            if h < 0:
                break
            if owned(item_keys[h], part):
                at, n_keys = _local(h, local, keys, item_keys, n_keys)
                if b < context:
                    past = contexts[n_context]
                    past.event, past.key, past.weight = n_events, at, steps.context_weights[e, b]
                    n_context += 1
                if b < steps.window and positive:
                    n_pair = _pair(pairs, n_pair, (n_events, at, item_keys[item], b))
            if mine and b < steps.window and positive:
                n_pair = _pair(pairs, n_pair, (n_events, local[item], item_keys[h], b | REVERSE))
        if segment >= 0 and positive and owned(item_keys[segment], part):
            at, n_keys = _local(segment, local, keys, item_keys, n_keys)
            named[n_named, 0], named[n_named, 1] = at, segment
            n_named += 1
            n_pair = _pair(pairs, n_pair, (n_events, at, item_keys[item], 0))
        held = steps.released[e, 0]
        if held >= 0:
            mine = owned(item_keys[held], part)
            if mine:
                at, n_keys = _local(held, local, keys, item_keys, n_keys)
                row = items[n_item]
                row.event, row.key, row.counts = n_events, at, 0
                row.gain, row.ts = steps.release_gains[e], steps.release_ts[e]
                n_item += 1
            for b in range(before_it):
                h = steps.released[e, 1 + b]
                if h < 0:
                    break
                if owned(item_keys[h], part):
                    at, n_keys = _local(h, local, keys, item_keys, n_keys)
                    n_pair = _pair(pairs, n_pair, (n_events, at, item_keys[held], b))
                if mine:
                    rank = b | REVERSE
                    n_pair = _pair(pairs, n_pair, (n_events, local[held], item_keys[h], rank))
        if n_item + n_scored + n_context + n_pair > before:
            events[n_events] = e
            n_events += 1
    return (
        keys[:n_keys], events[:n_events], named[:n_named], items[:n_item], scored[:n_scored],
        contexts[:n_context], pairs[:n_pair],
    )  # fmt: skip
