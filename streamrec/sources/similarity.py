"""Similarity: decayed, directed, rank-weighted co-occurrence in bounded neighbour lists.

Event i after history h_1 (newest), h_2, ...: P[h_b -> i] += 1/b and P[i -> h_b] += r/b for the
newest few. Score of j: sum_b d^(b-1) (P[h_b -> j] + m share_j) / (m + sum_x P[h_b -> x]): m counts
of evidence are popularity's (Dirichlet smoothing, Zhai and Lafferty 2004).
A list grows to twice its bound K, then the best K are kept: at K = 100 that loses nothing,
replacing the smallest loses a tenth.
"""

from collections.abc import Sequence
from typing import Annotated, Any, NamedTuple

import numpy as np
from msgspec import Meta
from numba import njit
from numpy.typing import NDArray

from streamrec.settings.types import Length, NonNegative, Section
from streamrec.sources.neighbours import Lists, Neighbours, add, scaled
from streamrec.sources.source import Said, Shopper
from streamrec.state.schema import ALL, Column, Kind, note

Array = NDArray[Any]
REVERSE = 128
"""Flag in a pair's rank byte: the later item's list learns of the earlier one."""
ANY_LENGTH = 1 << 20


class SimilaritySettings(Section, frozen=True, kw_only=True):
    """Directed, rank-weighted, decayed co-occurrence."""

    window: Annotated[int, Meta(ge=1, le=127)] = 5
    """Earlier items of the user that are paired with a new one; the b-th newest gets weight 1/b."""
    reverse_weight: NonNegative = 0.5
    """Weight of the pair in the other direction."""
    neighbours: Length = 100
    """Neighbours kept for an item; a list grows to twice that before it is pruned."""
    half_life_seconds: NonNegative = 604_800.0
    """Half-life of the counts; 0: none."""
    prior: NonNegative = 10.0
    """Counts of evidence given to popularity: an item with few pairs says little."""


class PairLists(NamedTuple):
    """Neighbour lists of many items."""

    keys: Array  # uint64[items, 2K]
    weights: Array  # float32[items, 2K]
    counts: Array  # uint32[items, 2K], or no columns
    sizes: Array  # int32[items]
    clocks: Array  # int64[items], ms
    changed: Array  # int32[items]: see schema.note
    pairs: Array  # uint32[items]: forward pairs learnt, or no items
    row_changed: Array  # int32[items]: of the row that the count is in, or no items


class Similarity(Neighbours):
    """What followed the user's latest items."""

    name = section = follows = "similarity"
    Settings = SimilaritySettings
    weight = 0.4

    def __init__(self, settings: Any) -> None:
        mine: SimilaritySettings = settings.similarity
        self._neighbours, self._window, self._prior = mine.neighbours, mine.window, mine.prior
        self._decay = settings.factors.context_decay
        half_life_ms = mine.half_life_seconds * 1000.0
        self._by = *gains(mine.window, 1.0, mine.reverse_weight), half_life_ms

    def window(self) -> int:
        """Return how many earlier items it pairs an event with."""
        return self._window

    def columns(self) -> Sequence[Column]:
        """Return the list, and how many pairs were learnt with the item as the earlier one."""
        return (Column("pairs", "<u4", table=""), *list_columns("similarity", 2 * self._neighbours))

    def learn(self, arrays: Any, update: Any) -> None:
        """Add the record's pairs to the lists of their items."""
        a = arrays
        lists = (
            a.similarity_keys, a.similarity_weights, a.similarity_counts, a.similarity_size,
            a.similarity_clock, a.similarity_changed, a.pairs, a.items_changed,
        )  # fmt: skip
        learn_pairs(lists, update.columns["pairs"], update.events, self._by)

    def follow(self, arrays: Any, rows: Array, theirs: Any, source: Array) -> None:
        """Sum the weights of lists that changed."""
        a = arrays
        sum_weights(a.similarity_weights, a.similarity_size, rows, a.similarity_total)

    def score(self, arrays: Any, user: Shopper, scores: Array, touched: Array) -> Said:
        """Add the smoothed shares of what followed each of the latest items."""
        lists, past = _lists(arrays), user.history[: self._window]
        scales, mass = _scales(arrays.similarity_total, past, self._decay, self._prior)
        return Said(add(lists, past, scaled(lists, past, scales), scores, touched), 1.0, mass)

    def said(self, arrays: Any, past: Array, *, alone: bool = False) -> tuple[Lists, Array]:
        """Return the shares of what followed each past item; alone: without popularity in them."""
        decay, prior = (1.0, 0.0) if alone else (self._decay, self._prior)
        lists, past = _lists(arrays), past if alone else past[: self._window]
        scales, _ = _scales(arrays.similarity_total, past, decay, prior)
        return lists, scaled(lists, past, scales)


def _lists(arrays: Any) -> Lists:
    return arrays.similarity_keys, arrays.similarity_weights, arrays.similarity_size


def list_columns(name: str, width: int, *, counted: bool = True) -> tuple[Column, ...]:
    """Return the columns of a neighbour list."""
    counts = Column(f"{name}_counts", "<u4", width, name, f"{name}_size", table="")
    return (
        Column(f"{name}_size", "<i4", 0, name),
        Column(f"{name}_clock", "<i8", 0, name, table=""),
        Column(f"{name}_keys", "<u8", width, name, f"{name}_size", table="rows"),
        Column(f"{name}_weights", "<f4", width, name, f"{name}_size"),
        *((counts, Column(f"{name}_total", "<f4", 0, name, stored=False)) if counted else ()),
    )


