"""What the neural ranker reads of one list, as of when it is made.

For the K best candidates j of the blend and the H newest past items b: what each source says of
the pair (Source.pairs), how old b is, what the blend read of j, and texts. Everything is live; the
network's own weights are a few thousand and say only how to read it.
"""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from streamrec.blend.learned import E, Features, LearnedBlend
from streamrec.blend.rules import extras_of
from streamrec.settings.sections import Settings
from streamrec.sources.source import Shopper, Source, having
from streamrec.state.item_table import ItemTable
from streamrec.text.words import unit

Array = NDArray[Any]
LOG_SHARES = 14.0
"""A share of e^-14 or less counts as none: logs of shares are told as (14 + log) / 7, in 0..2."""
LEAST_LOG = -20.0
PAIR, FACT = 2.0, 4.0
"""Largest pair value and fact, so that a byte holds them."""
PAST = 4
"""Facts of a past item: see past_facts."""
PROJECTED, WHITENED = 32, 64
"""Length of a projected text; directions of the texts that are read."""
MINUTE_MS = 60_000.0


class Shape(NamedTuple):
    """Of what is read; a network reads only what it was made for."""

    candidates: int  # K
    history: int  # H
    sources: tuple[str, ...]  # M, of the blend
    channels: tuple[str, ...]  # C of them, which say something of pairs
    text: int  # length of an item's vector, 0 for none
    extras: int = E  # of the blend

    @property
    def facts(self) -> int:
        """Return X, the number of facts of a candidate."""
        return 3 * len(self.sources) + self.extras + 3


class Reading(NamedTuple):
    """One list: k <= K candidates, the blend's best first, and h <= H past items, newest first."""

    at: Array  # int64[k]: their numbers among the list's candidates
    rows: Array  # int32[k]
    past_rows: Array  # int32[h]
    blend: Array  # float32[k]: log of the blend's softmax over the K
    facts: Array  # float32[k, X], see facts_of
    pairs: Array  # float32[k, h, C]
    ages: Array  # float32[h]: log(1 + minutes) before the user's newest event

    def some(self, only: Array) -> "Reading":
        """Return what was read of some of the candidates, by number."""
        at, rows, past, blend, facts, pairs, ages = self
        return Reading(at[only], rows[only], past, blend[only], facts[only], pairs[only], ages)


class Reader:
    """Reads lists for a network of one shape."""

    def __init__(self, settings: Settings, sources: Sequence[Source]) -> None:
        self._pairing = [s for s in having("pairs", sources) if s.active()]
        vectors = [s.vectors(settings) for s in having("vectors", sources) if s.active()]
        self.vectors, self._length = vectors[0] if vectors else ("", 0)
        neural = settings.neural
        self.shape = Shape(
            neural.candidates,
            neural.history,
            tuple(s.name for s in sources),
            tuple(s.name for s in self._pairing),
            self._length,
            len(extras_of(settings)),
        )

    def read(
        self, table: ItemTable, shopper: Shopper, of_list: tuple[Array, Array, Features],
        where: Array, only: Array | None = None,
    ) -> Reading | None:  # fmt: skip
        """Return what is to be read of a list; None where the learned blend has no say.

        of_list: its candidates int32[C], the blend's scores float64[C], features, filled; where:
        int32[items] to work in; only: numbers among the best, of those that are read; None: all.
        """
        candidates, scores, features = of_list
        blend = table.blend
        if blend is None or blend.leader() >= 0 or not len(candidates):
            return None
        at = self.best(scores)
        log_p: Array = _log_softmax(scores[at])
        best = Features(
            features.values[at], features.ranks[at], features.extras[at], features.history,
            features.silence,
        )  # fmt: skip
        rows, facts = candidates[at], facts_of(blend, best, log_p)
        if only is not None:
            at, rows, log_p, facts = at[only], rows[only], log_p[only], facts[only]
        past = shopper.history[: self.shape.history]
        arrays = table.arrays
        pairs = np.zeros((len(rows), len(past), len(self._pairing)), np.float32)
        for c, source in enumerate(self._pairing):
            said = source.pairs(arrays, past, rows, where)
            (_log_shares if source.in_pairs == "share" else _bounded)(said, pairs, c)
        return Reading(at, rows, past, log_p, facts, pairs, ages_of(shopper, len(past)))

    def best(self, scores: Array) -> Array:
        """Return int64[k]: numbers of the K best candidates by the blend, of all: float64[C]."""
        best: Array = np.argsort(-scores, kind="stable")[: self.shape.candidates]
        return best

    def known(self, table: ItemTable) -> tuple[Array, Array]:
        """Return keys uint64[n] and unit vectors float32[n, D] of items whose texts are known."""
        if not self._length:
            return table.keys[:0], np.zeros((0, 0), np.float32)
        vectors = unit(getattr(table.arrays, self.vectors)[: len(table)])
        rows = np.flatnonzero(vectors.any(1))
        return table.keys[rows], vectors[rows]


