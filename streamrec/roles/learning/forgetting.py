"""Deletes what other slots hold of forgotten users: at once, and again when all leases are over.

The fold drops the row and notes the user in one commit. A scorer may have read the row before, and
publish after the first deletion: it looks back at the row (`Store.done`) and deletes its own list.
The second deletion is for one that was killed in between. The note goes last, so a new owner of the
shard goes on wherever the last one ended.

The lists of users who were evicted (users.max_users) go the same way, but once and without a note:
what is left of one after a crash leaves by itself, in lists.ttl_seconds.
"""

import logging
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import msgspec

from streamrec.errors import StoreError
from streamrec.state.user_fold import Forgotten
from streamrec.transport.redis.forgetting import (
    FORGOTTEN,
    delete_forgotten,
    delete_lists,
    known_elsewhere,
)
from streamrec.transport.redis.store import Store

logger = logging.getLogger(__name__)
AT_ONCE = 200
"""Users whose keys are deleted in one turn, at most."""
AGAIN_SECONDS = 2.0
"""After a deletion that Redis did not do."""


@dataclass
class _Noted:
    told: bytes  # as stored
    next: float  # when to delete, monotonic
    deletions: int = 0


class Forgetting:
    """The users who were forgotten in the shards of this process. Bound: none, they are stored."""

    def __init__(self, store: Store, lease_seconds: float, state: str) -> None:
        self._store = store
        self._state = state
        self._lease = lease_seconds
        self._noted: dict[str, dict[str, _Noted]] = {}  # by shard, user
        self._evicted: dict[str, dict[str, int]] = {}  # by shard, user: offset; since the last step

    def opened(self, shard: str) -> None:
        """Take over what is noted of a shard that was just read from Redis."""
        found = self._store.all_rows(shard, FORGOTTEN)
        self._noted[shard] = {user.decode(): _Noted(told, 0.0) for user, told in found.items()}

    def committed(
        self, shard: str, offset: int, rows: Mapping[bytes, bytes], deleted: Sequence[bytes]
    ) -> None:
        """Take over what a commit noted, and whose rows it deleted, up to which offset."""
        for user, told in rows.items():
            self._noted.setdefault(shard, {})[user.decode()] = _Noted(told, 0.0)
        evicted = [user.decode() for user in deleted if user not in rows]
        self._evicted.setdefault(shard, {}).update(dict.fromkeys(evicted, offset))

    def step(self, now: float, owned: Collection[str], shards: int) -> None:
        """Delete what is due to be deleted; `shards`: how many user shards there are."""
        self._delete_evicted(shards)
        self._noted = {name: noted for name, noted in self._noted.items() if name in owned}
        for shard, noted in self._noted.items():
            ready = [user for user, one in noted.items() if one.next <= now][:AT_ONCE]
            if ready:
                try:
                    self._delete(now, shard, ready, shards)
                except StoreError as error:  # of another slot: no reason to start over
                    for user in ready:
                        if user in noted:
                            noted[user].next = now + AGAIN_SECONDS
                    fields = {"partition": shard, "cause": str(error)}
                    logger.warning("keys of forgotten users cannot be deleted yet", extra=fields)

    def _delete_evicted(self, shards: int) -> None:
        """Delete the lists of evicted users, but of those whom another shard knows."""
        evicted, self._evicted = self._evicted, {}
        for shard, users in evicted.items():
            try:
                known = known_elsewhere(self._store, _others(shard, shards), list(users))
                gone = [(user, offset) for user, offset in users.items() if user not in known]
                delete_lists(self._store, gone, self._state)
            except StoreError as error:
                fields = {"partition": shard, "users": len(users), "cause": str(error)}
                logger.warning("lists of evicted users stay until they expire", extra=fields)

    def _delete(self, now: float, shard: str, users: list[str], shards: int) -> None:
        noted = self._noted[shard]
        known = known_elsewhere(self._store, _others(shard, shards), users)
        told = {user: msgspec.json.decode(noted[user].told, type=Forgotten) for user in users}
        mine = [user for user in users if told[user].events or user not in known]
        deleted = delete_lists(
            self._store, [(user, told[user].offset) for user in mine], self._state
        )
        left = {user for user, done in zip(mine, deleted, strict=True) if not done}
        for user in users:
            one = noted[user]
            if user in left:
                one.next = now + AGAIN_SECONDS
            elif one.deletions == 0:
                one.deletions, one.next = 1, now + self._lease
            else:
                delete_forgotten(self._store, shard, user, one.told)
                del noted[user]
                place = {"partition": shard, "offset": told[user].offset}
                logger.info("a user is forgotten", extra=place)
        if left:
            cause = {"partition": shard, "users": len(left)}
            logger.warning("keys of forgotten users cannot be deleted yet", extra=cause)


def _others(shard: str, shards: int) -> list[str]:
    return [f"u{n}" for n in range(shards) if f"u{n}" != shard]
