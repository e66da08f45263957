"""What is kept of a list for training: the bytes of a reading, and of a click on it.

A list keeps all K candidates, for which one is clicked is not known yet; a click keeps the clicked
one, first, and a few others. Items are named by keys; nobody is. Pairs and facts are bytes.

    header   version, facts, past items, channels, candidates u16; weight f4; made at, clicked at i8
    arrays   keys u8[n], past keys u8[h], log p f2[n], ages f2[h], facts i1[n, X], pairs i1[n, h, C]
    type     of the event that clicked it, utf-8
"""

import struct
import zlib
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from streamrec.neural.reading import FACT, PAIR, Reading

Array = NDArray[Any]
VERSION = 1
HEAD = struct.Struct("<5Hfqq")
MOST_BYTES = 8192
"""Bytes of a click at most; one of more keeps fewer others."""
OTHERS = 31
"""Candidates that stand for all that were not clicked."""
FACT_STEP, PAIR_STEP = 127.0 / FACT, 127.0 / PAIR


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

    def to_bytes(self) -> bytes:
        """Return the bytes."""
        n, h, channels = self.pairs.shape
        shape = (VERSION, self.facts.shape[1], h, channels, n)
        head = HEAD.pack(*shape, self.weight, self.made_at, self.clicked_at)
        return head + b"".join(a.tobytes() for a in self[:6]) + self.type.encode()

    @classmethod
    def from_bytes(cls, blob: bytes) -> "Sample | None":
        """Return the sample; None for another version, or bytes that are damaged."""
        if len(blob) < HEAD.size:
            return None
        version, facts, h, channels, n, weight, made, clicked = HEAD.unpack_from(blob)
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
        if n < 1 or not all(np.isfinite(one).all() for one in (blend, ages, weight)):
            return None
        return cls(
            keys, past_keys, blend, ages, facts_, pairs,
            type=kind, weight=weight, made_at=made, clicked_at=clicked,
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
    n, (h, channels) = len(listed.keys), listed.pairs.shape[1:]
    each = 8 + 2 + listed.facts.shape[1] + h * channels
    room = MOST_BYTES - HEAD.size - len(kind.encode()) - 10 * h - each
    others = np.delete(np.arange(n), found[0])
    most = max(1, min(OTHERS, room // each))
    if len(others) > most:
        rng = np.random.default_rng(seed)
        others = rng.choice(others, most, replace=False, shuffle=False)
    rows = np.concatenate([found[:1], others])
    keys, past, blend, ages, facts, pairs = listed[:6]
    return Sample(
        keys[rows], past, blend[rows], ages, facts[rows], pairs[rows],
        type=kind, weight=weight, made_at=listed.made_at, clicked_at=at,
    )  # fmt: skip
