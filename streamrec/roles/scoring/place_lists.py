"""The lists of a user at all places but home, made and stored with that of home."""

import time
from collections.abc import Mapping, Sequence

import msgspec

from streamrec.monitoring.metrics import Metrics
from streamrec.ranking.contexts import left_out
from streamrec.ranking.lists import ListMaker, UserList
from streamrec.ranking.published import PublishedList
from streamrec.ranking.rerank import Reranker
from streamrec.settings.place_rules import place_names, place_of
from streamrec.settings.places import USER
from streamrec.settings.sections import Settings
from streamrec.sources.source import Shopper
from streamrec.state.item_table import ItemTable
from streamrec.transport.redis.places import name_places
from streamrec.transport.redis.store import Store

TYPES_SECONDS = 10.0
"""How long the names of a shard's event types are taken to be what they were."""
ByPlace = Mapping[str, Sequence[UserList]]
"""Lists by place, in the order of their users."""


class PlaceLists:
    """Makes what the settings have places for; nothing where there is only home.

    Raises ConfigurationError where none of the sources of a place keeps anything.
    """

    def __init__(
        self, settings: Settings, store: Store, lists: ListMaker, metrics: Metrics
    ) -> None:
        self._settings, self._store, self._lists = settings, store, lists
        names = place_names(settings)
        self._rules = {name: Reranker(place_of(settings, name)) for name in names[1:]}
        for rules in self._rules.values():
            lists.mixture_at(rules)  # raises where nobody speaks: before anything is served
        each = [place_of(settings, name) for name in names]
        self._asks_types = any(place.exclude is not None for place in each)
        self._types: dict[str, tuple[list[str], float]] = {}
        self._named = not self._rules
        self._published = {name: metrics.items.place_lists.labels(name) for name in names}

    def types_of(self, shard: str) -> Sequence[str]:
        """Return the names of event types in a shard's rows; none where no rule asks for them.

        Raises StoreError.
        """
        if not self._asks_types:
            return ()
        now = time.monotonic()
        names, read = self._types.get(shard, ([], -TYPES_SECONDS))
        if now - read >= TYPES_SECONDS or not names:
            names = self._store.event_types(shard)
            self._types[shard] = names, now
        return names

    def make(
        self, people: Sequence[Shopper], table: ItemTable, home: Sequence[UserList]
    ) -> ByPlace:
        """Return the lists of these users at all places but home, whose lists are made already.

        Places of which the candidates are the same are ranked once. Raises StoreError.
        """
        if not self._named:
            name_places(self._store, tuple(self._rules))
            self._named = True
        pools = {self._lists.rules.pool: home}
        made: dict[str, Sequence[UserList]] = {}
        for name, rules in self._rules.items():
            if rules.pool in pools and len(table):
                made[name] = self._lists.reordered(pools[rules.pool], table, rules)
            else:
                made[name] = pools[rules.pool] = self._lists.make(people, table, rules)
        return made

    def encoded(
        self,
        users: Sequence[tuple[str, int]],
        at: int,
        model: str,
        made: ByPlace,
        table: ItemTable,
    ) -> dict[str, dict[str, bytes]]:
        """Return by user and place what is stored; users: with the offset that their lists know."""

        def one(user: str, offset: int, place: str, found: UserList) -> bytes:
            hidden = self._left_out(place, found, table)
            public = PublishedList(user, at, model, offset, found.items, place, hidden)
            return msgspec.json.encode(public)

        return {
            user: {place: one(user, offset, place, lists[n]) for place, lists in made.items()}
            for n, (user, offset) in enumerate(users)
        }

    def _left_out(self, place: str, made: UserList, table: ItemTable) -> list[str]:
        """Return what lists of items are not to show a user, where a place has such lists."""
        if self._rules[place].place.context == USER or made.ranked is None:
            return []
        return left_out(self._lists, table, made.ranked.shopper)

    def count(self, users: int) -> None:
        """Note that all lists of so many users were stored."""
        for counter in self._published.values():
            counter.inc(users)
