"""The most popular items of each half-life, in order, kept up to date from what changed."""

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

Array = NDArray[Any]


@njit(cache=True, nogil=True)
def _rise(order, places, heats, h, at):  # type: ignore[no-untyped-def]
    """Move the entry at a place up past all that are less popular."""
    row = order[h, at]
    while at > 0 and heats[order[h, at - 1], h] < heats[row, h]:
        order[h, at] = order[h, at - 1]
        places[order[h, at], h] = at
        at -= 1
    order[h, at] = row
    places[row, h] = at


@njit(cache=True, nogil=True)
def _sink(order, places, heats, h, at, used):  # type: ignore[no-untyped-def]
    """Move the entry at a place down past all that are more popular."""
    row = order[h, at]
    while at + 1 < used and heats[order[h, at + 1], h] > heats[row, h]:
        order[h, at] = order[h, at + 1]
        places[order[h, at], h] = at
        at += 1
    order[h, at] = row
    places[row, h] = at


@njit(cache=True, nogil=True)
def _update(order, places, bounds, heats, servable, changed, h):  # type: ignore[no-untyped-def]
    """Bring order[h] up to date; return False if it must be made anew."""
    size, used, moved = order.shape[1], 0, False
    for row in changed:
        if places[row, h] >= 0:
            moved = True
            if not servable[row] or heats[row, h] == -np.inf:
                return False
    while used < size and order[h, used] >= 0:
        if moved and len(changed) > 1:
            _rise(order, places, heats, h, used)
        used += 1
    if moved and len(changed) == 1:  # all others are in order: after each event of a replay
        _rise(order, places, heats, h, places[changed[0], h])
        _sink(order, places, heats, h, places[changed[0], h], used)
    for row in changed:
        if places[row, h] >= 0 or not servable[row] or heats[row, h] == -np.inf:
            continue
        if used < size:
            used += 1
        else:
            last = order[h, size - 1]
            bounds[h] = max(bounds[h], min(heats[last, h], heats[row, h]))
            if heats[row, h] <= heats[last, h]:
                continue
            places[last, h] = -1
        order[h, used - 1] = row
        _rise(order, places, heats, h, used - 1)
    # below its bound, an item that is not in the list may be better
    return used < size or heats[order[h, size - 1], h] >= bounds[h]


@njit(cache=True, nogil=True)
def update(order, places, bounds, heats, servable, changed):  # type: ignore[no-untyped-def]
    """Move the changed rows to their places; return False if the lists must be made anew."""
    for h in range(order.shape[0]):
        if not _update(order, places, bounds, heats, servable, changed, h):
            return False
    return True


class Popular:
    """int32[half-lives, most] rows by falling popularity, available ones only, -1 padded."""

    def __init__(self, most: int, half_lives: int) -> None:
        self.order: Array = np.full((half_lives, most), -1, np.int32)
        self._places: Array = np.full((0, half_lives), -1, np.int32)
        # of a full list: no item outside it is more popular
        self._bounds: Array = np.full(half_lives, -np.inf)

    def refresh(self, heats: Array, servable: Array, changed: Array) -> None:
        """Bring the lists up to date; heats: float64[items, half-lives], changed: rows."""
        known = len(self._places)
        if len(heats) > known:
            more = np.full((2 * len(heats) - known, heats.shape[1]), -1, np.int32)
            self._places = np.concatenate([self._places, more])
        few = known > 0 and len(changed) * 8 < len(heats) + 64
        if not few or not update(self.order, self._places, self._bounds, heats, servable, changed):
            self._make_anew(heats, servable)

    def _make_anew(self, heats: Array, servable: Array) -> None:
        self._places[:] = -1
        self.order[:] = -1
        for h in range(len(self.order)):
            worth = np.where(servable, heats[:, h], -np.inf)
            most = min(self.order.shape[1], len(worth))
            rows = np.argpartition(-worth, most - 1)[:most] if most else np.zeros(0, np.int64)
            rows = rows[np.argsort(-worth[rows], kind="stable")]
            rows = rows[np.isfinite(worth[rows])]
            self.order[h, : len(rows)] = rows
            self._places[rows, h] = np.arange(len(rows))
            full = len(rows) == self.order.shape[1]
            self._bounds[h] = worth[rows[-1]] if full else -np.inf
