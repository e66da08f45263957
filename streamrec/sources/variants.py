"""Variants: other items of the same title as what the user takes, where titles are kinds.

A grocer's title is a kind in one size, and its items are makers of it. Score of j, an item that the
user has not taken: takes_g exp(z.t_j + b_j), g being j's title, takes_g how often the user took
items of it, z, t, b those of factors.py. So, of the titles that the user takes, what goes with the
latest items. Each title keeps its `items` most popular, by the decayed counts of a week; an event
moves one item in one title. What fell out of a full one comes back with its next event. Bound: 4
bytes for each of the `items` places of each title.
"""

import math
from collections.abc import Sequence
from typing import Annotated, Any

import numpy as np
from msgspec import Meta
from numba import njit
from numpy.typing import NDArray

from streamrec.settings.types import Section
from streamrec.sources.popularity import LONG
from streamrec.sources.source import Said, Shopper, Source
from streamrec.sources.user_vector import FAST, mean_of
from streamrec.state.keys import KeyIndex, grow, key_of
from streamrec.state.schema import Column

Array = NDArray[Any]
MOST = 40.0
"""Beyond it, a product of vectors counts as so much: e^40 is finite."""


class VariantSettings(Section, frozen=True, kw_only=True):
    """Items of the same title as what the user takes."""

    items: Annotated[int, Meta(ge=0, le=1000)] = 0
    """Most popular items of a title; 0 switches this source off."""


class Groups:
    """Which items a group has, its most popular first; groups are numbered as they are met."""

    def __init__(self, items: int) -> None:
        self._index = KeyIndex()
        self.numbers: Array = np.full(1024, -1, np.int32)  # of each row's group, -1: none
        self.lists: Array = np.zeros((256, items), np.int32)
        self.sizes: Array = np.zeros(256, np.int32)
        self.weights: Array = np.zeros(256)  # to work in, all 0
        self.met: Array = np.zeros(256, np.int32)  # to work in

    def refresh(self, keys: Array, heats: Array, servable: Array, rows: Array) -> None:
        """Bring rows up to date: keys uint64[items] of their groups, 0 for none; heats float64."""
        named, size = keys[rows], len(self.numbers)
        self.numbers = grow(self.numbers, len(keys))
        self.numbers[size:] = -1
        now = np.full(len(rows), -1, np.int32)
        now[named != 0] = self._index.add(named[named != 0])
        for name in ("lists", "sizes", "weights", "met"):
            setattr(self, name, grow(getattr(self, name), self._index.size))
        _refresh((self.lists, self.sizes, self.numbers), rows, now, heats, servable)


class Variants(Source):
    """What has the same title as something the user takes."""

    name = section = "variants"
    Settings = VariantSettings
    optional = True

    def __init__(self, settings: Any) -> None:
        self._items: int = settings.variants.items
        factors = settings.factors
        self._context, self._by = factors.context, (factors.context_decay, factors.context_norm)
        self._groups, self._table = Groups(self._items), None

    def active(self) -> bool:
        """Say whether titles have items."""
        return self._items > 0

    def columns(self) -> Sequence[Column]:
        """Return, for readers alone, the key of the item's title, 0 for none."""
        return (Column("title_key", "<u8", kind="catalogue", stored=False),)

    def describe(self, arrays: Any, row: int, entry: Any, memory: Any) -> None:
        """Note the title of an item whose metadata came."""
        arrays.title_key[row] = key_of(entry.title.casefold()) if entry.title else 0

    def prepare(self, table: Any) -> None:
        """Bring the titles up to date with the items that changed."""
        rows, n = table.changed, len(table.servable)
        if self._table is not table.table:  # its rows are other items
            self._groups, self._table = Groups(self._items), table.table
            rows = np.arange(n)
        keys = table.table.arrays.title_key[:n]
        self._groups.refresh(keys, table.heats[:, LONG], table.servable, rows)

    def score(self, arrays: Any, user: Shopper, scores: Array, touched: Array) -> Said:
        """Score the items of the user's titles."""
        g, z = self._groups, self._vector(arrays, user)
        groups = g.lists, g.sizes, g.numbers, g.weights, g.met
        factors = z, arrays.targets, arrays.bias
        return Said(*_score(groups, (user.history, user.takes), factors, scores, touched))

    def support(self, arrays: Any, user: Shopper, rows: Array, where: Array) -> Array:
        """Return each past item's share of what its title brings: by how often it was taken."""
        factors = self._vector(arrays, user), arrays.targets, arrays.bias
        out = np.zeros((len(rows), len(user.history)))
        groups = self._groups.lists, self._groups.sizes, self._groups.numbers
        _support(groups, (user.history, user.takes), factors, rows, out)
        return out

    def _vector(self, arrays: Any, user: Shopper) -> Array:
        z = np.zeros(arrays.targets.shape[1], np.float32)
        mean_of(arrays.contexts, user.history[: self._context], self._by, z)
        return z


