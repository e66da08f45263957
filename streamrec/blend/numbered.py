"""Numbers of items, list after list, in few bytes: most come for the first time, and in turn.

A bit of each says that it is the next one, one above the highest before it; the others follow, as
they are.
"""

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

Array = NDArray[Any]


def encode(numbers: NDArray[np.int64], below: int) -> bytes:
    """Return the bytes of int64[n] numbers, of which each is less than `below`."""
    fresh = _fresh(numbers)
    named: Array = numbers[~fresh].astype(width(below))
    return bytes(np.packbits(fresh)) + named.tobytes()


def decode(blob: bytes, at: int, count: int, below: int) -> tuple[NDArray[np.int64], int] | None:
    """Return (int64[count] numbers, where they end) of what stands at a place; None if damaged."""
    start, kind = at + -(-count // 8), np.dtype(width(below))
    if len(blob) < start:
        return None
    fresh = np.unpackbits(np.frombuffer(blob, np.uint8, start - at, at), count=count).view(bool)
    named = count - int(np.count_nonzero(fresh))
    end = start + kind.itemsize * named
    if len(blob) < end:
        return None
    numbers = _numbers(fresh, np.frombuffer(blob, kind, named, start).astype(np.int64))
    return (numbers, end) if not count or int(numbers.max()) < below else None


def width(below: int) -> str:
    """Return the type of a number that is less than that."""
    return "u1" if below <= 256 else "<u2"


@njit(cache=True, nogil=True)
def _fresh(numbers):  # type: ignore[no-untyped-def]
    """Return bool[n]: which of int64[n] numbers are one above the highest before."""
    out, highest = np.zeros(len(numbers), np.bool_), -1
    for n in range(len(numbers)):
        out[n] = numbers[n] == highest + 1
        highest = max(highest, numbers[n])
    return out


@njit(cache=True, nogil=True)
def _numbers(fresh, named):  # type: ignore[no-untyped-def]
    """Return int64[n], the opposite of _fresh; named: the others, in turn."""
    out, highest, k = np.empty(len(fresh), np.int64), -1, 0
    for n in range(len(fresh)):
        if fresh[n]:
            out[n] = highest + 1
        else:
            out[n] = named[k]
            k += 1
        highest = max(highest, out[n])
    return out
