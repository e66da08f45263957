"""Items by the 32-bit hash that user rows remember of what was seen longer ago."""

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

Array = NDArray[Any]
FACTOR = np.uint32(2_654_435_761)


@njit(cache=True, nogil=True)
def _insert(shorts, rows, keys, first):  # type: ignore[no-untyped-def]
    """Put keys uint64[n] of rows first, first + 1, ... into slots uint32 and int32, -1 free."""
    mask = len(rows) - 1
    for n in range(len(keys)):
        short = np.uint32(keys[n] & np.uint64(0xFFFFFFFF))
        slot = np.int64(np.uint32(short * FACTOR)) & mask
        while rows[slot] >= 0:
            slot = (slot + 1) & mask
        shorts[slot], rows[slot] = short, first + n


@njit(cache=True, nogil=True)
def _rows_of(seen, shorts, rows, out):  # type: ignore[no-untyped-def]
    """Write the rows of all items whose hash is in `seen` to out, and return how many.

    seen: uint32[n]; shorts: uint32[slots]; rows: int32[slots], -1 free; out: int32[...].
    """
    mask, n = len(rows) - 1, 0
    for short in seen:
        slot = np.int64(np.uint32(short * FACTOR)) & mask
        while rows[slot] >= 0:
            if shorts[slot] == short and n < len(out):
                out[n] = rows[slot]
                n += 1
            slot = (slot + 1) & mask
    return n


class SeenIndex:
    """Rows of a table by hash, open addressing, at most half full; several rows may share one."""

    def __init__(self) -> None:
        self._size = 0
        self.shorts: Array = np.zeros(16, np.uint32)
        self.rows: Array = np.full(16, -1, np.int32)

    def refresh(self, keys: NDArray[np.uint64]) -> None:
        """Take in the rows added since the last call; a shorter table starts over."""
        if len(keys) == self._size:
            return
        if len(keys) < self._size or 2 * len(keys) > len(self.rows):
            slots = 1 << max(4, (4 * len(keys)).bit_length())
            self.shorts, self.rows = np.zeros(slots, np.uint32), np.full(slots, -1, np.int32)
            self._size = 0
        _insert(self.shorts, self.rows, keys[self._size :], self._size)
        self._size = len(keys)

    def rows_of(self, seen: NDArray[np.uint32]) -> NDArray[np.int32]:
        """Return the rows of the items with these hashes."""
        out = np.empty(2 * len(seen) + 8, np.int32)
        return out[: _rows_of(seen, self.shorts, self.rows, out)]
