"""What is kept of a list's candidates, in few bytes: for the samples that the blend learns from.

Of each column of numbers the least and the most are kept as half floats, and LEVELS steps between
them: what comes back is at most half a step from what went in. Of each source's own list the
candidates in it are kept, best first, as the distance to the one before.
"""

import zlib
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

Array = NDArray[Any]
LEVELS = 62
"""With four times as many a list took 8 % more, and recall did not change beyond chance."""
EFFORT = 6
"""Of zlib."""
LAST_RANK = 255
"""Ranks are bytes: this one means so far down, or further."""


def pack(numbers: NDArray[np.float32], ranks: NDArray[np.uint8]) -> bytes:
    """Return the bytes of float32[C, K] numbers, NaN allowed, and uint8[C, M] ranks.

    ranks: in each source's own list, 1, 2, 3 and so on, 0 where it is absent.
    """
    ends = _ends(numbers).astype("<f2")
    codes = _codes(numbers, ends.astype(np.float32))
    sizes, steps = _listed(ranks)
    columns = ends, codes, sizes.astype("<u2"), steps.astype(_width(len(ranks)))
    return zlib.compress(b"".join(column.tobytes() for column in columns), EFFORT)


def rounded(numbers: NDArray[np.float32]) -> NDArray[np.float32] | None:
    """Return numbers as they come back from `unpack`; None where that would return None."""
    ends = _ends(numbers).astype("<f2").astype(np.float32)
    out: NDArray[np.float32] = _numbers(_codes(numbers, ends), ends)
    return out if np.isfinite(ends).all() else None


def unpack(
    blob: bytes, count: int, columns: int, sources: int
) -> tuple[NDArray[np.float32], NDArray[np.uint8]] | None:
    """Return float32[count, columns] numbers and uint8[count, sources] ranks; None if damaged.

    No more is decompressed than that many can take.
    """
    width = np.dtype(_width(count))
    fixed = (4 + count) * columns + 2 * sources
    reader = zlib.decompressobj()
    try:
        raw = reader.decompress(blob, fixed + width.itemsize * count * sources + 1)
    except zlib.error:
        return None
    if not reader.eof or reader.unused_data or len(raw) < fixed:
        return None
    ends = np.frombuffer(raw, "<f2", 2 * columns).astype(np.float32).reshape(columns, 2)
    codes = np.frombuffer(raw, np.uint8, count * columns, 4 * columns).reshape(columns, count)
    sizes = np.frombuffer(raw, "<u2", sources, fixed - 2 * sources)
    listed = int(sizes.sum(dtype=np.int64))
    if not np.isfinite(ends).all() or len(raw) != fixed + width.itemsize * listed:
        return None
    steps = np.frombuffer(raw, width, listed, fixed)
    most = 256**width.itemsize - 1
    return _numbers(codes, ends), _ranks(sizes, steps.astype(np.int64), count, most)


def _width(count: int) -> str:
    """Return the type of a candidate's number, of so many; differences wrap around in it."""
    return "u1" if count <= 256 else "<u2"


@njit(cache=True, nogil=True)
def _listed(ranks):  # type: ignore[no-untyped-def]
    """Return (int64[M] candidates in each list; uint16[...] from each to the next, best first)."""
    count, sources = ranks.shape
    sizes = np.zeros(sources, np.int64)
    steps = np.empty(count * sources, np.uint16)
    n = 0
    for m in range(sources):
        column = ranks[:, m].copy()
        order = np.argsort(column, kind="mergesort")
        before = 0
        for c in order:
            if column[c] > 0:
                steps[n] = np.uint16((c - before) & 0xFFFF)
                before = c
                sizes[m] += 1
                n += 1
    return sizes, steps[:n]


@njit(cache=True, nogil=True)
def _ranks(sizes, steps, count, most):  # type: ignore[no-untyped-def]
    """Return uint8[count, M], the opposite of _listed; what names no candidate is left out.

    most: the highest number of the steps' type.
    """
    out = np.zeros((count, len(sizes)), np.uint8)
    n = 0
    for m in range(len(sizes)):
        at = 0
        for k in range(sizes[m]):
            at = (at + steps[n]) & most
            n += 1
            if at < count:
                out[at, m] = min(k + 1, LAST_RANK)
    return out


@njit(cache=True, nogil=True)
def _ends(numbers):  # type: ignore[no-untyped-def]
    """Return float32[K, 2]: the least and the most of each column, 0 where it has none."""
    out = np.zeros((numbers.shape[1], 2), np.float32)
    for k in range(numbers.shape[1]):
        least, most = np.float32(np.inf), np.float32(-np.inf)
        for c in range(numbers.shape[0]):
            if not np.isnan(numbers[c, k]):
                least, most = min(least, numbers[c, k]), max(most, numbers[c, k])
        if least <= most:
            out[k, 0], out[k, 1] = least, most
    return out


@njit(cache=True, nogil=True)
def _codes(numbers, ends):  # type: ignore[no-untyped-def]
    """Return uint8[K, C]: 0 for NaN, else 1 + the nearest of LEVELS steps between the ends."""
    count, columns = numbers.shape
    out = np.zeros((columns, count), np.uint8)
    for k in range(columns):
        least, width = ends[k, 0], ends[k, 1] - ends[k, 0]
        for c in range(count):
            x = numbers[c, k]
            if not np.isnan(x):
                step = np.rint(LEVELS * (x - least) / width) if width > 0.0 else 0.0
                out[k, c] = 1 + np.uint8(min(max(step, 0.0), LEVELS))
    return out


@njit(cache=True, nogil=True)
def _numbers(codes, ends):  # type: ignore[no-untyped-def]
    """Return float32[C, K], the opposite of _codes."""
    columns, count = codes.shape
    out = np.empty((count, columns), np.float32)
    for k in range(columns):
        least, width = ends[k, 0], ends[k, 1] - ends[k, 0]
        for c in range(count):
            code = codes[k, c]
            part = (np.float32(code) - np.float32(1.0)) / np.float32(LEVELS)
            out[c, k] = np.nan if code == 0 else least + part * width
    return out
