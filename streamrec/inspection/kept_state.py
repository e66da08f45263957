"""All items as they are in Redis, kept up to date between questions, for who asks often."""

import threading
import time

import numpy as np

from streamrec.inspection.answers import Answer, answer, unknown
from streamrec.inspection.lists_now import network_now, row_of, shards_of
from streamrec.monitoring.metrics import Metrics
from streamrec.ranking.explain import shares
from streamrec.ranking.lists import ListMaker
from streamrec.settings.sections import Settings
from streamrec.sources.source import Shopper
from streamrec.state.item_table import ItemTable
from streamrec.state.keys import key_of
from streamrec.state.served import times_shown
from streamrec.transport.item_feed import ItemFeed
from streamrec.transport.redis_keys import Shards, item_shards
from streamrec.transport.redis_store import Store

REFRESH_SECONDS = 0.5


class KeptState:
    """Answers questions about lists, one at a time; loads all items at the first.

    In memory is what a scorer holds: some 3 to 10 kB an item.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._lock = threading.Lock()
        self._store: Store | None = None
        self._shards: Shards | None = None
        self._feed: ItemFeed | None = None
        self._metrics = Metrics()
        self._lists = ListMaker(settings)

    def explained(self, user: str, item: str) -> Answer:
        """Return why an item is, or is not, in a user's list made now. Raises StoreError."""
        with self._lock:
            table, shopper = self._now(user)
            row = int(table.index.rows(np.array([key_of(item)], np.uint64))[0])
            if row < 0 or not table.arrays.stored[row]:
                return unknown(user, item)
            [ranked] = self._lists.rank([shopper], table, [row])
            return answer(self._lists, table, ranked, row)

    def shares(self, user: str) -> dict[str, float]:
        """Return what lifts the items of a user's list made now, by part. Raises StoreError."""
        with self._lock:
            table, shopper = self._now(user)
            if not self._lists.ready:
                return {}
            [ranked] = self._lists.rank([shopper], table)
            return shares(self._lists, table, ranked)

    def close(self) -> None:
        """Close the connection."""
        with self._lock:
            if self._store is not None:
                self._store.close()

    def _now(self, user: str) -> tuple[ItemTable, Shopper]:
        """Bring the copy up to date; return it and the user."""
        settings = self._settings
        if self._store is None:
            self._store = Store(settings.redis)
        store, shards = self._store, shards_of(self._store)
        if self._feed is None or shards != self._shards:  # another state has begun
            self._feed = ItemFeed(
                store,
                item_shards(shards),
                lambda: ItemTable(settings, with_lists=True),
                REFRESH_SECONDS,
            )
            self._shards = shards
        if self._feed.refresh(time.monotonic(), self._metrics):
            self._lists.prepare(self._feed.table)
            self._lists.network = network_now(settings, store, self._lists)
        table = self._feed.table
        shown = times_shown(store.shown([user])[0]) if settings.lists.rotation else {}
        return table, self._lists.shopper(row_of(store, shards, user), table, user, shown)
