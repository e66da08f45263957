"""Stores the lists of users, with what is kept beside them."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from streamrec.errors import StoreError
from streamrec.settings.places import HOME
from streamrec.transport.redis.keys import PUBLISH, list_key, reading_key, shown_key
from streamrec.transport.redis.store import Store


class Encoded(NamedTuple):
    """A list as it is stored."""

    user: str
    offset: int  # of the user's last event that it knows; of the popular list, when it was made
    json: bytes
    shown: bytes = b""  # for the learners
    reading: bytes = b""  # for the trainer; of most lists none


def publish(
    store: Store,
    lists: Sequence[Encoded],
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
    for one in lists:
        blobs = {HOME: one.json, **(others or {}).get(one.user, {})}
        keys = {list_key(one.user, name, blobs): blob for name, blob in blobs.items()}
        groups = [keys] if store.is_one else [{name: blob} for name, blob in keys.items()]
        first, *rest = (
            ("EVAL", PUBLISH, len(some), *some, ttl, state, one.offset, *some.values())
            for some in groups
        )
        calls.append(first)
        later += rest
    replies = store.each_or_error(calls)
    if replies and all(type(reply) is StoreError for reply in replies):
        raise replies[0]  # no server answers
    done = [r if isinstance(r, StoreError) else bool(r) for r in replies]
    new = [one for one, ok in zip(lists, done, strict=True) if ok is True]
    if later:
        store.each_or_error(later)
    calls = [("SET", shown_key(one.user), one.shown, "EX", ttl) for one in new]
    for one in new if read_ttl else []:
        name = reading_key(one.user)
        calls.append(("SET", name, one.reading, "EX", read_ttl) if one.reading else ("DEL", name))
    store.each_or_error(calls)
    return done