def read_list(blob: bytes) -> tuple[Array, Array, Array]:
    """Return keys, weights and counts of a stored list of any length. Raises UnknownVersion."""
    row = Kind("similarity", list_columns("similarity", ANY_LENGTH)).read(blob)
    keys, weights = row["similarity_keys"], row["similarity_weights"]
    return keys, weights, row["similarity_counts"]


def gains(window: int, forward: float, reverse: float, power: float = 1.0) -> tuple[Array, Array]:
    """Return float32[window] twice, what pairs of each rank weigh: the later item, the earlier one.

    They weigh 1 / rank^power.
    """
    ranks = np.arange(1.0, window + 1.0) ** power
    return (forward / ranks).astype(np.float32), (reverse / ranks).astype(np.float32)


@njit(cache=True, nogil=True)
def learn_pairs(lists, pairs, events, by):  # type: ignore[no-untyped-def]
    """Add the fresh pairs of ranks below the window to lists, a plain tuple as PairLists.

    pairs: updates.PAIR[...]; events: updates.Learnt.events; by: (gains, half-life ms, 0: no decay).
    gains: two float32[window].
    """
    known, fresh, weights, ts = events
    changed, learnt, row_changed = lists[5], lists[6], lists[7]
    gains, reverse_gains, half_life = by
    for pair in pairs:
        b, e, row = np.int64(pair.rank & 127), pair.event, known[pair.key]
        if b >= len(gains) or row < 0 or not fresh[e]:  # b = 0: the newest earlier item
            continue
        forward = pair.rank < REVERSE
        gain = gains[b] if forward else reverse_gains[b]
        if gain > 0.0:
            one = (pair.other, gain * weights[e], np.uint32(forward), ts[e])
            note(changed, row, add_pair(lists, row, one, half_life))
            if forward and len(learnt) > 0:
                learnt[row] += 1
                row_changed[row] = ALL


@njit(cache=True, nogil=True)
def add_pair(lists, row, pair, half_life_ms):  # type: ignore[no-untyped-def]
    """Add pair = (key, weight, count, event time ms) to the list of `row` in PairLists.

    The whole list decays to the newest event time of the row; a late event arrives decayed.
    Returns the only entry that changed, -1: all.
    lists: PairLists; row: int32; key: uint64; event time: int64.
    """
    keys, weights, counts, sizes, clocks = lists[:5]
    other, weight, count, ts = pair
    size, all_changed = np.int64(sizes[row]), False
    if half_life_ms > 0.0:
        age = ts - clocks[row]
        if age > 0:
            decay = np.float32(2.0 ** (-age / half_life_ms))
            for n in range(size):
                weights[row, n] *= decay
            clocks[row], all_changed = ts, True
        else:
            weight = weight * 2.0 ** (age / half_life_ms)
    at = _index_of(keys[row], size, other)
    if at >= 0:
        weights[row, at] += weight
        if counts.shape[1] > 0:
            counts[row, at] += count
        return -1 if all_changed else at
    if size == keys.shape[1]:
        size, all_changed = _prune(keys, weights, counts, row), True
    keys[row, size] = other
    weights[row, size] = weight
    if counts.shape[1] > 0:
        counts[row, size] = count
    sizes[row] = size + 1
    return -1 if all_changed else size


@njit(cache=True, nogil=True)
def _index_of(keys, size, other):  # type: ignore[no-untyped-def]
    """Return where `other` is among the first `size` of keys uint64[2K], or -1.

    No early exit, so it vectorises: three times faster.
    """
    at = -1
    for n in range(size):
        if keys[n] == other:
            at = n
    return at


@njit(cache=True, nogil=True)
def _prune(keys, weights, counts, row):  # type: ignore[no-untyped-def]
    """Keep the better half of a full list [rows, 2K], in its order; return how many.

    keys: uint64[rows, 2K]; weights: float32[rows, 2K]; counts: uint32[rows, 2K], or no columns.
    """
    keep = keys.shape[1] // 2
    order = np.sort(np.argsort(weights[row])[keep:])
    for n in range(len(order)):
        keys[row, n] = keys[row, order[n]]
        weights[row, n] = weights[row, order[n]]
        if counts.shape[1] > 0:
            counts[row, n] = counts[row, order[n]]
    return len(order)


@njit(cache=True, nogil=True)
def sum_weights(weights, sizes, rows, totals):  # type: ignore[no-untyped-def]
    """Set totals float32[items] of some rows to the sum of weights float32[items, 2K] in use."""
    for row in rows:
        totals[row] = weights[row, : sizes[row]].sum()


@njit(cache=True, nogil=True)
def _scales(totals, past, decay, prior):  # type: ignore[no-untyped-def]
    """Return what the weights of each past item's list count, and the mass left for popularity.

    totals: float32[items] sums of the weights; past: int32[n], newest first.
    """
    scales, step, mass = np.zeros(len(past)), 1.0, 0.0
    for b in range(len(past)):
        total = totals[past[b]] + prior
        if total > 0.0:
            scales[b] = step / total
        mass += scales[b] * prior
        step *= decay
    return scales, mass
