"""Ranking metrics of one clicked item in a list: recall (= hit rate), NDCG and reciprocal rank."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

Array = NDArray[Any]
VERSION = 1
MISS = -1


def encode_shown(at: int, lists: NDArray[np.uint64]) -> bytes:
    """Return the bytes of a time (ms) and uint64[sources, length] keys, 0 = none."""
    head = bytes((VERSION, lists.shape[0])) + lists.shape[1].to_bytes(2, "little")
    return b"".join((head, at.to_bytes(8, "little"), lists.tobytes()))


def shown_at(blob: bytes) -> int:
    """Return when the lists of a shown row were made, epoch ms."""
    return int.from_bytes(blob[4:12], "little")


def ranks_in(
    shown: Sequence[bytes | None], which: Array, keys: NDArray[np.uint64], sources: int
) -> Array:
    """Return int[events, sources]: the place of keys[n] in each list of shown[which[n]], or MISS.

    A missing or damaged row, or one of another version or other sources, counts as a miss.
    """
    lists = [
        np.frombuffer(blob, "<u8", offset=12).reshape(sources, -1)
        if blob and _fits(blob, sources)
        else np.zeros((sources, 0), np.uint64)
        for blob in shown
    ]
    width = max((one.shape[1] for one in lists), default=0)
    table = np.zeros((len(lists), sources, width), np.uint64)
    for n, one in enumerate(lists):
        table[n, :, : one.shape[1]] = one
    ranks: Array = _places(table, which, keys)
    return ranks


def _fits(blob: bytes, sources: int) -> bool:
    length = int.from_bytes(blob[2:4], "little")
    return (blob[0], *blob[1:2], len(blob)) == (VERSION, sources, 12 + 8 * sources * length)


@njit(cache=True, nogil=True)
def _places(table, which, keys):  # type: ignore[no-untyped-def]
    out = np.full((len(keys), table.shape[1]), -1, np.int64)
    for n in range(len(keys)):
        for m in range(table.shape[1]):
            for k in range(table.shape[2]):
                if table[which[n], m, k] == keys[n]:
                    out[n, m] = k
                    break
    return out


def hits(ranks: Array, k: int) -> Array:
    """Return recall@k of each rank: 1 if the item is among the first k."""
    return ((ranks >= 0) & (ranks < k)).astype(np.float64)


def ndcg(ranks: Array, k: int) -> Array:
    """Return NDCG@k of each rank, with one relevant item: 1 / log2(rank + 2)."""
    return np.where((ranks >= 0) & (ranks < k), 1.0 / np.log2(np.maximum(ranks, 0) + 2.0), 0.0)


def reciprocal(ranks: Array, k: int) -> Array:
    """Return the reciprocal rank (MRR@k of one event): 1 / (rank + 1)."""
    return np.where((ranks >= 0) & (ranks < k), 1.0 / (np.maximum(ranks, 0) + 1.0), 0.0)
