"""What is kept of a list for training: the bytes of a reading, and of a click on it.

A list keeps all K candidates, for which one is clicked is not known yet. A click keeps the clicked
one, first; of the others the blend's best, for among these the order matters and the softmax has
most of its mass; and a few that are drawn, which stand for all the rest (stratified sampling,
Cochran 1977, chapter 5). Items are named by keys; nobody is. Pairs and facts are bytes.

    header   version, facts, past items, channels, candidates, the best u16; stand for, weight f4;
             made at, clicked at i8
    arrays   keys u8[n], past keys u8[h], log p f2[n], ages f2[h], facts i1[n, X], pairs i1[n, h, C]
    type     of the event that clicked it, utf-8
"""

import struct
import zlib
from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from streamrec.neural.reading import FACT, PAIR, Reading
from streamrec.state.keys import GOLDEN, mix

Array = NDArray[Any]
VERSION = 2
HEAD = struct.Struct("<6Hffqq")
MOST_BYTES = 8192
"""Bytes of a click at most; one of more keeps fewer others."""
OTHERS, BEST = 31, 10
"""Candidates kept that were not clicked; the blend's best among them, the others are drawn."""
FACT_STEP, PAIR_STEP = 127.0 / FACT, 127.0 / PAIR


class Picked(NamedTuple):
    """Which candidates of a list a click keeps, and what they stand for; see Sample."""

    rows: Array  # int64[n] numbers, the clicked one first
    best: int
    stand_for: float


class Sample(NamedTuple):
    """A click on a list; candidate 0 was clicked."""

    keys: Array  # uint64[n]
    past_keys: Array  # uint64[h]
    blend: Array  # float16[n]: log p
    ages: Array  # float16[h]
    facts: Array  # int8[n, X]: in steps of 1 / FACT_STEP
    pairs: Array  # int8[n, h, C]: in steps of 1 / PAIR_STEP
    type: str = ""  # of the event
    weight: float = 0.0
    made_at: int = 0  # ms, of the list
    clicked_at: int = 0  # ms, by the log
    best: int = 0  # after the first: each stands for itself alone
    stand_for: float = 1.0  # candidates, by each of those after them

    def clicked(self, only: Picked, kind: str, weight: float, at: int) -> "Sample":
        """Return the sample of a click, of a list's candidates that were picked; at: epoch ms."""
        return self._replace(
            type=kind, weight=weight, clicked_at=at, best=only.best, stand_for=only.stand_for
        )

    def stands(self) -> Array:
        """Return float32[n]: how many candidates of the list each one stands for."""
        out = np.ones(len(self.keys), np.float32)
        out[1 + self.best :] = self.stand_for
        return out

    def to_bytes(self) -> bytes:
        """Return the bytes."""
        n, h, channels = self.pairs.shape
        shape = (VERSION, self.facts.shape[1], h, channels, n, self.best)
        head = HEAD.pack(*shape, self.stand_for, self.weight, self.made_at, self.clicked_at)
        return head + b"".join(a.tobytes() for a in self[:6]) + self.type.encode()

    @classmethod
    def from_bytes(cls, blob: bytes) -> "Sample | None":
        """Return the sample; None for another version, or bytes that are damaged."""
        if len(blob) < HEAD.size:
            return None
        version, facts, h, channels, n, best, *head = HEAD.unpack_from(blob)
        stand_for, weight, made, clicked = head
        if version != VERSION:
            return None
        dtypes = "<u8", "<u8", "<f2", "<f2", "i1", "i1"
        shapes = (n,), (h,), (n,), (h,), (n, facts), (n, h, channels)
        arrays, at = list[Array](), HEAD.size
        try:
            for dtype, shape in zip(dtypes, shapes, strict=True):
                arrays.append(np.frombuffer(blob, dtype, int(np.prod(shape)), at).reshape(shape))
                at += arrays[-1].nbytes
            kind = blob[at:].decode()
        except ValueError:  # it is cut off, or the type is no text
            return None
        keys, past_keys, blend, ages, facts_, pairs = arrays
        if not best < n or not stand_for >= 1.0:
            return None
        if not all(np.isfinite(one).all() for one in (blend, ages, weight, stand_for)):
            return None
        return cls(
            keys, past_keys, blend, ages, facts_, pairs,
            type=kind, weight=weight, made_at=made, clicked_at=clicked, best=best,
            stand_for=stand_for,
        )  # fmt: skip


def kept(reading: Reading, keys: Array, at: int) -> Sample:
    """Return what is kept of a list; keys: uint64[items], of the table's rows; at: epoch ms."""
    return Sample(
        keys[reading.rows],
        keys[reading.past_rows],
        reading.blend.astype("<f2"),
        reading.ages.astype("<f2"),
        np.rint(np.clip(reading.facts, -FACT, FACT) * FACT_STEP).astype(np.int8),
        np.rint(reading.pairs * PAIR_STEP).astype(np.int8),
        made_at=at,
    )


def packed(listed: Sample) -> bytes:
    """Return the bytes of what is kept of a list, a third as long: most pairs say nothing."""
    return zlib.compress(listed.to_bytes(), 1)


def unpacked(blob: bytes) -> Sample | None:
    """Return what was kept of a list; None for another version, or bytes that are damaged."""
    try:
        return Sample.from_bytes(zlib.decompress(blob))
    except zlib.error:
        return None


def click(listed: Sample, key: int, kind: str, weight: float, at: int, seed: int) -> Sample | None:
    """Return the sample of a click on a list; None where the item is not among its candidates.

    kind: type of the event; at: its time by the log; seed: draws the others.
    """
    [found] = np.nonzero(listed.keys == np.uint64(key))
    if not len(found) or len(listed.keys) < 2:
        return None
    (count, past, channels), facts = listed.pairs.shape, listed.facts.shape[1]
    only = picked(count, int(found[0]), room(facts, past, channels, kind), seed)
    some = listed._replace(
        keys=listed.keys[only.rows], blend=listed.blend[only.rows], facts=listed.facts[only.rows],
        pairs=listed.pairs[only.rows],
    )  # fmt: skip
    return some.clicked(only, kind, weight, at)


def room(facts: int, past: int, channels: int, kind: str) -> int:
    """Return how many candidates that were not clicked a sample of these sizes has room for."""
    each = 8 + 2 + facts + past * channels
    fits = (MOST_BYTES - HEAD.size - len(kind.encode()) - 10 * past) // each - 1
    return max(1, min(OTHERS, fits))


def picked(count: int, clicked: int, most: int, seed: int) -> Picked:
    """Return which of `count` candidates a click on one of them keeps; most: others at most."""
    best = min(BEST * most // OTHERS, count - 1)
    rows = chosen(count, clicked, best, most - best, np.uint64(seed))
    return Picked(rows, best, max(1.0, (count - 1 - best) / (most - best)))


@njit(cache=True, nogil=True)
def chosen(count, clicked, best, draws, seed):  # type: ignore[no-untyped-def]
    """Return int64[...]: the clicked one, the first `best` others, and `draws` of the rest.

    Of count candidates by number, the best first; all of the rest where there are no more. Drawn
    without repetition (Fisher and Yates); seed: uint64.
    """
    out = np.arange(count)
    out[1 : clicked + 1] = np.arange(clicked)
    out[0] = clicked
    size = min(count, 1 + best + draws)
    state = mix(seed)
    for n in range(1 + best, size):
        state += GOLDEN
        other = n + np.int64(mix(state) % np.uint64(count - n))
        out[n], out[other] = out[other], out[n]
    return out[:size]
