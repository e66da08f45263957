"""Ranking metrics of one clicked item in a list: recall (= hit rate), NDCG and reciprocal rank."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
VERSION = 1
MISS = -1


def encode_shown(at: int, lists: NDArray[np.uint64]) -> bytes:
    """Return the bytes of a time (ms) and uint64[sources, length] keys, 0 = none."""
    head = bytes((VERSION, lists.shape[0], lists.shape[1]))
    return head + at.to_bytes(8, "little") + lists.tobytes()


def shown_at(blob: bytes) -> int:
    """Return when the lists of a shown row were made, epoch ms."""
    return int.from_bytes(blob[3:11], "little")


def ranks_in(shown: Sequence[bytes | None], keys: Sequence[int], sources: int) -> Array:
    """Return int[events, sources]: the place of each key in each source's list, MISS if absent.

    A missing row, or one of another version or other sources, counts as a miss.
    """
    out = np.full((len(keys), sources), MISS, np.int64)
    lists: dict[int, Array] = {}
    for n, (blob, wanted) in enumerate(zip(shown, keys, strict=True)):
        if blob and blob[0] == VERSION and blob[1] == sources:
            if id(blob) not in lists:
                lists[id(blob)] = np.frombuffer(blob, "<u8", offset=11).reshape(sources, blob[2])
            source, place = np.nonzero(lists[id(blob)] == np.uint64(wanted))
            out[n, source] = place
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
