"""Reads recommendations from Python; other languages read the same JSON, see docs/redis.md.

with Client("redis://localhost:6379/0") as client:
    for entry in client.recommend("u1").items:
        print(entry.item, entry.score)
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Self

import msgspec
import numpy as np
from msgspec import UNSET, UnsetType

from streamrec.blend.basket import Stored, fitting
from streamrec.errors import UnknownVersion
from streamrec.settings.places import HOME
from streamrec.settings.sections import RedisSettings
from streamrec.sources.similarity import read_list
from streamrec.state.keys import field_of
from streamrec.transport.redis.hidden import hidden_names
from streamrec.transport.redis.item_lists import stored_item_list
from streamrec.transport.redis.keys import POPULAR, item_list_key, list_key
from streamrec.transport.redis.places import own_keys
from streamrec.transport.redis.store import Store


class Recommended(msgspec.Struct):
    """One item of a list; `because` names past items of the user."""

    item: str
    score: float
    source: str = ""
    because: list[str] = []


class Recommendations(msgspec.Struct):
    """A list, best first; `at` is when it was made (epoch ms), 0 when there is none at all.

    `personal` is False for the popular list, which a user without a list of their own gets.
    """

    user: str
    at: int = 0
    offset: int = -1
    model: str = ""
    items: list[Recommended] = []
    personal: bool = False
    place: str = HOME
    exclude: list[str] | UnsetType = UNSET  # of places with a context: not to show to this user


class Similar(msgspec.Struct):
    """An item often taken after another.

    `share` is its part of the other's decayed pair weight, `count` how often the pair was learnt.
    """

    item: str
    title: str
    share: float
    count: int


class Neighbour(msgspec.Struct):
    """An item beside another, and its score: a share or a cosine, higher is better."""

    item: str
    score: float


class ItemList(msgspec.Struct):
    """What people take after an item, and what is like it; `at` 0: there is no list."""

    item: str
    at: int = 0
    follows: list[Neighbour] = []
    like: list[Neighbour] = []


class Client:
    """Reads what streamrec serves; writes nothing. Belongs to one thread."""

    def __init__(self, redis: str | RedisSettings, *, cluster: bool = False) -> None:
        settings = RedisSettings(url=redis, cluster=cluster) if isinstance(redis, str) else redis
        self._store = Store(settings)

    @property
    def store(self) -> Store:
        """The connection, for streamrec's own pages."""
        return self._store

    def recommend(self, user: str, place: str = HOME) -> Recommendations:
        """Return the user's list; if there is none, or it is empty, that for strangers, if any.

        Items that became unavailable since it was made are left out. Raises StoreError.
        """
        return self.page(user, [place])[place]

    def page(self, user: str, places: Sequence[str]) -> dict[str, Recommendations]:
        """Return the lists of several places by name, read at once; no item is in two of them.

        What a place shows is left out of those that are named after it. Raises StoreError.
        """
        wanted = [(user, place) for place in dict.fromkeys(places)]
        keys = [keys_of(user, place) for user, place in wanted]
        blobs = iter(self._store.values([name for each in keys for name in each]))
        read = [[_decoded_or_none(next(blobs)) for _ in each] for each in keys]
        hidden = hidden_in(self._store, [one for each in read for one in each])
        pairs = zip(wanted, read, strict=True)
        found = {place: found_in(user, place, each, hidden) for (user, place), each in pairs}
        return without_repeats(found)

    def similar(self, item: str, n: int = 10) -> list[Similar]:
        """Return up to `n` items most often taken after `item`; none for an unknown one."""
        own = field_of(item)
        blob = self._store.item_rows("similarity", [own]).get(own)
        if blob is None:
            return []
        keys, weights, counts = read_list(blob)
        order = np.argsort(-weights, kind="stable")
        catalogue = self._catalogue([keys[row].tobytes() for row in order])
        total = float(weights.sum()) or 1.0
        found: list[Similar] = []
        for row in order:
            entry = catalogue.get(keys[row].tobytes())
            if entry is not None and entry.available and len(found) < n:
                share = float(weights[row]) / total
                found.append(Similar(entry.item, entry.title, share, int(counts[row])))
        return found

    def item_list(self, item: str) -> ItemList:
        """Return `sim:<item>` without items that became unavailable since. Raises StoreError."""
        blob = stored_item_list(self._store, item)
        if blob is None:
            return ItemList(item)
        found = msgspec.json.decode(blob, type=ItemList)
        hidden = hidden_names(self._store, (each.item for each in (*found.follows, *found.like)))
        found.follows = [each for each in found.follows if each.item not in hidden]
        found.like = [each for each in found.like if each.item not in hidden]
        return found

    def basket(self, items: Sequence[str], place: str, user: str = "") -> Recommendations:
        """Return what fits some items at a place that is asked for with them, one or a basket.

        Of the items' lists (blend.basket.fitting), without the items and what the place leaves out
        for the user; where none has any to offer, the user's own list there. Raises StoreError.
        """
        basket, user = list(dict.fromkeys(items)), user or POPULAR
        keys = [item_list_key(item, place) for item in basket] + keys_of(user, place)
        blobs = self._store.values(keys)
        mine = [_decoded_or_none(blob) for blob in blobs[len(basket) :]]
        lists = [_CONTEXT.decode(blob) for blob in blobs[: len(basket)] if blob is not None]
        return of_basket(basket, lists, found_in(user, place, mine, ()), self._store)

    def titles(self, items: Sequence[str]) -> dict[str, str]:
        """Return the titles of those items that have one."""
        keys = {field_of(item): item for item in items}
        found = self._catalogue(keys)
        return {keys[k]: entry.title for k, entry in found.items() if entry.title}

    def close(self) -> None:
        """Close the connections."""
        self._store.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _catalogue(self, keys: Iterable[bytes]) -> "dict[bytes, _Entry]":
        rows = self._store.item_rows("catalogue", keys)
        return {k: _ENTRY.decode(row) for k, row in rows.items()}


