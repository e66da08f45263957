"""What lies outside a user's shard, and its deletion: each key in a slot of its own."""

from collections.abc import Sequence
from typing import Any

import msgspec

from streamrec.errors import StoreError
from streamrec.transport.redis.keys import (
    DELETE_FORGOTTEN,
    DELETE_LIST,
    DELETE_OWN,
    is_shadowed,
    key,
    reading_key,
    shown_key,
)
from streamrec.transport.redis.places import all_keys, stored_places
from streamrec.transport.redis.store import Store

FORGOTTEN = "forgotten"
"""Rows of a user shard, by user: who was forgotten, until nothing of them is left elsewhere."""


def delete_lists(store: Store, users: Sequence[tuple[str, int]], state: str) -> list[bool]:
    """Delete (user, offset)'s lists, unless they know a later event, and what was kept beside them.

    state: whose offsets they are; a list of an earlier one is deleted whatever its offset.
    Return whose keys are gone; a user whose keys Redis did not delete is to be asked for again.
    """
    if not users:
        return []
    places = stored_places(store)
    groups: list[list[tuple[Any, ...]]] = []
    for user, offset in users:
        keys = all_keys(user, places)
        together = [keys] if store.is_one else [[name] for name in keys]
        calls = [("EVAL", DELETE_LIST, len(some), *some, offset, state) for some in together]
        if is_shadowed(user, places):  # of a time when there was no such place
            begin = b'{"user":' + msgspec.json.encode(user)
            calls.append(("EVAL", DELETE_OWN, 1, f"rec:{user}", begin))
        groups.append([*calls, ("DEL", shown_key(user)), ("DEL", reading_key(user))])
    replies = iter(store.each([call for calls in groups for call in calls]))
    each = [[next(replies) for _ in calls] for calls in groups]
    return [not any(isinstance(reply, StoreError) for reply in mine) for mine in each]


def known_elsewhere(store: Store, shards: Sequence[str], users: Sequence[str]) -> set[str]:
    """Return of whom another shard has a row: some of their events had another key."""
    calls = [("HEXISTS", key(shard, "users"), user) for user in users for shard in shards]
    found = iter(store.run(calls))
    return {user for user in users if any([next(found) for _ in shards])}


def delete_forgotten(store: Store, shard: str, user: str, told: bytes) -> None:
    """Delete what is stored of a forgotten user, unless they were forgotten again since."""
    store.run([("EVAL", DELETE_FORGOTTEN, 1, key(shard, FORGOTTEN), user, told)])
