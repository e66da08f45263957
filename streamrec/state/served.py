"""Ranking metrics of one clicked item in a list: recall (= hit rate), NDCG and reciprocal rank."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from streamrec.blend.learned import with_click

Array = NDArray[Any]
VERSION = 3
MISS = -1


def encode_shown(
    at: int,
    lists: NDArray[np.uint64],
    times: Mapping[int, int],
    candidates: NDArray[np.uint64],
    sample: bytes,
) -> bytes:
    """Return the bytes of a shown row: what one user is served, for the learners and rotation.

    at: epoch ms; lists: uint64[sources, length] keys, 0 = none; times: of the first list, by key,
    how often in a row; candidates and sample: what the learned blend learns from a click on one of
    them, or nothing.
    """
    head = bytes((VERSION, lists.shape[0])) + lists.shape[1].to_bytes(2, "little")
    counts = bytes(min(255, times.get(key, 0)) for key in lists[0].tolist())
    parts = [head, at.to_bytes(8, "little"), lists.tobytes(), counts]
    if sample:
        parts += [len(candidates).to_bytes(2, "little"), candidates.tobytes(), sample]
    return b"".join(parts)


def times_shown(blob: bytes | None) -> dict[int, int]:
    """Return how often in a row each item of the first list was shown; {} for no or another row."""
    if not blob or blob[0] != VERSION or len(blob) < _end(blob):
        return {}
    length = int.from_bytes(blob[2:4], "little")
    keys = np.frombuffer(blob, "<u8", length, 12).tolist()
    counts = blob[_end(blob) - length : _end(blob)]
    return {key: count for key, count in zip(keys, counts, strict=True) if count}


def decode_shown(blob: bytes) -> tuple[Array, Array]:
    """Return a shown row's uint64[sources, length] keys, 0 = none, and those of its sample.

    Of another version: no sources.
    """
    if blob[:1] != bytes((VERSION,)) or len(blob) < _end(blob):
        return np.zeros((0, 0), np.uint64), np.zeros(0, np.uint64)
    sources, length, end = blob[1], int.from_bytes(blob[2:4], "little"), _end(blob)
    lists = np.frombuffer(blob, "<u8", sources * length, 12).reshape(sources, length)
    count = int.from_bytes(blob[end : end + 2], "little")
    return lists, np.frombuffer(blob, "<u8", count, end + 2 if count else end)


def sample_of(blob: bytes, key: int, weight: float) -> bytes | None:
    """Return the sample of a shown row with item `key` as the clicked one, if it was proposed."""
    end = _end(blob)
    count = int.from_bytes(blob[end : end + 2], "little")
    if blob[:1] != bytes((VERSION,)) or len(blob) < end + 2 + 8 * count:
        return None
    keys = np.frombuffer(blob, "<u8", count, end + 2)
    clicked = np.flatnonzero(keys == np.uint64(key))
    if not len(clicked):
        return None
    return with_click(blob[end + 2 + keys.nbytes :], int(clicked[0]), weight)


def _end(blob: bytes) -> int:
    """Return where the lists and their counts end."""
    length = int.from_bytes(blob[2:4], "little")
    return 12 + (8 * int.from_bytes(blob[1:2], "little") + 1) * length


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
        np.frombuffer(blob, "<u8", sources * int.from_bytes(blob[2:4], "little"), 12).reshape(
            sources, -1
        )
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
    return blob[:2] == bytes((VERSION, sources)) and len(blob) >= _end(blob)


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