def facts_of(blend: LearnedBlend, features: Features, log_p: Array) -> Array:
    """Return float32[k, 3M + E + 3]: the blend's inputs; and these alone, for the list.

    The inputs are standardised over all lists so far, 1 / log2(1 + rank) and the history's length;
    then the values once more, standardised over this list, .3 log p, 1 / log2(1 + place).
    """
    out: Array = _facts(blend.inputs(features), len(blend.pinned), log_p)
    return out


def ages_of(shopper: Shopper, count: int) -> Array:
    """Return float32[count]: log(1 + minutes) from each past item to the user's newest one."""
    ts = shopper.times[:count]
    newest = ts[0] if len(ts) else 0
    out: Array = np.log1p(np.maximum(newest - ts, 0) / MINUTE_MS).astype(np.float32)
    return out


@njit(cache=True, nogil=True)
def past_facts(ages):  # type: ignore[no-untyped-def]
    """Return float32[h, PAST] of the b-th newest: log b - 1.5, age, 1 / b, gap to the next older.

    ages: float32[h], see Reading.
    """
    h = len(ages)
    out = np.empty((h, PAST), np.float32)
    for b in range(h):
        out[b, 0] = math.log1p(b) - 1.5
        out[b, 1] = ages[b] / 5.0 - 1.0
        out[b, 2] = 1.0 / (1.0 + b)
        out[b, 3] = ages[b + 1] - ages[b] if b + 1 < h else 0.0
    return out


@njit(cache=True, nogil=True)
def _log_softmax(scores):  # type: ignore[no-untyped-def]
    """Return float32[k]: log softmax of scores float[k], at least LEAST_LOG."""
    top = scores.max()
    total = np.log(np.exp(scores - top).sum())
    return np.maximum(scores - top - total, LEAST_LOG).astype(np.float32)


@njit(cache=True, nogil=True)
def _facts(inputs, sources, log_p):  # type: ignore[no-untyped-def]
    """Return float32[k, X], as facts_of; inputs: float[k, width]; log_p: float32[k]."""
    k, width = inputs.shape
    out = np.empty((k, width + sources + 2), np.float32)
    out[:, :width] = inputs
    for m in range(sources):
        mean = inputs[:, m].mean()
        scale = 1.0 / (inputs[:, m].std() + 0.1)
        for n in range(k):
            out[n, width + m] = min(3.0, max(-3.0, (inputs[n, m] - mean) * scale))
    for n in range(k):
        out[n, -2] = max(-FACT, 0.3 * log_p[n])
        out[n, -1] = 1.0 / math.log2(2.0 + n)
    return out


@njit(cache=True, nogil=True)
def _log_shares(shares, pairs, c):  # type: ignore[no-untyped-def]
    """Set pairs[:, :, c] to the bounded logs of shares float64[k, h]; 0 where there is none."""
    for n in range(shares.shape[0]):
        for b in range(shares.shape[1]):
            if shares[n, b] > 0.0:
                said = (LOG_SHARES + math.log(shares[n, b])) * (PAIR / LOG_SHARES)
                pairs[n, b, c] = min(PAIR, max(0.0, said))


@njit(cache=True, nogil=True)
def _bounded(values, pairs, c):  # type: ignore[no-untyped-def]
    """Set pairs[:, :, c] to values float[k, h] within -2..2.

    pairs: float32[k, h, C].
    """
    for n in range(values.shape[0]):
        for b in range(values.shape[1]):
            pairs[n, b, c] = min(PAIR, max(-PAIR, values[n, b]))
