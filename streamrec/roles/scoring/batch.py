"""One batch of users, as a scorer goes through it."""

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from streamrec.errors import UnknownVersion
from streamrec.ranking.lists import UserList
from streamrec.state.served import times_shown
from streamrec.state.user_rows import UserRow, decode_user
from streamrec.transport.redis.keys import key
from streamrec.transport.redis.store import Store

logger = logging.getLogger(__name__)
Due = Mapping[str, Sequence[tuple[str, float]]]
"""Users and since when they wait, by shard."""


class DueUser(NamedTuple):
    """A user who is due a new list, as read from Redis; one who was evicted is not."""

    name: str
    since: float  # epoch ms of the click; -1: the list waits for none
    row: UserRow
    before: Mapping[int, int]  # of the last list, by item key how often in a row; where it is asked
    types: Sequence[str]  # names of the event types in the row, where rules ask


class BatchLists(NamedTuple):
    """The lists of a batch of users, in their order: of home, and of the other places by name."""

    home: list[UserList]
    others: Mapping[str, Sequence[UserList]]


def read_due(
    store: Store, due: Due, rotation: bool, types_of: Callable[[str], Sequence[str]]
) -> tuple[list[DueUser], set[str]]:
    """Read the rows of the taken users, and what they were shown where rotation asks.

    Also return whose row cannot be had or read: they stay due, the others are served. types_of:
    a shard's names of event types. Raises StoreError.
    """
    wanted = [(shard, "users", [name for name, _ in users]) for shard, users in due.items()]
    found = store.many_rows_or_errors(wanted)
    rows: dict[str, UserRow] = {}
    failed: set[str] = set()
    for (shard, _, names), blobs in zip(wanted, found, strict=True):
        if blobs is None:
            failed.update(names)
        for name, blob in zip(names, blobs or (), strict=False):
            try:
                if blob is not None:
                    rows[name] = decode_user(blob)
            except UnknownVersion as error:
                cause = {"key": key(shard, "users"), "field": name, "cause": str(error)}
                logger.warning("a user's row cannot be read", extra=cause)
                failed.add(name)
    everyone = [name for _, _, names in wanted for name in names]
    shown = store.shown(everyone) if rotation else [None] * len(everyone)
    before = dict(zip(everyone, map(times_shown, shown), strict=True))
    types = {shard: types_of(shard) for shard in due}
    known = [
        DueUser(name, since, rows[name], before[name], types[shard])
        for shard, users in due.items()
        for name, since in users
        if name in rows
    ]
    return known, failed
