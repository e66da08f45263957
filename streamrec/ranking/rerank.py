"""From the blend's scores to the order of one list: filters, boosts, rotation, variety."""

from collections.abc import Hashable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from streamrec.expressions import filters
from streamrec.ranking.caps import Caps
from streamrec.ranking.variety import WAYS, diversify
from streamrec.settings.place_rules import Place
from streamrec.sources.popularity import LOG_FLOOR, LONG, log_share
from streamrec.sources.segment import SEGMENT_PREFIX
from streamrec.sources.source import Shopper
from streamrec.state.item_table import ItemTable

Array = NDArray[Any]
DEEP = 5
"""Variety is looked for among so many times the list's length."""


class Moment(NamedTuple):
    """What the fields of all items go by."""

    now: int  # newest event time, ms
    log2_total: float  # of the week's popularity


class Reranker:
    """Orders candidates by the rules of a place; without any of them, by score alone.

    All candidates have passed the filters (passing.py).
    """

    def __init__(self, place: Place, more_filters: Sequence[str] = ()) -> None:
        self.place = place
        self.rules = filters.make_rules((*place.filters, *more_filters), place.boosts)
        self._way, self.caps = WAYS[place.diversity], Caps(place.caps)

    @property
    def reorders(self) -> bool:
        """Whether a list is not simply what has the highest score."""
        place = self.place
        return bool(self.rules.filters or self._way or self.caps or place.pins)

    @property
    def pool(self) -> Hashable:
        """Of which items it makes lists: places with the same pool share their candidates."""
        ages = self.place.exclude
        texts = tuple(expression.text for expression in self.rules.filters)
        return (
            texts,
            self.place.pins,
            None if ages is None else tuple(sorted(ages.items())),
            self.voices,
        )

    @property
    def voices(self) -> Hashable:
        """Whose blend it is: places of the same are one mixture (mixture.py)."""
        own = self.place.sources
        return self.place.blend, self.place.off, None if own is None else tuple(own.items())

    def pinned(self, table: ItemTable) -> NDArray[np.int32]:
        """Return the rows of the pinned items that are known."""
        rows = [table.row_of[item] for item in self.place.pins if item in table.row_of]
        return np.array(rows, np.int32)

    def order(
        self, candidates: Array, scores: NDArray[np.float64], shopper: Shopper, table: ItemTable
    ) -> tuple[Array, NDArray[np.float64]]:
        """Return int64[length], the list as places in `candidates`, and the scores with boosts."""
        place = self.place
        if self.rules.boosts and len(candidates):
            at = moment_of(table)
            items = [item_fields(table, row, shopper, at) for row in candidates.tolist()]
            scores = filters.boosted(self.rules, items, user_fields(table, shopper), scores)
        if place.rotation and shopper.shown:
            times = np.array([shopper.shown.get(row, 0) for row in candidates.tolist()])
            scores = scores - place.rotation * np.log1p(times)
        best = np.argsort(-scores, kind="stable")
        first = best[:0]
        if place.pins:
            first = _where(self.pinned(table), candidates)[: place.length]
            best = best[~np.isin(best, first)]
        if self.caps:
            each = candidates[np.concatenate([first, best])].tolist()
            best = best[self.caps.within(each, table)[len(first) :]]
        left = place.length - len(first)
        if self._way is not None and left and len(best) > 1:
            deep = best[: DEEP * left]
            vectors = unit_vectors(table, candidates[deep])
            best = deep[diversify(self._way, scores[deep], vectors, left, place.diversity_budget)]
        return np.concatenate([first, best[:left]]), scores

    def trace(self, table: ItemTable, row: int, shopper: Shopper) -> list[str]:
        """Return which filters remove an item, and which boosts it has."""
        if not (self.rules.filters or self.rules.boosts):
            return []
        return filters.trace(
            self.rules,
            item_fields(table, row, shopper, moment_of(table)),
            user_fields(table, shopper),
        )


def _where(rows: Array, candidates: Array) -> NDArray[np.int64]:
    """Return the places of rows in `candidates`, in the order of the rows; none of the absent."""
    at = {row: place for place, row in enumerate(candidates.tolist())}
    found = dict.fromkeys(at[row] for row in rows.tolist() if row in at)
    return np.array(list(found), np.int64)


def moment_of(table: ItemTable) -> Moment:
    """Return what the fields of all items go by; it takes a look at every item."""
    return Moment(table.now(), float(table.log2_totals()[LONG]))


def item_fields(table: ItemTable, row: int, shopper: Shopper, at: Moment) -> dict[str, Any]:
    """Return what an expression may ask of an item."""
    arrays = table.arrays
    share = float(log_share(arrays.heats[row, LONG], at.log2_total))
    born = int(arrays.born[row])
    entry = table.details.get(row)
    return {
        "item": table.ids[row] or "",
        "title": entry.title if entry else "",
        "categories": entry.categories if entry else [],
        "text": entry.text if entry else "",
        "attributes": entry.attributes if entry else {},
        "available": bool(arrays.available[row]),
        "age": (at.now - born) / 1000.0 if born else None,
        "popularity": float(np.exp(share)) if share > LOG_FLOOR else 0.0,
        "seen": row in shopper.history
        or bool((shopper.row.seen == int(table.keys[row]) & 0xFFFFFFFF).any()),
    }


def user_fields(table: ItemTable, shopper: Shopper) -> dict[str, Any]:
    """Return what an expression may ask of a user."""
    return {
        "id": shopper.name,
        "events": shopper.row.events,
        "segment": _segment(table, shopper.row.segment),
        "history": [table.ids[row] or "" for row in shopper.history.tolist()],
    }


def _segment(table: ItemTable, key: int) -> str | None:
    row = int(table.index.rows(np.array([key], np.uint64))[0]) if key else -1
    name = table.ids[row] if row >= 0 else None
    return None if name is None else name.removeprefix(SEGMENT_PREFIX)


def unit_vectors(table: ItemTable, rows: Array | Sequence[int]) -> NDArray[np.float32]:
    """Return float32[n, K + D]: the items' factors and contents, each of unit length, halved."""
    factors = table.arrays.targets[rows]
    lengths = np.maximum(np.linalg.norm(factors, axis=1, keepdims=True), 1e-9)
    out = np.concatenate([factors / lengths, table.arrays.content[rows]], axis=1)
    lengths = np.maximum(np.linalg.norm(out, axis=1, keepdims=True), 1e-9)
    unit: NDArray[np.float32] = (out / lengths).astype(np.float32)
    return unit
