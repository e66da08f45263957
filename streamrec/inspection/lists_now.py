"""Lists made now from the state in Redis, for `streamrec explain` and `recommend --filter`."""

import time
from typing import NamedTuple

from streamrec.errors import StoreError
from streamrec.monitoring.metrics import Metrics
from streamrec.ranking.lists import ListItem, ListMaker
from streamrec.settings.sections import Settings
from streamrec.sources.source import Shopper
from streamrec.state.item_table import ItemTable
from streamrec.state.served import times_shown
from streamrec.state.user_rows import UserRow, decode_user, no_user
from streamrec.transport.item_feed import ItemFeed
from streamrec.transport.redis_keys import Shards, item_shards
from streamrec.transport.redis_store import Store


class StateNow(NamedTuple):
    """All items and one user, as they are in Redis now, and what makes lists of them."""

    table: ItemTable
    lists: ListMaker
    shopper: Shopper  # without a history for a user without a row


def shards_of(store: Store) -> Shards:
    """Return how many shards the state has; raises StoreError where there is no state."""
    shards = store.shards()
    if shards is None:
        raise StoreError("Redis holds no streamrec state: start `streamrec learn` first")
    return shards


def read_now(settings: Settings, store: Store, user: str) -> StateNow:
    """Read the state; it takes as long as the catalogue is large."""
    shards = shards_of(store)
    feed = ItemFeed(store, item_shards(shards), lambda: ItemTable(settings, with_lists=True), 0.0)
    feed.refresh(time.monotonic(), Metrics())
    lists = ListMaker(settings)
    lists.prepare(feed.table)
    shown = times_shown(store.shown([user])[0]) if settings.lists.rotation else {}
    shopper = lists.shopper(_row_of(store, shards, user), feed.table, user, shown)
    return StateNow(feed.table, lists, shopper)


def list_now(settings: Settings, store: Store, user: str) -> tuple[list[ListItem], bool]:
    """Return the items of a list made now, and whether the user has a history."""
    now = read_now(settings, store, user)
    [made] = now.lists.make([now.shopper], now.table)
    return made.items, len(now.shopper.row.ts) > 0


def _row_of(store: Store, shards: Shards, user: str) -> UserRow:
    wanted = [(f"u{n}", "users", [user]) for n in range(shards.users)]
    for rows in store.many_rows(wanted):
        if rows[0] is not None:
            return decode_user(rows[0])
    return no_user()