class _Entry(msgspec.Struct):
    """What is read of a catalogue row."""

    item: str
    title: str = ""
    available: bool = True


def hidden_in(store: Store, lists: Iterable[Recommendations | None]) -> set[str]:
    """Return which items of these lists became unavailable since, in one round trip.

    None where that cannot be told: an item too many is better than no list.
    """
    return hidden_names(store, (e.item for each in lists if each is not None for e in each.items))


def of_basket(
    basket: Collection[str], lists: Sequence[Stored], own: Recommendations, store: Store
) -> Recommendations:
    """Return what fits a basket, of its items' lists and the user's own at the place."""
    out = {*basket, *(own.exclude or ())}
    found = [Recommended(*one) for one in fitting(lists, out)]
    if found:
        own.at, own.model = min(each.at for each in lists), lists[0].model
    else:
        found = [one for one in own.items if one.item not in out]
    hidden = hidden_names(store, (one.item for one in found))
    own.items, own.exclude = [one for one in found if one.item not in hidden], UNSET
    own.user = "" if own.user == POPULAR else own.user
    return own


def keys_of(user: str, place: str) -> list[str]:
    """Return the keys to read for a user's list at a place: their own, and last the strangers'."""
    return [*own_keys(user, place), list_key(POPULAR, place)]


def found_in(
    user: str, place: str, read: Sequence[Recommendations | None], hidden: Collection[str]
) -> Recommendations:
    """Return a user's list of what `keys_of` led to; a list of another user is not theirs."""
    own = [one for one in read[:-1] if one is not None and (one.user, one.place) == (user, place)]
    return chosen(user, own[0] if own else None, read[-1], hidden, place)


def without_repeats(found: Mapping[str, Recommendations]) -> dict[str, Recommendations]:
    """Return lists by place, each without what the ones before it show."""
    shown: set[str] = set()
    for each in found.values():
        each.items = [entry for entry in each.items if entry.item not in shown]
        shown.update(entry.item for entry in each.items)
    return dict(found)


def chosen(
    user: str,
    own: Recommendations | None,
    popular: Recommendations | None,
    hidden: Collection[str],
    place: str = HOME,
) -> Recommendations:
    """Return the user's list, or the popular one where there is none, or nothing left of it."""
    if own is not None:
        found = _without(own, hidden)
        found.personal = user != POPULAR
        if found.items or popular is None:
            return found
    found = Recommendations(user) if popular is None else _without(popular, hidden)
    found.user, found.place = user, place
    found.exclude = UNSET if own is None else own.exclude
    return found


def _without(found: Recommendations, hidden: Collection[str]) -> Recommendations:
    left = [entry for entry in found.items if entry.item not in hidden]
    return msgspec.structs.replace(found, items=left)


def _decoded_or_none(blob: bytes | None) -> Recommendations | None:
    return None if blob is None else decoded(blob)


_LIST = msgspec.json.Decoder(Recommendations)
_CONTEXT = msgspec.json.Decoder(Stored)
_ENTRY = msgspec.json.Decoder(_Entry)


def decoded(blob: bytes) -> Recommendations:
    """Return a stored list; raises UnknownVersion."""
    try:
        return _LIST.decode(blob)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise UnknownVersion(
            f"a published list is not one that this program reads: {error}"
        ) from None
