"""The lists of items, written by one scorer at a time, at a bounded rate."""

import logging
import secrets
import time
from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from streamrec.errors import StoreError
from streamrec.monitoring.metrics import Metrics
from streamrec.ranking.contexts import ContextMaker
from streamrec.ranking.item_lists import ItemListMaker, is_item
from streamrec.ranking.lists import ListMaker
from streamrec.roles.scoring.popular_lists import PopularLists
from streamrec.settings.place_rules import contexts
from streamrec.settings.sections import Settings
from streamrec.state.item_table import ItemTable
from streamrec.transport.redis.item_lists import store_item_lists, take_turn
from streamrec.transport.redis.store import Store

logger = logging.getLogger(__name__)
CHANGED = 0.05
"""A list is made again when the counts that it rests on have changed by this share."""
WORK = 1_000_000
"""Items looked through in one go, at most: a list of people is not held up by those of items."""
TURN_SECONDS = 5.0
"""A scorer that has not been heard of for so long is no more the one that writes."""
LOOK_SECONDS = 0.25
Array = NDArray[Any]


class ItemLists:
    """Keeps `sim:<item>` near what the item table says; those who wait longest come first.

    Bound: items.similar_per_second lists; as many numbers as the table has rows.
    """

    def __init__(
        self, settings: Settings, store: Store, metrics: Metrics, lists: ListMaker
    ) -> None:
        """Start with nothing known of what is stored; lists: prepared for each look's table."""
        self._settings, self._store, self._metrics = settings, store, metrics.items
        self._lists = lists
        self._places = [ContextMaker(place) for place in contexts(settings)]
        self._errors = metrics.redis_errors.labels("score")
        self._maker = ItemListMaker(settings)
        self._popular = PopularLists(settings, store, metrics)
        self._turn = Turn(store)
        self._table: ItemTable | None = None
        self._forget()

    def look(self, table: ItemTable, model: str, now: float) -> None:
        """Write lists that are due; a Redis that refuses holds up no list of people.

        now: seconds of a clock that never goes back.
        """
        if not self._settings.items.similar_length and not self._places:
            return
        try:
            if not self._turn.come(now):
                return
            if not self._turn.mine or table is not self._table:
                self._forget()  # what is stored is not ours to know
                self._table = table
            if self._turn.mine:
                most = max(1, round(self._settings.items.similar_per_second * LOOK_SECONDS))
                self._write(table, model, most, now)
                if self._settings.items.similar_length:
                    self._popular.look(table, model, most, now)
        except StoreError as error:
            self._errors.inc()
            self._forget()
            logger.warning("lists of items cannot be stored", extra={"cause": str(error)})

    def _forget(self) -> None:
        self._table = None
        self._popular.forget()
        self._totals = np.zeros(0, np.float32)  # what stored lists rest on, NaN: none is stored
        self._stored = np.zeros(0)  # when, seconds
        self._since = np.zeros(0)  # since when due, seconds; infinite: it is not
        self._metrics.due.set(0)

    def _write(self, table: ItemTable, model: str, most: int, now: float) -> None:
        n, arrays = len(table), table.arrays
        if new := n - len(self._totals):
            self._totals = np.append(self._totals, np.full(new, np.nan, np.float32))
            self._stored = np.append(self._stored, np.full(new, -np.inf))
            self._since = np.append(self._since, np.full(new, np.inf))
        totals = arrays.similarity_total[:n]
        moved = ~(np.abs(totals - self._totals) <= CHANGED * self._totals)
        moved |= now - self._stored > self._settings.lists.ttl_seconds / 2
        due = np.flatnonzero(moved & arrays.stored[:n])
        self._since[due] = np.minimum(self._since[due], now)
        most = max(1, min(most, WORK // max(n, 1)))
        rows = due[np.argsort(self._since[due], kind="stable")[:most]]
        self._metrics.due.set(len(due) - len(rows))
        if not len(rows):
            return
        lists = self._made(table, rows.tolist(), model)
        store_item_lists(self._store, lists, self._settings.lists.ttl_seconds)
        self._metrics.published.inc(len(lists))
        for waited in (now - self._since[rows]).tolist():
            self._metrics.wait_seconds.observe(waited)
        self._totals[rows], self._stored[rows], self._since[rows] = totals[rows], now, np.inf

    def _made(
        self, table: ItemTable, rows: Sequence[int], model: str
    ) -> dict[tuple[str, str], bytes]:
        """Return by item and place the lists that are not empty."""
        at = int(time.time() * 1000)
        lists: dict[tuple[str, str], bytes] = {}
        if self._settings.items.similar_length:
            for one in self._maker.make(table, rows, at):
                if one.follows or one.like:
                    lists[one.item, ""] = msgspec.json.encode(one)
        named = [row for row in rows if is_item(table.ids[row])]
        for place in self._places:
            for listed in place.published(self._lists, table, named, at, model):
                if listed.items:
                    lists[listed.item, listed.place] = msgspec.json.encode(listed)
        return lists


class Turn:
    """Asks for the turn among the scorers, and keeps it by asking again.

    Two that hold it at once do no harm.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._me = secrets.token_hex(8)
        self._asked = -np.inf
        self.mine = False

    def come(self, now: float) -> bool:
        """Say whether it is time to look, LOOK_SECONDS after the last time; `mine` is then told.

        now: seconds of a clock that never goes back. Raises StoreError.
        """
        if now - self._asked < LOOK_SECONDS:
            return False
        self._asked, self.mine = now, False
        self.mine = take_turn(self._store, self._me, TURN_SECONDS)
        return True
