"""The names of the places that Redis has lists of."""

from collections.abc import Collection, Sequence

import msgspec

from streamrec.settings.places import HOME
from streamrec.transport.redis.keys import PLACES, list_key, shadowed_key
from streamrec.transport.redis.store import Store


def stored_places(store: Store) -> list[str]:
    """Return the names, home first. Raises StoreError."""
    [found] = store.run([("GET", PLACES)])
    names: list[str] = msgspec.json.decode(found, type=list[str]) if found else []
    return [HOME, *(name for name in names if name != HOME)]


def name_places(store: Store, places: Collection[str]) -> None:
    """Add names to those that are stored. Raises StoreError."""
    stored = stored_places(store)
    missing = [name for name in places if name not in stored]
    if missing:
        store.run([("SET", PLACES, msgspec.json.encode([*stored, *missing]))])


def own_keys(user: str, place: str = HOME) -> list[str]:
    """Return the keys that may have a user's list at a place; it says itself whose it is."""
    names = [list_key(user, place)]
    return [*names, shadowed_key(user)] if place == HOME and ":" in user else names


def all_keys(user: str, places: Sequence[str]) -> list[str]:
    """Return the keys of all lists of a user, home first."""
    return [list_key(user, name, places) for name in places]
