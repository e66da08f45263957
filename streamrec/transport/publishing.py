"""Stores the lists of users, with what is kept beside them."""

from collections.abc import Mapping, Sequence
from typing import Any

from streamrec.errors import StoreError
from streamrec.settings.places import HOME
from streamrec.transport.redis_keys import PUBLISH, Publishing, list_key, reading_key, shown_key
from streamrec.transport.redis_store import Store


def publish(
    store: Store,
    lists: Sequence[Publishing],
    state: str,
    ttl: int,
    read_ttl: int = 0,
    others: Mapping[str, Mapping[str, bytes]] | None = None,
) -> list[bool | StoreError]:
    """Store lists; False where a newer one is there. state: what `model` begins with.

    A list that is refused, e.g. because its key has another type, is an error of its own.
    read_ttl: of what `train` needs of a list, which goes with it when the next one comes; 0: nobody
    has any. others: of users, their lists at other places by name, stored in one act with theirs;
    in a Cluster, whose keys lie apart, one after the other.
    """
    calls: list[tuple[Any, ...]] = []
    later: list[tuple[Any, ...]] = []
    for user, offset, blob, _, _ in lists:
        places = (others or {}).get(user, {})
        names = (HOME, *places)
        keys = [list_key(user, name, names) for name in names]
        blobs = [blob, *places.values()]
        if store.is_one:
            calls.append(("EVAL", PUBLISH, len(keys), *keys, ttl, state, offset, *blobs))
            continue
        each = [
            ("EVAL", PUBLISH, 1, name, ttl, state, offset, one)
            for name, one in zip(keys, blobs, strict=True)
        ]
        calls.append(each[0])
        later += each[1:]
    replies = store.each_or_error(calls)
    if replies and all(type(reply) is StoreError for reply in replies):
        raise replies[0]  # no server answers
    done = [r if isinstance(r, StoreError) else bool(r) for r in replies]
    new = [one for one, ok in zip(lists, done, strict=True) if ok is True]
    if later:
        store.each_or_error(later)
    calls = [("SET", shown_key(u), shown, "EX", ttl) for u, _, _, shown, _ in new]
    for user, _, _, _, reading in new if read_ttl else []:
        name = reading_key(user)
        calls.append(("SET", name, reading, "EX", read_ttl) if reading else ("DEL", name))
    store.each_or_error(calls)
    return done
