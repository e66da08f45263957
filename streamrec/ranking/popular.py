"""The most popular items of each half-life, in order, kept up to date from what changed."""

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

Array = NDArray[Any]


@njit(cache=True, nogil=True)
def _drop(order, used, rows):  # type: ignore[no-untyped-def]
    """Take some rows out of the first `used` entries; return how many are left."""
    for row in rows:
        for n in range(used):  # without a way out: several are compared at once
            if order[n] == row:
                order[n] = -1
    left = 0
    for n in range(used):
        if order[n] >= 0:
            order[left] = order[n]
            left += 1
    order[left:used] = -1
    return left


@njit(cache=True, nogil=True)
def _insert(order, used, row, heats, h):  # type: ignore[no-untyped-def]
    """Put a row behind all that are as popular, in a list with room for it."""
    low, high = 0, used
    while low < high:
        middle = (low + high) // 2
        if heats[order[middle], h] >= heats[row, h]:
            low = middle + 1
        else:
            high = middle
    for n in range(used, low, -1):
        order[n] = order[n - 1]
    order[low] = row


@njit(cache=True, nogil=True)
def _update(order, used, bounds, heats, servable, changed, h):  # type: ignore[no-untyped-def]
    """Bring one list up to date; return how many it has, -1 if it must be made anew."""
    size, before = len(order), used
    used = _drop(order, used, changed)
    for row in changed:
        if servable[row] and heats[row, h] > -np.inf:
            if used == size:
                last = order[size - 1]
                bounds[h] = max(bounds[h], min(heats[last, h], heats[row, h]))
                if heats[row, h] <= heats[last, h]:
                    continue
                used -= 1
            _insert(order, used, row, heats, h)
            used += 1
    if used < size:  # all items there are, if it was no full list
        return used if before < size else -1
    # below its bound, an item that is not in the list may be better
    return used if heats[order[size - 1], h] >= bounds[h] else -1


@njit(cache=True, nogil=True)
def update(order, used, bounds, heats, servable, changed):  # type: ignore[no-untyped-def]
    """Move the changed rows to their places; return False if the lists must be made anew."""
    for h in range(order.shape[0]):
        if used[h] >= 0:
            used[h] = _update(order[h], used[h], bounds, heats, servable, changed, h)
        if used[h] < 0:
            return False
    return True


class Popular:
    """int32[half-lives, most] rows by falling popularity, available ones only, -1 padded."""

    def __init__(self, most: int, half_lives: int) -> None:
        self.order: Array = np.full((half_lives, most), -1, np.int32)
        self._used: Array = np.full(half_lives, -1, np.int64)  # -1: not made yet
        # of a full list: no item outside it is more popular
        self._bounds: Array = np.full(half_lives, -np.inf)

    def refresh(self, heats: Array, servable: Array, changed: Array) -> None:
        """Bring the lists up to date; heats: float64[items, half-lives], changed: rows."""
        few = len(changed) * 8 < len(heats) + 64
        if not few or not update(self.order, self._used, self._bounds, heats, servable, changed):
            self._make_anew(heats, servable)

    def _make_anew(self, heats: Array, servable: Array) -> None:
        self.order[:] = -1
        for h in range(len(self.order)):
            worth = np.where(servable, heats[:, h], -np.inf)
            most = min(self.order.shape[1], len(worth))
            rows = np.argpartition(-worth, most - 1)[:most] if most else np.zeros(0, np.int64)
            rows = rows[np.argsort(-worth[rows], kind="stable")]
            rows = rows[np.isfinite(worth[rows])]
            self.order[h, : len(rows)] = rows
            self._used[h] = len(rows)
            full = len(rows) == self.order.shape[1]
            self._bounds[h] = worth[rows[-1]] if full else -np.inf
