"""What a user is served, kept for the learners; and the ranking metrics of a clicked item in it.

A shown row has each item once, by the lower bits of its key, and the lists as places among them:
those of the sources, then the blend's.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from streamrec.blend import numbered
from streamrec.blend.learned import with_click

Array = NDArray[Any]
VERSION = 5
BITS = 24
"""Of a key, that tell the items of a row apart; a click is taken for one of 200 once in 10^5."""
SHORT = 2**BITS - 1
MISS = -1
HEAD = np.dtype(
    [("version", "u1"), ("lists", "u1"), ("length", "<u2"), ("at", "<i8"), ("candidates", "<u2"),
     ("others", "<u2"), ("counted", "<u2"), ("sampled", "<u4")]
)  # fmt: skip
"""others: items of the lists that are no candidates with features; counted: how many items have
how often they were shown; sampled: bytes of the sample."""
COUNTED = np.dtype([("rest", "<u4"), ("top", "u1"), ("times", "u1")])
"""The other bits of an item's key, the upper 8 apart, and how often in a row it was shown."""


class ShownRow(NamedTuple):
    """A shown row, read."""

    at: int  # epoch ms
    length: int  # of the lists, at most
    shorts: Array  # uint32[items], BITS of the keys: candidates with features first
    candidates: int  # of them
    lists: list[Array]  # of the blend and of each source alone: places in `shorts`, best first
    counted: Array  # COUNTED[...] of the blend's list, where rotation is on
    sample: bytes

    def place(self, key: int) -> int:
        """Return an item's place in `shorts`, MISS without one."""
        found = np.flatnonzero(self.shorts == np.uint32(key & SHORT))
        return int(found[0]) if len(found) else MISS


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
    first = candidates if sample else candidates[:0]
    stored = np.roll(lists, -1, axis=0)  # the blend's last: what is new in it are few
    keys, places = _numbered(first, stored.ravel())
    sizes = (stored != 0).sum(axis=1).astype(numbered.width(lists.shape[1] + 1))
    mine = lists[0][lists[0] != 0] if times else lists[0][:0]
    counted = np.zeros(len(mine), COUNTED)
    counted["rest"] = mine >> np.uint64(BITS) & np.uint64(2**32 - 1)
    counted["top"] = mine >> np.uint64(56)
    counted["times"] = [min(255, times.get(key, 0)) for key in mine.tolist()]
    others = len(keys) - len(first)
    count, length = lists.shape
    head = VERSION, count, length, at, len(first), others, len(counted), len(sample)
    shorts = keys.astype("<u4").view(np.uint8).reshape(-1, 4)[:, : BITS // 8]
    columns = np.array(head, HEAD), shorts, sizes
    listed = numbered.encode(places, len(keys))
    return b"".join([*(c.tobytes() for c in columns), listed, counted.tobytes(), sample])


def read_shown(blob: bytes | None) -> ShownRow | None:
    """Return a shown row; None for no row, one of another version, or a damaged one."""
    if not blob or blob[0] != VERSION or len(blob) < HEAD.itemsize:
        return None
    [head] = np.frombuffer(blob, HEAD, 1).tolist()
    _, count, length, at, candidates, others, counted, sampled = head
    items, start = candidates + others, HEAD.itemsize
    after, width = start + BITS // 8 * items, np.dtype(numbered.width(length + 1))
    first = after + width.itemsize * count
    if not count or len(blob) < first:
        return None
    sizes = np.frombuffer(blob, width, count, after)
    ends = np.cumsum(sizes, dtype=np.int64)
    found = numbered.decode(blob, first, int(ends[-1]), items)
    if found is None or int(sizes.max()) > length:
        return None
    places, tail = found
    if len(blob) != tail + COUNTED.itemsize * counted + sampled or counted > sizes[-1]:
        return None
    *alone, own = np.split(places, ends[:-1])
    shorts = np.zeros((items, 4), np.uint8)
    shorts[:, : BITS // 8] = np.frombuffer(blob, (np.uint8, BITS // 8), items, start)
    return ShownRow(
        at,
        length,
        shorts.view("<u4")[:, 0],
        candidates,
        [own, *alone],
        np.frombuffer(blob, COUNTED, counted, tail),
        blob[len(blob) - sampled :] if sampled else b"",
    )


def times_shown(blob: bytes | None) -> dict[int, int]:
    """Return how often in a row each item of the first list was shown; {} for no or another row."""
    row = read_shown(blob)
    if row is None or not len(row.counted):
        return {}
    own = row.shorts[row.lists[0][: len(row.counted)]].astype(np.uint64)
    rest, top = row.counted["rest"].astype(np.uint64), row.counted["top"].astype(np.uint64)
    keys = own | rest << np.uint64(BITS) | top << np.uint64(56)
    counts = zip(keys.tolist(), row.counted["times"].tolist(), strict=False)
    return {key: count for key, count in counts if count}


def sample_of(blob: bytes, key: int, weight: float) -> bytes | None:
    """Return the sample of a shown row with item `key` as the clicked one, if it was proposed."""
    row = read_shown(blob)
    if row is None or not row.sample:
        return None
    clicked = row.place(key)
    return with_click(row.sample, clicked, weight) if 0 <= clicked < row.candidates else None


def shown_at(blob: bytes) -> int:
    """Return when the lists of a shown row were made, epoch ms."""
    return int.from_bytes(blob[4:12], "little")


def ranks_in(
    shown: Sequence[bytes | None], which: Array, keys: NDArray[np.uint64], sources: int
) -> Array:
    """Return int[events, sources]: the place of keys[n] in each list of shown[which[n]], or MISS.

    A missing or damaged row, or one of another version or other sources, counts as a miss.
    """
    rows = [read_shown(blob) for blob in shown]
    found = np.full((len(keys), sources), MISS, np.int64)
    for n, (number, key) in enumerate(zip(which.tolist(), keys.tolist(), strict=True)):
        row = rows[number]
        if row is None or len(row.lists) != sources:
            continue
        place = row.place(key)
        if place == MISS:
            continue
        for m, one in enumerate(row.lists):
            at = np.flatnonzero(one == place)
            if len(at):
                found[n, m] = at[0]
    return found


@njit(cache=True, nogil=True)
def _numbered(first, listed):  # type: ignore[no-untyped-def]
    """Return (keys: `first`, then what else is listed; the place of each listed key but 0).

    first, listed: uint64[...]; returns (uint64[...], int64[...]).
    """
    keys = np.empty(len(first) + len(listed), np.uint64)
    places = np.empty(len(listed), np.int64)
    keys[: len(first)] = first
    n, at = len(first), 0
    for key in listed:
        if key != 0:
            k = 0
            while k < n and keys[k] != key:
                k += 1
            if k == n:
                keys[n] = key
                n += 1
            places[at] = k
            at += 1
    return keys[:n], places[:at]


def hits(ranks: Array, k: int) -> Array:
    """Return recall@k of each rank: 1 if the item is among the first k."""
    return ((ranks >= 0) & (ranks < k)).astype(np.float64)


def ndcg(ranks: Array, k: int) -> Array:
    """Return NDCG@k of each rank, with one relevant item: 1 / log2(rank + 2)."""
    return np.where((ranks >= 0) & (ranks < k), 1.0 / np.log2(np.maximum(ranks, 0) + 2.0), 0.0)


def reciprocal(ranks: Array, k: int) -> Array:
    """Return the reciprocal rank (MRR@k of one event): 1 / (rank + 1)."""
    return np.where((ranks >= 0) & (ranks < k), 1.0 / (np.maximum(ranks, 0) + 1.0), 0.0)
