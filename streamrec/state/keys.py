"""Item keys: a 64-bit hash of the id, the index from keys to rows, and random numbers from keys."""

from hashlib import blake2b
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

EMPTY = -1
GOLDEN = np.uint64(0x9E3779B97F4A7C15)
"""2^64 over the golden ratio: the step of splitmix64."""


def key_of(identifier: str) -> int:
    """Return the 64-bit key of an id: the first 8 bytes of its BLAKE2b hash, little-endian.

    A million ids collide with probability 3e-8.
    """
    return int.from_bytes(field_of(identifier), "little")


def field_of(identifier: str) -> bytes:
    """Return the field of an item's rows in Redis: the 8 bytes of its key."""
    return blake2b(identifier.encode(), digest_size=8).digest()


def owner_of(field: bytes, shards: int) -> int:
    """Return the number of the item shard that owns the rows of a field."""
    return int.from_bytes(field, "little") % shards


@njit(cache=True, nogil=True)
def mix(x):  # type: ignore[no-untyped-def]
    """Scramble a 64-bit number (the finaliser of splitmix64, Steele et al. 2014).

    x: uint64.
    """
    x = np.uint64(x)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


@njit(cache=True, nogil=True)
def uniform(x):  # type: ignore[no-untyped-def]
    """Map a scrambled 64-bit number to [0, 1).

    x: uint64.
    """
    return np.float64(x >> np.uint64(11)) * (1.0 / 9007199254740992.0)


@njit(cache=True, nogil=True)
def start_vectors(vectors, keys, first, seed, scale):  # type: ignore[no-untyped-def]
    """Fill vectors[first:] float32[items, K] evenly within scale, by uint64 keys and seed alone."""
    for row in range(first, len(keys)):
        state = mix(np.uint64(keys[row]) ^ mix(np.uint64(seed)))
        for k in range(vectors.shape[1]):
            state += GOLDEN
            vectors[row, k] = np.float32((uniform(mix(state)) - 0.5) * scale)


@njit(cache=True, nogil=True)
def find(slot_keys, slot_rows, key):  # type: ignore[no-untyped-def]
    """Return the row of `key`, or -1: open addressing on the key's upper bits.

    slot_keys: uint64[slots]; slot_rows: int32[slots]; key: uint64.
    """
    mask = len(slot_rows) - 1
    slot = np.int64(key >> np.uint64(24)) & mask
    while slot_rows[slot] != EMPTY:
        if slot_keys[slot] == key:
            return slot_rows[slot]
        slot = (slot + 1) & mask
    return EMPTY


@njit(cache=True, nogil=True)
def find_many(slot_keys, slot_rows, keys):  # type: ignore[no-untyped-def]
    """Return the rows of many keys, -1 where unknown.

    slot_keys: uint64[slots]; slot_rows: int32[slots]; keys: uint64[n]; returns int32[n].
    """
    out = np.empty(len(keys), np.int32)
    for n in range(len(keys)):
        out[n] = find(slot_keys, slot_rows, keys[n])
    return out


@njit(cache=True, nogil=True)
def after(turns, count, turn):  # type: ignore[no-untyped-def]
    """Return int64[n], those of the first `count` rows whose number is above `turn`."""
    out, size = np.empty(count, np.int64), 0
    for row in range(count):
        if turns[row] > turn:
            out[size] = row
            size += 1
    return out[:size]


@njit(cache=True, nogil=True)
def take(flags, count):  # type: ignore[no-untyped-def]
    """Return int64[n], those of the first `count` rows whose flag is not 0; clear their flags."""
    out, size = np.empty(count, np.int64), 0
    for row in range(count):
        if flags[row] != 0:
            flags[row] = 0
            out[size] = row
            size += 1
    return out[:size]


@njit(cache=True, nogil=True)
def _insert(slot_keys, slot_rows, keys, first_row):  # type: ignore[no-untyped-def]
    """Put keys uint64[n] of rows first_row, first_row + 1, ... into slots uint64 and int32."""
    mask = len(slot_rows) - 1
    for n in range(len(keys)):
        slot = np.int64(keys[n] >> np.uint64(24)) & mask
        while slot_rows[slot] != EMPTY:
            slot = (slot + 1) & mask
        slot_keys[slot] = keys[n]
        slot_rows[slot] = first_row + n


class KeyIndex:
    """Dense rows for 64-bit keys; grows by doubling, at most half full; rows are never reused."""

    def __init__(self, capacity: int = 1024) -> None:
        self._allocate(1 << max(4, (2 * capacity - 1).bit_length()))
        self.keys: NDArray[np.uint64] = np.empty(capacity, np.uint64)
        self.size = 0

    def _allocate(self, slots: int) -> None:
        self.slot_keys: NDArray[np.uint64] = np.zeros(slots, np.uint64)
        self.slot_rows: NDArray[np.int32] = np.full(slots, EMPTY, np.int32)

    def rows(self, keys: NDArray[np.uint64]) -> NDArray[np.int32]:
        """Return int32[n] rows of uint64[n] keys, -1 where unknown."""
        found: NDArray[np.int32] = find_many(self.slot_keys, self.slot_rows, keys)
        return found

    def add(self, keys: NDArray[np.uint64]) -> NDArray[np.int32]:
        """Return the rows of keys; unknown ones (repeats allowed) get the next rows."""
        rows = self.rows(keys)
        if len(rows) and rows.min() < 0:
            new = np.fromiter(dict.fromkeys(keys[rows < 0].tolist()), np.uint64)
            first, self.size = self.size, self.size + len(new)
            self.keys = grow(self.keys, self.size)
            self.keys[first : self.size] = new
            if 2 * self.size > len(self.slot_rows):
                self._allocate(1 << (4 * self.size - 1).bit_length())
                _insert(self.slot_keys, self.slot_rows, self.keys[: self.size], 0)
            else:
                _insert(self.slot_keys, self.slot_rows, new, first)
            rows = self.rows(keys)
        return rows


def grow(array: NDArray[Any], rows: int, fill: float = 0) -> NDArray[Any]:
    """Return the array with room for `rows` rows: itself, or a copy at least twice as long."""
    if rows <= len(array):
        return array
    shape = (max(rows, 2 * len(array)), *array.shape[1:])
    out = np.full(shape, fill, array.dtype) if fill else np.zeros(shape, array.dtype)
    out[: len(array)] = array
    return out
