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

    part: its number, of how many; shared: columns of all events, as they travel, each followed by
    what it releases.
    """
    keys, events, named, *tables = split(part, batch, tuple(steps), item_keys)
    found = dict(zip(TABLES, tables, strict=True), keys=keys)
    return found | {name: array[events] for name, array in shared.items()}, named.tolist()


@njit(cache=True, nogil=True)
def owned(key, part):  # type: ignore[no-untyped-def]
    """Say whether an item is a part's: key % parts, unsigned, which numba does not do by itself.

    key: uint64; part: (number, of how many).
    """
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
    """Append (event, index in keys, key of the other item, rank); return how many there are now.

    pairs: updates.PAIR[...]; key: uint64 of the other item, all else int64.
    """
    pair = pairs[count]
    pair.event, pair.key, pair.other, pair.rank = new
    return count + 1


@njit(cache=True, nogil=True)
def split(part, batch, steps, item_keys):  # type: ignore[no-untyped-def]
    """Return what concerns the items that a part owns: keys, events, named, and TABLES.

    part: (number, of how many); batch: EVENT[n]; steps: a tuple as Steps; item_keys:
    uint64[items]. events: int64[...] twice the numbers in the batch of those that concern it, one
    more of what they release; named: int64[..., 2] (index in keys, table row).
    """
    steps = Steps(*steps)
    n, width, context = len(batch), steps.scored.shape[2], steps.context_weights.shape[2]
    history = steps.history.shape[2]
    local = np.full(len(item_keys), -1, np.int32)
    keys = np.empty(n * (1 + 2 * (1 + width + history)), np.uint64)
    events = np.empty(2 * n, np.int64)
    named, items = np.empty((2 * n, 2), np.int64), np.empty(2 * n, ITEM)
    scored, contexts = np.empty(2 * n * width, SCORED), np.empty(2 * n * context, CONTEXT)
    pairs = np.empty(n * (4 * history + 1), PAIR)
    n_keys = n_events = n_named = n_item = n_scored = n_context = n_pair = 0
    for place in range(2 * n):
        e, late = place // 2, place % 2
        item, kind, segment = batch[e].item, batch[e].kind, batch[e].segment
        if late:
            item, segment = np.int64(steps.released[e]), -1
            if item < 0:
                continue
        before = n_item + n_scored + n_context + n_pair
        positive, mine = kind == POSITIVE, owned(item_keys[item], part)
        if mine:
            at, n_keys = _local(item, local, keys, item_keys, n_keys)
            row = items[n_item]
            row.event, row.key, row.counts = n_events, at, 1 - late
            row.gain, row.ts = steps.gains[e, late], steps.gain_ts[e, late]
            row.gap = 0 if late else steps.gaps[e]
            n_item += 1
            if not late:
                named[n_named, 0], named[n_named, 1] = at, item
                n_named += 1
        if kind == COUNT or (steps.held[e] and not late):
            if mine:
                events[n_events] = place
                n_events += 1
            continue
        for k in range(width):
            j = steps.scored[e, late, k]
            if j >= 0 and owned(item_keys[j], part):
                at, n_keys = _local(j, local, keys, item_keys, n_keys)
                target = scored[n_scored]
                target.event, target.key, target.y = n_events, at, k == 0 and positive
                target.log_q, target.rest = steps.log_q[e, late, k], steps.rest[e, late, k]
                n_scored += 1
        for b in range(history):
            h = steps.history[e, late, b]
            if h < 0:
                break
            if owned(item_keys[h], part):
                at, n_keys = _local(h, local, keys, item_keys, n_keys)
                if b < context:
                    past = contexts[n_context]
                    past.event, past.key = n_events, at
                    past.weight = steps.context_weights[e, late, b]
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
        if n_item + n_scored + n_context + n_pair > before:
            events[n_events] = place
            n_events += 1
    return (
        keys[:n_keys], events[:n_events], named[:n_named], items[:n_item], scored[:n_scored],
        contexts[:n_context], pairs[:n_pair],
    )  # fmt: skip
