"""What lies outside a user's shard, and its deletion: each key in a slot of its own."""

from collections.abc import Sequence
from typing import Any

from streamrec.errors import StoreError
from streamrec.transport.redis_keys import (
    DELETE_FORGOTTEN,
    DELETE_LIST,
    key,
    list_key,
    reading_key,
    shown_key,
)
from streamrec.transport.redis_store import Store

FORGOTTEN = "forgotten"
"""Rows of a user shard, by user: who was forgotten, until nothing of them is left elsewhere."""


def delete_lists(store: Store, users: Sequence[tuple[str, int]], state: str) -> list[bool]:
    """Delete (user, offset)'s list, unless it knows a later event, and what was kept beside it.

    state: whose offsets they are; a list of an earlier one is deleted whatever its offset.
    Return whose keys are gone; a user whose keys Redis did not delete is to be asked for again.
    """
    calls: list[tuple[Any, ...]] = []
    for user, offset in users:
        calls.append(("EVAL", DELETE_LIST, 1, list_key(user), offset, state))
        calls += [("DEL", shown_key(user)), ("DEL", reading_key(user))]
    replies = store.each(calls) if calls else []
    bad = [isinstance(reply, StoreError) for reply in replies]
    return [not any(bad[n : n + 3]) for n in range(0, len(bad), 3)]


def known_elsewhere(store: Store, shards: Sequence[str], user: str) -> bool:
    """Say whether another shard has a row of the user: some of their events had another key."""
    replies = store.run([("HEXISTS", key(shard, "users"), user) for shard in shards])
    return any(replies)


def delete_forgotten(store: Store, shard: str, user: str, told: bytes) -> None:
    """Delete what is stored of a forgotten user, unless they were forgotten again since."""
    store.run([("EVAL", DELETE_FORGOTTEN, 1, key(shard, FORGOTTEN), user, told)])
