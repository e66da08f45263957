"""Lists made now from the state in Redis: for explanations, and under more filters."""

import time
from collections.abc import Sequence
from typing import NamedTuple

from streamrec.errors import RefusedVersion
from streamrec.monitoring.metrics import Metrics
from streamrec.neural.serve import Served
from streamrec.neural.version import unpack
from streamrec.ranking.lists import ListMaker
from streamrec.ranking.published import ListItem
from streamrec.ranking.rerank import Reranker
from streamrec.settings.place_rules import place_of
from streamrec.settings.places import HOME
from streamrec.settings.sections import Settings
from streamrec.sources.source import Shopper
from streamrec.state.item_table import ItemTable
from streamrec.state.served import times_shown
from streamrec.state.user_rows import UserRow, decode_user, no_user
from streamrec.transport.redis.item_feed import ItemFeed
from streamrec.transport.redis.keys import Shards, item_shards
from streamrec.transport.redis.store import Store
from streamrec.transport.redis.versions import Versions


class StateNow(NamedTuple):
    """All items and one user, as they are in Redis now, and what makes lists of them."""

    table: ItemTable
    lists: ListMaker
    shopper: Shopper  # without a history for a user without a row
    rules: Reranker  # those of the settings, with more filters where they were asked for


class StateReader:
    """Keeps a copy of all items, brought up to date for each question; belongs to one thread."""

    def __init__(self, settings: Settings, store: Store) -> None:
        self._settings, self._store = settings, store
        self._shards: Shards | None = None
        self._metrics = Metrics()
        self._lists = ListMaker(settings)

    def now(self, user: str, filters: Sequence[str] = (), place: str = HOME) -> StateNow:
        """Return the state, for lists of a place under more filters than those of the settings.

        The first time takes as long as the catalogue is large.
        """
        shards = self._store.known_shards()
        if shards != self._shards:  # the first question, or another state has begun
            self._shards = shards
            self._feed = ItemFeed(self._store, item_shards(shards), self._new_table, 0.0)
        if self._feed.refresh(time.monotonic(), self._metrics):
            self._lists.prepare(self._feed.table)
        table, lists = self._feed.table, self._lists
        lists.network = network_now(self._settings, self._store, lists)
        rotation = self._settings.lists.rotation
        shown = times_shown(self._store.shown([user])[0]) if rotation else {}
        row, types = row_of(self._store, shards, user)
        shopper = lists.shopper(row, table, user, shown, types)
        rules = Reranker(place_of(self._settings, place), filters)
        return StateNow(table, lists, shopper, rules)

    def _new_table(self) -> ItemTable:
        return ItemTable(self._settings, with_lists=True, with_details=True)


def list_of(now: StateNow) -> tuple[list[ListItem], bool]:
    """Return the items of a list made now, and whether the user has a history."""
    [made] = now.lists.make([now.shopper], now.table, now.rules)
    return made.items, len(now.shopper.row.ts) > 0


class FilterEffect(NamedTuple):
    """What filters do to a user's list; items by id, the first first."""

    removed: list[str]  # of the list's: for which a filter does not hold
    added: list[str]  # in their places: the first others of a list made now under the filters
    passing: int  # items that may be listed and for which all filters hold
    of: int  # items that may be listed without them


def filter_effect(
    state: StateReader, user: str, filters: Sequence[str], listed: Sequence[str]
) -> FilterEffect:
    """Return what filters do to a list that the user has, whose items are `listed`.

    The list may be older than the state: for each item removed one comes in while there are any.
    """
    now = state.now(user, filters)
    lists, table, shopper = now.lists, now.table, now.shopper
    if not lists.ready:
        return FilterEffect([], [], 0, 0)
    own, more = (lists.passing(shopper, table, rules) for rules in (lists.rules, now.rules))
    of = lists.servable if own is None else own.size
    if more is None:
        return FilterEffect([], [], of, of)
    known = [name for name in listed if name in table.row_of]
    removed = [name for name in known if not more.allowed[table.row_of[name]]]
    others = [one.item for one in list_of(now)[0] if one.item not in listed]
    return FilterEffect(removed, others[: len(removed)], more.size, of)


def network_now(settings: Settings, store: Store, lists: ListMaker) -> Served | None:
    """Return the network that orders the lists now; None where none does, or it is refused."""
    versions, shape = Versions(store), lists.reader.shape
    try:
        number = versions.serving().number if settings.neural.on else 0
        if not number:
            return None
        return Served.of(unpack(versions.get(number), shape).arrays, settings.neural.shrinkage)
    except RefusedVersion:
        return None


def row_of(store: Store, shards: Shards, user: str) -> tuple[UserRow, list[str]]:
    """Return what is stored of a user, a row without a history for a stranger; names of types."""
    found = store.user_row(user, shards)
    if found is None:
        return no_user(), []
    shard, row = found
    return decode_user(row), store.event_types(shard)
