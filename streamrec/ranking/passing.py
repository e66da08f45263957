"""Which items of the table pass the filters of a list: found before candidates are, for all items.

What is the same for all users is worked out once after each refresh of the table; of what an item
keeps (category, price) only for items that changed. The user's own part comes on top, for each.
"""

import math
from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from streamrec.expressions.columns import (
    MOST_VALUES,
    Coded,
    Kept,
    Mask,
    conjuncts,
    is_personal,
    mask,
)
from streamrec.expressions.expression import Expression, Fields, Test
from streamrec.expressions.syntax import Node
from streamrec.ranking.seen import SeenIndex
from streamrec.ranking.views import Catalogue
from streamrec.sources.popularity import LOG_FLOOR, LONG
from streamrec.sources.source import Shopper
from streamrec.state.item_table import ItemTable

Array = NDArray[Any]
MOST_COLUMNS = 32
"""Fields that are kept by their values, 4 bytes an item each; the latest that were asked for."""
MOST_TESTS = 32
"""Comparisons whose answers are kept, a byte an item each."""
FEW_OF = 8
"""Filters that leave fewer than a part in so many are worth picking the items out for."""
MOST_COMMON = 16
"""Filters of which is kept, until the table changes, which items pass."""


class Passing(NamedTuple):
    """The items that a list may hold by its filters."""

    allowed: Mask  # bool[items], of those that are servable
    size: int  # how many
    picked: bool  # they are few: what is asked of all items is asked of them alone
    rows: Array  # int32[...]: which, rising; none where they are not few


