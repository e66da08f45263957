"""The lists `rec:~popular:<category>` and `rec:~popular:<segment>`, written by one scorer."""

import time
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from streamrec.monitoring.metrics import Metrics
from streamrec.ranking.popular_lists import popular_among, popular_in_segment, rows_by_category
from streamrec.ranking.published import ListItem, PublishedList
from streamrec.settings.sections import Settings
from streamrec.sources.segment import SEGMENT_PREFIX
from streamrec.state.item_table import ItemTable
from streamrec.transport.redis.item_lists import store_popular
from streamrec.transport.redis.keys import popular_of
from streamrec.transport.redis.store import Store

NAMES_SECONDS = 1.0
"""How often it is looked which categories and segments there are, at most, while they change."""
NAMES_SHARE = 0.02
"""Of its time, at most, that this takes: a large catalogue is looked through less often."""


class PopularLists:
    """Looks at one category or segment after the other, and writes what has changed.

    Bound: MOST categories, the segments that have a row, and items.similar_per_second of them.
    """

    def __init__(self, settings: Settings, store: Store, metrics: Metrics) -> None:
        self._settings, self._store, self._metrics = settings, store, metrics.items
        self.forget()

    def forget(self) -> None:
        """Know nothing any more of what is stored."""
        self._again = -np.inf
        self._of = (0, 0)
        self._categories: dict[str, NDArray[Any]] = {}
        self._segments: dict[str, int] = {}
        self._order: list[str] = []
        self._looked: dict[str, float] = {}
        self._written: dict[str, tuple[list[str], float]] = {}

    def look(self, table: ItemTable, model: str, most: int, now: float) -> None:
        """Look at the `most` lists that were looked at longest ago. Raises StoreError."""
        of = table.categorised, len(table.segments)
        if of != self._of and now >= self._again:
            started, self._of = time.perf_counter(), of
            self._name(table, now)
            took = time.perf_counter() - started
            self._again = now + max(NAMES_SECONDS, took / NAMES_SHARE)
        turn, self._order = self._order[:most], self._order[most:]
        self._order += turn
        changed: dict[str, bytes] = {}
        at, ttl = int(time.time() * 1000), self._settings.lists.ttl_seconds
        for name in turn:
            items = self._list_of(name, table)
            self._looked[name] = now
            order = [item.item for item in items]
            before, when = self._written.get(name, ([], -np.inf))
            if order != before or now - when > ttl / 2:
                user = popular_of(name)
                public = PublishedList(user, at, model, at, items)
                changed[user] = msgspec.json.encode(public)
                self._written[name] = order, now
        if changed:
            store_popular(self._store, changed, ttl)
            self._metrics.popular_published.inc(len(changed))
        self._metrics.popular_age_seconds.set(now - min(self._looked.values(), default=now))

    def _name(self, table: ItemTable, now: float) -> None:
        self._categories = rows_by_category(table)
        named = ((str(table.ids[row]), row) for row in table.segments)
        self._segments = {name.removeprefix(SEGMENT_PREFIX): row for name, row in named}
        names = {**self._categories, **self._segments}
        self._looked = {name: self._looked.get(name, now) for name in names}
        kept = [name for name in self._order if name in names]
        self._order = [*(name for name in names if name not in set(kept)), *kept]

    def _list_of(self, name: str, table: ItemTable) -> list[ListItem]:
        """Return the list; a segment comes before a category of the same name."""
        length = self._settings.lists.length
        if name in self._segments:
            return popular_in_segment(table, self._segments[name], length)
        return popular_among(table, self._categories[name], length)
