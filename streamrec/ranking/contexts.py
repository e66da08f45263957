"""Lists for the page of an item and for a basket: what somebody gets who took these items alone."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from streamrec.blend.basket import Merged, merged, within
from streamrec.ranking.lists import ListMaker, Ranked
from streamrec.ranking.published import ContextItem, ContextList
from streamrec.ranking.rerank import Reranker
from streamrec.ranking.shoppers import NO_SEGMENT
from streamrec.settings.place_rules import Place
from streamrec.sources.source import Shopper
from streamrec.state.item_table import ItemTable
from streamrec.state.user_rows import no_user

Array = NDArray[Any]
ONE = np.ones(1, np.uint8)
NOW = np.ones(1, np.bool_)
NEVER = np.zeros(1, np.uint8)


class Told(NamedTuple):
    """A list for a context, as table rows, best first."""

    rows: list[int]
    scores: list[float]


class ContextMaker:
    """Makes lists of items at one place of context `item` or `basket`."""

    def __init__(self, place: Place, more_filters: Sequence[str] = ()) -> None:
        self.place = place
        # what a person has had is left out when the list is read: it is nobody's when it is made
        self.rules = Reranker(place._replace(exclude=None, rotation=0.0), more_filters)

    def ranked(self, lists: ListMaker, table: ItemTable, rows: Sequence[int]) -> list[Ranked]:
        """Return for each item the list of who has taken it alone; the item is not in it."""
        return lists.rank([taken_only(row, table) for row in rows], table, rules=self.rules)

    def listed(
        self, lists: ListMaker, table: ItemTable, person: Ranked, rows: Sequence[int]
    ) -> Told:
        """Return what a person gets who asks with some items, without what is left out for them.

        person: their own list at the place, which stands where no item has any to offer.
        """
        each = self.ranked(lists, table, rows) if rows else []
        orders = [one.candidates[one.order].tolist() for one in each]
        out = {*rows, *lists.left_out(person.shopper).tolist()}
        most = max(map(len, orders), default=0)
        found = self._within(merged(orders, out), table)[:most]
        if found:
            return Told([one.item for one in found], [one.score for one in found])
        mine = [n for n in person.order.tolist() if int(person.candidates[n]) not in out]
        return Told(person.candidates[mine].tolist(), (person.scores[mine] - person.level).tolist())

    def published(
        self, lists: ListMaker, table: ItemTable, rows: Sequence[int], at: int, model: str
    ) -> list[ContextList]:
        """Return the lists of items as they are stored; at: epoch ms."""
        found, place = [], self.place
        pinned = set(self.rules.pinned(table).tolist())
        for row, one in zip(rows, self.ranked(lists, table, rows), strict=True):
            made = lists.named(one, table, place)
            listed = one.candidates[one.order].tolist()
            items = [
                ContextItem(item.item, item.score, item.source, self._values(table, j))
                for item, j in zip(made.items, listed, strict=True)
            ]
            first = sum(j in pinned for j in listed)
            name = table.ids[row] or ""
            caps = dict(place.caps)
            found.append(ContextList(name, place.name, at, model, items, caps, first))
        return found

    def _within(self, found: Sequence[Merged[int]], table: ItemTable) -> list[Merged[int]]:
        pinned = self.rules.pinned(table).tolist()
        return within(found, self.place.caps, pinned, lambda row: self._values(table, row))

    def _values(self, table: ItemTable, row: int) -> dict[str, list[Any]]:
        return self.rules.caps.values(table, row)


def taken_only(row: int, table: ItemTable) -> Shopper:
    """Return who has taken one item and nothing else."""
    one, now = np.array([row], np.int32), np.array([table.now()], np.int64)
    stored = no_user()._replace(
        events=1, recent=1, keys=table.keys[one], ts=now, types=np.zeros(1, np.uint8), takes=ONE
    )
    return Shopper(one, ONE, NOW, one, stored.seen, NO_SEGMENT, now, NEVER, row=stored)


def left_out(lists: ListMaker, table: ItemTable, shopper: Shopper) -> list[str]:
    """Return the ids of what a person is not to be shown, of the items that are available."""
    rows = dict.fromkeys(lists.left_out(shopper).tolist())
    return [table.ids[row] or "" for row in rows if table.arrays.available[row]]
