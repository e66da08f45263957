"""A ring of the latest 64-bit keys, stored in chunks: a commit rewrites only what it touched."""

from collections.abc import Mapping, Sequence

import numpy as np
from numba import njit
from numpy.typing import NDArray

CHUNK = 512


@njit(cache=True, nogil=True)
def _push(ring, total, keys):  # type: ignore[no-untyped-def]
    """Put keys uint64[n] into ring uint64[R], which has taken `total` before; the last R stay."""
    for n in range(max(0, len(keys) - len(ring)), len(keys)):
        ring[(total + n) % len(ring)] = keys[n]


class Ring:
    """The latest `capacity` keys pushed; `total` counts all pushes ever. Bound: 8 bytes a key."""

    def __init__(self, name: str, capacity: int) -> None:
        self.name = name
        self.keys: NDArray[np.uint64] = np.zeros(capacity, np.uint64)
        self.total = 0
        self._stored = 0
        self._cleared: set[int] = set()  # chunks

    @property
    def size(self) -> int:
        """How many keys the ring holds."""
        return min(self.total, len(self.keys))

    def push(self, keys: Sequence[int] | NDArray[np.uint64]) -> None:
        """Append keys over the oldest ones."""
        _push(self.keys, self.total, np.asarray(keys, np.uint64))
        self.total += len(keys)

    def push_one(self, key: int) -> int | None:
        """Append one key; return the key it replaced, if the ring was full."""
        at = self.total % len(self.keys)
        replaced = int(self.keys[at]) if self.total >= len(self.keys) else None
        self.keys[at] = key
        self.total += 1
        return replaced

    def clear(self, at: NDArray[np.int64]) -> None:
        """Put 0 in the place of some keys; the others stay where they are."""
        self.keys[at] = 0
        self._cleared.update((at // CHUNK).tolist())

    def note_changed(self) -> None:
        """Note that all of it is to be stored."""
        self._stored = 0

    def latest(self) -> NDArray[np.uint64]:
        """Return uint64[size], oldest first."""
        if self.total <= len(self.keys) or not len(self.keys):
            return self.keys[: self.total].copy()
        return np.roll(self.keys, -(self.total % len(self.keys)))

    def changed_chunks(self) -> dict[bytes, bytes]:
        """Return the chunks written since the last call, by field name."""
        new = min(self.total - self._stored, len(self.keys))
        at = (self.total - new + np.arange(new)) % max(1, len(self.keys))
        self._stored = self.total
        changed = self._cleared.union((at // CHUNK).tolist())
        self._cleared = set()
        return {
            f"{self.name}:{c}".encode(): self.keys[c * CHUNK : (c + 1) * CHUNK].tobytes()
            for c in sorted(changed)
        }

    @classmethod
    def restore(
        cls, name: str, capacity: int, stored: tuple[int, int], chunks: Mapping[bytes, bytes]
    ) -> "Ring":
        """Return the ring from its chunks; `stored` is (capacity, total) as of the commit."""
        old = cls(name, stored[0])
        old.total = stored[1]
        for field, blob in chunks.items():
            prefix, _, number = field.decode().rpartition(":")
            at = int(number) * CHUNK
            if prefix == name and at < stored[0]:
                piece = np.frombuffer(blob, "<u8")[: stored[0] - at]
                old.keys[at : at + len(piece)] = piece
        old._stored = old.total
        if capacity == stored[0]:
            return old
        resized = cls(name, capacity)
        resized.push(old.latest())
        return resized
