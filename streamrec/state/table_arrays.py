"""The item table's arrays, and the copying of vectors and counts into them."""

from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

Array = NDArray[Any]


class TableArrays(NamedTuple):
    """Arrays of the table, one row an item; the kernels' view of it.

    The lists hold table rows, -1 unknown, and have one column when the table keeps no lists.
    """

    targets: Array  # float32[items, K]
    contexts: Array  # float32[items, K]: t + e
    biases: Array  # float32[items]
    popularity: Array  # float32[items, 3]
    clocks: Array  # int64[items], ms
    heats: Array  # float64[items, 3]: log2 of popularity, inflated; see sources/popularity.py
    events: Array  # uint32[items]
    born: Array  # int64[items], ms
    stored: Array  # bool[items]: has a row in Redis
    available: Array  # bool[items]
    changed: Array  # bool[items]: popularity, stored or available, since the list maker looked
    neighbours: Array  # int32[items, 2K]
    weights: Array  # float32[items, 2K]
    sizes: Array  # int32[items]
    totals: Array  # float32[items]: sum of weights
    far: Array  # int32[items, 2F]
    far_weights: Array  # float32[items, 2F]
    far_sizes: Array  # int32[items]
    ring: Array  # int32[items, R]
    ring_ranks: Array  # uint8[items, R]
    ring_totals: Array  # uint32[items]
    content: Array  # float32[items, D]: unit length, or zero


def empty(rows: int, size: int, near: int, far: int, ring: int, words: int) -> TableArrays:
    """Return arrays for `rows` items of `size` factors and such lengths of lists."""
    return TableArrays(
        targets=np.zeros((rows, size), np.float32),
        contexts=np.zeros((rows, size), np.float32),
        biases=np.zeros(rows, np.float32),
        popularity=np.zeros((rows, 3), np.float32),
        clocks=np.zeros(rows, np.int64),
        heats=np.full((rows, 3), -np.inf),
        events=np.zeros(rows, np.uint32),
        born=np.zeros(rows, np.int64),
        stored=np.zeros(rows, np.bool_),
        available=np.zeros(rows, np.bool_),
        changed=np.zeros(rows, np.bool_),
        neighbours=np.full((rows, near), -1, np.int32),
        weights=np.zeros((rows, near), np.float32),
        sizes=np.zeros(rows, np.int32),
        totals=np.zeros(rows, np.float32),
        far=np.full((rows, far), -1, np.int32),
        far_weights=np.zeros((rows, far), np.float32),
        far_sizes=np.zeros(rows, np.int32),
        ring=np.full((rows, ring), -1, np.int32),
        ring_ranks=np.zeros((rows, ring), np.uint8),
        ring_totals=np.zeros(rows, np.uint32),
        content=np.zeros((rows, words), np.float32),
    )


FACTOR_COLUMNS = ("target", "offset", "bias", "popularity", "clock", "events", "born")


@njit(cache=True, nogil=True)
def take_factors(at, columns, source, mine):  # type: ignore[no-untyped-def]
    """Copy rows `source` of columns to rows `at`; return those moved, and how many were not stored.

    Moved are new rows and those whose popularity differs.
    """
    target, offset, bias, popularity, clock, events, born = columns
    targets, contexts, biases, popularities, clocks, counts, births, stored = mine
    moved, size, new = np.empty(len(at), np.int32), 0, 0
    for e in range(len(at)):
        row, n = at[e], source[e]
        differs = not stored[row] or clocks[row] != clock[n]
        for k in range(popularity.shape[1]):
            differs |= popularities[row, k] != popularity[n, k]
            popularities[row, k] = popularity[n, k]
        for k in range(target.shape[1]):
            targets[row, k] = target[n, k]
            contexts[row, k] = target[n, k] + offset[n, k]
        biases[row], clocks[row] = bias[n], clock[n]
        new += not stored[row]
        counts[row], births[row], stored[row] = events[n], born[n], True
        if differs:
            moved[size] = row
            size += 1
    return moved[:size], new