class PassingItems:
    """Tells which items pass, of the table that it was last brought up to date with."""

    def __init__(self) -> None:
        self._table: ItemTable | None = None
        self._catalogue: Catalogue | None = None
        self._seen = SeenIndex()
        self._coded: OrderedDict[str, Coded | None] = OrderedDict()
        self._kept = Kept(MOST_TESTS)
        self._common: OrderedDict[tuple[str, ...], Passing] = OrderedDict()
        self._moving: dict[str, NDArray[np.float64]] = {}

    def refresh(
        self, table: ItemTable, catalogue: Catalogue, seen: SeenIndex, changed: Array
    ) -> None:
        """Take over what changed; changed: rows, of this table since the last call."""
        self._seen = seen
        if self._table is not table:
            self._coded.clear()
            self._kept = Kept(MOST_TESTS)
            self._table = table
        self._catalogue = catalogue
        self._common.clear()
        self._moving.clear()
        columns = _OfAll(self, table, catalogue, None)
        for name, coded in self._coded.items():
            if coded is not None and not coded.take(len(table), changed, columns.read):
                self._coded[name] = columns.new_coded(name, MOST_VALUES // 2)
        self._kept.take(changed, columns)

    def of(
        self, filters: Sequence[Expression], shopper: Shopper, user: Callable[[], Fields]
    ) -> Passing | None:
        """Return what all filters hold for; None without any. user: reads the user's fields.

        It is the same object as long as it is the same for all users, and the table is.
        """
        if not filters:
            return None
        assert self._table is not None and self._catalogue is not None, "refresh first"
        common, personal = self._common_of(filters)
        if not personal:
            return common
        fields, allowed = user(), common.allowed
        columns = _OfAll(self, self._table, self._catalogue, shopper)
        for node in personal:
            allowed = allowed & mask(node, fields, columns, allowed)
        return passing(allowed)

    def _common_of(self, filters: Sequence[Expression]) -> tuple[Passing, list[Node]]:
        """Return what passes for everybody, and what else has to hold for a user."""
        assert self._table is not None and self._catalogue is not None
        parts = [node for each in filters for node in conjuncts(each.root)]
        common = [node for node in parts if not is_personal(node)]
        texts = tuple([node.text for node in common])
        found = self._common.pop(texts, None)
        if found is None:
            allowed = self._catalogue.servable
            columns = _OfAll(self, self._table, self._catalogue, None)
            for node in common:
                allowed = allowed & mask(node, {}, columns, allowed)
            found = passing(allowed)
        self._common[texts] = found
        if len(self._common) > MOST_COMMON:
            self._common.popitem(last=False)
        return found, [node for node in parts if is_personal(node)]

    def coded(self, name: str, columns: "_OfAll") -> Coded | None:
        """Return a field by its values; the first time, all items are read."""
        if name in self._coded:
            self._coded.move_to_end(name)
        else:
            self._coded[name] = columns.new_coded(name, MOST_VALUES)
            if len(self._coded) > MOST_COLUMNS:
                self._coded.popitem(last=False)
        return self._coded[name]

    def answers(self, key: Hashable, test: Test, names: frozenset[str], columns: "_OfAll") -> Mask:
        """Return the kept answers of a test for each item."""
        return self._kept.of(key, test, names, columns)

    def had(self, shopper: Shopper) -> Array:
        """Return the rows of what a user has seen, longer ago or lately."""
        return np.concatenate([shopper.history, self._seen.rows_of(shopper.row.seen)])

    def moving(self, name: str, make: Callable[[], NDArray[np.float64]]) -> NDArray[np.float64]:
        """Return a column of numbers as it is until the table changes."""
        if name not in self._moving:
            self._moving[name] = make()
        return self._moving[name]


def passing(allowed: Mask) -> Passing:
    """Return what a mask of servable items lets pass."""
    count = int(np.count_nonzero(allowed))
    picked = count * FEW_OF < len(allowed)
    rows = np.flatnonzero(allowed).astype(np.int32) if picked else np.zeros(0, np.int32)
    return Passing(allowed, count, picked, rows)


class _OfAll:
    """The fields of all rows of a table, and of a user what they have seen; expressions.Columns."""

    def __init__(
        self, owner: PassingItems, table: ItemTable, catalogue: Catalogue, shopper: Shopper | None
    ) -> None:
        self._owner, self._table = owner, table
        self._catalogue, self._shopper = catalogue, shopper
        self.size = len(catalogue.servable)

    def read(self, name: str, row: int) -> Any:
        """Return a field that an item keeps."""
        table = self._table
        if name == "item":
            return table.ids[row] or ""
        if name == "available":
            return bool(table.arrays.available[row])
        entry = table.details.get(row)
        if entry is None:
            return None
        if name in ("title", "text", "categories"):
            return getattr(entry, name)
        return entry.attributes.get(name.removeprefix("attributes."))

    def item(self, number: int, names: frozenset[str]) -> Fields:
        out: dict[str, Any] = {"attributes": {}}
        for name in names:
            if name in ("age", "popularity"):
                value = float(self.numbers(name)[number])
                out[name] = None if math.isnan(value) else value
            elif name.startswith("attributes."):
                out["attributes"][name.removeprefix("attributes.")] = self.read(name, number)
            elif name != "seen":
                out[name] = self.read(name, number)
        return out

    def coded(self, name: str) -> Coded | None:
        return self._owner.coded(name, self)

    def new_coded(self, name: str, most: int) -> Coded | None:
        """Read a field of all items; None where it has more than `most` values."""
        coded, step = Coded(name), MOST_VALUES
        for first in range(0, self.size, step):
            rows = np.arange(first, min(first + step, self.size))
            if not coded.take(self.size, rows, self.read) or coded.count > most:
                return None
        return coded

    def answers(self, key: Hashable, test: Test, names: frozenset[str]) -> Mask:
        return self._owner.answers(key, test, names, self)

    def called(self, name: str) -> int:
        row = self._table.row_of.get(name, -1)
        return row if row < self.size else -1

    def numbers(self, name: str) -> NDArray[np.float64]:
        return self._owner.moving(name, self._age if name == "age" else self._popularity)

    def seen(self) -> Mask:
        assert self._shopper is not None, "only a user's part reads it"
        seen = np.zeros(self.size, np.bool_)
        seen[self._owner.had(self._shopper)] = True
        return seen

    def _age(self) -> NDArray[np.float64]:
        born, now = self._catalogue.born, self._catalogue.now
        return np.where(born != 0, (now - born) / 1000.0, np.nan)

    def _popularity(self) -> NDArray[np.float64]:
        total = self._catalogue.log2_totals[LONG]
        shares = np.maximum(math.log(2.0) * (self._catalogue.heats[:, LONG] - total), LOG_FLOOR)
        return np.where(shares > LOG_FLOOR, np.exp(shares), 0.0)
