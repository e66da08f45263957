"""What is kept of a list's candidates, in few bytes: for the samples that the blend learns from.

Of each column of numbers the least and the most are kept as half floats, and LEVELS steps between
them: what comes back is at most half a step from what went in. Of each source's own list the
candidates in it are kept, best first; its column has them first, in this order, each as what it is
below the one before: small numbers.
"""

import zlib
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from streamrec.blend import numbered

Array = NDArray[Any]
LEVELS = 62
"""With four times as many a list took 8 % more, and recall did not change beyond chance."""
EFFORT = 6
"""Of zlib."""
LAST_RANK = 255
"""Ranks are bytes: this one means so far down, or further."""


def pack(numbers: NDArray[np.float32], ranks: NDArray[np.uint8]) -> bytes:
    """Return the bytes of float32[C, K] numbers, NaN allowed, and uint8[C, M] ranks, M <= K.

    ranks: in each source's own list, 1, 2, 3 and so on, 0 where it is absent; the first M columns
    of numbers are the sources'.
    """
    ends = _ends(numbers).astype("<f2")
    sizes, listed = _listed(ranks)
    steps = _steps(_codes(numbers, ends.astype(np.float32)), sizes, listed)
    plain: bytes = sizes.astype("<u2").tobytes()
    plain += numbered.encode(listed, len(ranks))
    return plain + zlib.compress(ends.tobytes() + steps.tobytes(), EFFORT)


def rounded(numbers: NDArray[np.float32]) -> NDArray[np.float32] | None:
    """Return numbers as they come back from `unpack`; None where that would return None."""
    ends = _ends(numbers).astype("<f2").astype(np.float32)
    out: NDArray[np.float32] = _numbers(_codes(numbers, ends), ends)
    return out if np.isfinite(ends).all() else None


def unpack(
    blob: bytes, count: int, columns: int, sources: int
) -> tuple[NDArray[np.float32], NDArray[np.uint8]] | None:
    """Return float32[count, columns] numbers and uint8[count, sources] ranks; None if damaged.

    No more is decompressed than that many take.
    """
    if len(blob) < 2 * sources:
        return None
    sizes = np.frombuffer(blob, "<u2", sources).astype(np.int64)
    found = numbered.decode(blob, 2 * sources, int(sizes.sum()), count)
    if found is None:
        return None
    (listed, end), whole = found, (4 + count) * columns
    ranks, twice = _ranks(sizes, listed, count)
    reader = zlib.decompressobj()
    try:
        raw = reader.decompress(blob[end:], whole + 1)
    except zlib.error:
        return None
    if twice or not reader.eof or reader.unused_data or len(raw) != whole:
        return None
    ends = np.frombuffer(raw, "<f2", 2 * columns).astype(np.float32).reshape(columns, 2)
    if not np.isfinite(ends).all():
        return None
    steps = np.frombuffer(raw, np.uint8, count * columns, 4 * columns).reshape(columns, count)
    return _numbers(_codes_of(steps, sizes, listed), ends), ranks


@njit(cache=True, nogil=True)
def _listed(ranks):  # type: ignore[no-untyped-def]
    """Return (int64[M] candidates in each list; int64[...] the candidates, best first)."""
    count, sources = ranks.shape
    sizes = np.zeros(sources, np.int64)
    listed = np.empty(count * sources, np.int64)
    n = 0
    for m in range(sources):
        column = ranks[:, m].copy()
        for c in np.argsort(column, kind="mergesort"):
            if column[c] > 0:
                listed[n] = c
                sizes[m] += 1
                n += 1
    return sizes, listed[:n]


@njit(cache=True, nogil=True)
def _ranks(sizes, listed, count):  # type: ignore[no-untyped-def]
    """Return (uint8[count, M], the opposite of _listed; whether a list has a candidate twice)."""
    out = np.zeros((count, len(sizes)), np.uint8)
    n, twice = 0, False
    for m in range(len(sizes)):
        for k in range(sizes[m]):
            twice |= out[listed[n], m] > 0
            out[listed[n], m] = min(k + 1, LAST_RANK)
            n += 1
    return out, twice


@njit(cache=True, nogil=True)
def _order(m, sizes, listed, count):  # type: ignore[no-untyped-def]
    """Return (int64[count] candidates: first those in a source's list; how many are in it)."""
    start, size = sizes[:m].sum(), sizes[m] if m < len(sizes) else 0
    own, out = np.zeros(count, np.bool_), np.empty(count, np.int64)
    for k in range(size):
        out[k] = listed[start + k]
        own[out[k]] = True
    n = size
    for c in range(count):
        if not own[c]:
            out[n] = c
            n += 1
    return out, size


@njit(cache=True, nogil=True)
def _steps(codes, sizes, listed):  # type: ignore[no-untyped-def]
    """Return uint8[K, C]: the codes in the order of _order, in lists as steps down."""
    out = np.empty_like(codes)
    for k in range(len(codes)):
        order, size = _order(k, sizes, listed, codes.shape[1])
        for n in range(len(order)):
            code = codes[k, order[n]]
            out[k, n] = (codes[k, order[n - 1]] - code) & 0xFF if 0 < n < size else code
    return out


@njit(cache=True, nogil=True)
def _codes_of(steps, sizes, listed):  # type: ignore[no-untyped-def]
    """Return uint8[K, C], the opposite of _steps."""
    out = np.empty_like(steps)
    for k in range(len(steps)):
        order, size = _order(k, sizes, listed, steps.shape[1])
        for n in range(len(order)):
            step = steps[k, n]
            out[k, order[n]] = (out[k, order[n - 1]] - step) & 0xFF if 0 < n < size else step
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