@njit(cache=True, nogil=True)
def _refresh(groups, rows, now, heats, servable):  # type: ignore[no-untyped-def]
    """Take rows out of their groups, and put those that may be shown into the groups `now`.

    groups: (rows int32[groups, W], sizes int32[groups], group int32[items]); rows, now: int32[n].
    """
    lists, sizes, numbers = groups
    for n in range(len(rows)):
        row, old, new = rows[n], numbers[rows[n]], now[n]
        if old >= 0:
            sizes[old] = _without(lists[old], sizes[old], row)
        numbers[row] = new
        if new >= 0 and servable[row] and heats[row] > -np.inf:
            sizes[new] = _with(lists[new], sizes[new], row, heats)


@njit(cache=True, nogil=True)
def _without(order, size, row):  # type: ignore[no-untyped-def]
    """Take a row out of the first `size` of order int32[K]; return how many stay."""
    left = 0
    for n in range(size):
        order[left] = order[n]
        left += order[n] != row
    return left


@njit(cache=True, nogil=True)
def _with(order, size, row, heats):  # type: ignore[no-untyped-def]
    """Put a row in its place in order int32[K], hottest first; the last may fall out."""
    at = size
    while at > 0:
        other = order[at - 1]
        if heats[other] > heats[row] or (heats[other] == heats[row] and other < row):
            break
        if at < len(order):
            order[at] = other
        at -= 1
    if at < len(order):
        order[at] = row
    return min(size + 1, len(order))


@njit(cache=True, nogil=True, fastmath=FAST)
def _suits(factors, j):  # type: ignore[no-untyped-def]
    """Return exp(z.t_j + b_j).

    factors: (z float32[K], t float32[items, K], b float32[items]).
    """
    z, targets, bias = factors
    t, s = targets[j], np.float32(0.0)
    for k in range(len(z)):
        s += z[k] * t[k]
    return math.exp(min(MOST, max(-MOST, s + bias[j])))


@njit(cache=True, nogil=True)
def _score(groups, past, factors, scores, touched):  # type: ignore[no-untyped-def]
    """Write the scores and list their rows; return how many, and their sum.

    groups: (int32[groups, K] rows, sizes, int32[items] numbers, float64[groups] zeros, int32[...]
    to work in); past: (history int32[n], takes uint8[n]); factors: (z, targets, bias).
    """
    (lists, sizes, numbers, weights, met), (history, takes) = groups, past
    count = found = 0
    for b in range(len(history)):
        h = history[b]
        g = numbers[h] if h < len(numbers) else -1
        if g >= 0:
            if weights[g] == 0.0:
                met[count] = g
                count += 1
            weights[g] += max(1.0, takes[b])
        scores[h] = -1.0  # taken: no news
    total = 0.0
    for n in range(count):
        g = met[n]
        for k in range(sizes[g]):
            j = lists[g, k]
            if scores[j] == 0.0:
                scores[j] = weights[g] * _suits(factors, j)
                total += scores[j]
                touched[found] = j
                found += 1
        weights[g] = 0.0
    for b in range(len(history)):
        scores[history[b]] = 0.0
    return found, total


@njit(cache=True, nogil=True)
def _support(groups, past, factors, rows, out):  # type: ignore[no-untyped-def]
    """Set out float64[rows, history] to what each past item adds to the score of each row."""
    (lists, sizes, numbers), (history, takes) = groups, past
    for r in range(len(rows)):
        j = rows[r]
        g = numbers[j] if j < len(numbers) else -1
        if g < 0 or (history == j).any() or not (lists[g, : sizes[g]] == j).any():
            continue
        by = _suits(factors, j)
        for b in range(len(history)):
            if history[b] < len(numbers) and numbers[history[b]] == g:
                out[r, b] = max(1.0, takes[b]) * by
