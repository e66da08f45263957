"""What fits several items, from the lists of each: reciprocal rank fusion under the place's caps.

The formula is public (docs/places.md): readers in other languages do the same.
"""

from collections import Counter
from collections.abc import Callable, Collection, Hashable, Mapping, Sequence
from typing import Generic, NamedTuple, TypeVar

import msgspec

T = TypeVar("T", bound=Hashable)
FUSION = 60
"""As in Cormack, Clarke and Büttcher (SIGIR 2009), and in blend.vote."""
Values = Callable[[T], Mapping[str, Sequence[Hashable]]]
"""Of an item, its values of each capped field."""


class Merged(NamedTuple, Generic[T]):
    """One item of a merged list."""

    item: T
    score: float
    lists: list[int]  # numbers of the lists that hold it, rising


def merged(lists: Sequence[Sequence[T]], out: Collection[T]) -> list[Merged[T]]:
    """Return what is in any of the lists, best first, but for `out`.

    s_j = sum over the lists that hold j of 1 / (60 + rank), ranks from 1 as the lists stand; of
    equals the one that the earlier list holds higher comes first.
    """
    scores: dict[T, float] = {}
    held: dict[T, list[int]] = {}
    for number, items in enumerate(lists):
        for rank, item in enumerate(items, start=1):
            if item not in out:
                scores[item] = scores.get(item, 0.0) + 1.0 / (FUSION + rank)
                held.setdefault(item, []).append(number)
    best = sorted(scores, key=lambda item: -scores[item])  # stable
    return [Merged(item, scores[item], held[item]) for item in best]


def within(
    found: Sequence[Merged[T]], caps: Mapping[str, int], pinned: Collection[T], values: Values[T]
) -> list[Merged[T]]:
    """Return those that the caps leave: of each value at most so many; pinned ones always stay."""
    if not caps:
        return list(found)
    counts: Counter[tuple[str, Hashable]] = Counter()
    kept = []
    for one in found:
        of = values(one.item)
        mine = [(field, value) for field in caps for value in of.get(field, ())]
        if one.item in pinned or all(counts[key] < caps[key[0]] for key in mine):
            counts.update(mine)
            kept.append(one)
    return kept


class StoredItem(msgspec.Struct):
    """One item of an item's list at a place, as it is stored."""

    item: str
    score: float
    source: str = ""
    of: dict[str, list[str | float | bool]] = {}


class Stored(msgspec.Struct):
    """An item's list at a place, as it is stored; docs/redis.md."""

    item: str
    place: str
    at: int
    model: str
    items: list[StoredItem]
    caps: dict[str, int] = {}
    pinned: int = 0


class Fitting(NamedTuple):
    """One item that fits a basket."""

    item: str
    score: float
    source: str  # as the first list that holds it says
    because: list[str]  # items of the basket whose lists hold it


def fitting(lists: Sequence[Stored], out: Collection[str]) -> list[Fitting]:
    """Return what fits the items whose stored lists these are, as long as the longest of them."""
    known = {one.item: one for each in reversed(lists) for one in each.items}
    found = merged([[one.item for one in each.items] for each in lists], out)
    caps = {name: most for each in lists for name, most in each.caps.items()}
    pinned = {one.item for each in lists for one in each.items[: each.pinned]}
    left = within(found, caps, pinned, lambda item: known[item].of)
    return [
        Fitting(item, score, known[item].source, [lists[n].item for n in held])
        for item, score, held in left[: max((len(each.items) for each in lists), default=0)]
    ]
