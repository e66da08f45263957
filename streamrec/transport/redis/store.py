"""The Redis store: shard commits, rows, due users and published lists.

All keys of one shard share a hash tag, so one commit is one slot of a Redis Cluster. Commits are
never retried here: after a doubtful one the caller restores the shard and sees what was stored.
"""

import json
import secrets
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from typing import Any

import redis

from streamrec.errors import CommitConflict, DamagedState, StoreError
from streamrec.settings.sections import RedisSettings
from streamrec.state.keys import owner_of
from streamrec.transport.redis.declared import Run, declare, declared
from streamrec.transport.redis.keys import (
    DONE,
    DUE,
    LATER,
    TAKE_DUE,
    Commit,
    Shards,
    key,
    list_key,
    queue,
    shown_key,
    user_shards,
)
from streamrec.transport.redis.nodes import Nodes, as_store_errors

SCAN_COUNT = 500
ROW_KINDS = ("users", "rings", "items")
PLACE = ("offset", "growth")
"""Fields of meta that a commit rests on."""
Wanted = tuple[str, str, Sequence[bytes | str]]
"""Rows of a shard: shard, kind, fields."""


def offset_matches(stored: bytes | None, expected: int | None) -> bool:
    """Say whether the stored offset is the one this worker started from."""
    return (None if stored is None else int(stored)) == expected


def growth_matches(stored: bytes | None, mine: int) -> bool:
    """Say whether the shard is cut as this worker knows it: it may have been grown meanwhile."""
    return stored is None or int(stored) == mine


class Store(Nodes):
    """A connection to Redis >= 7, Valkey or Redis Cluster; belongs to one thread."""

    def __init__(self, settings: RedisSettings, growth: int = 0) -> None:
        """growth: as Shards says it, of a store that commits and has not declared them itself."""
        super().__init__(settings)
        self._growth = growth

    def declare(
        self,
        users: int,
        items: int,
        metadata: int,
        size: int,
        log: Mapping[str, str] | None = None,
    ) -> Shards:
        """Write how the state is partitioned, and of which log; return what is written.

        Raises ConfigurationError if the size differs, or while a bootstrap or a growth is at it;
        whether the log differs: see log_identity.
        """
        wanted = Shards(users, items, metadata, size, secrets.token_hex(4), log=dict(log or {}))
        stored = declare(self.run, wanted)
        self._growth = stored.growth
        return stored

    def shards(self) -> Shards | None:
        """Return how the state is partitioned; None before the first learn process.

        Raises ConfigurationError while the partitions are being grown.
        """
        return declared(self.run)

    def known_shards(self) -> Shards:
        """Return how the state is partitioned; raises StoreError where there is none."""
        shards = self.shards()
        if shards is None:
            raise StoreError("Redis holds no streamrec state yet: start `streamrec learn`")
        return shards

    def meta(self, shard: str) -> dict[bytes, bytes]:
        """Return a shard's meta fields; empty when nothing is stored.

        Raises DamagedState when there are rows without them: starting over would count twice.
        """
        read = [("HGETALL", key(shard, "meta"))]
        found: dict[bytes, bytes] = self.run(read)[0]
        if not found and any(self.run([("EXISTS", key(shard, kind)) for kind in ROW_KINDS])):
            found = self.run(read)[0]  # the first commit may have come between the two looks
            if found:
                return found
            raise DamagedState(
                f"Redis has rows of {shard} but no {key(shard, 'meta')}: was a key evicted or "
                "deleted? Set maxmemory-policy to noeviction; restore a backup, or delete sr:*"
            )
        return found

    def wrong_offsets(self, expected: Mapping[str, int | None]) -> dict[str, StoreError]:
        """Return the shards whose stored offset is not the expected one, or is not to be had."""
        stored = self.each([("HMGET", key(shard, "meta"), *PLACE) for shard in expected])
        wrong: dict[str, StoreError] = {}
        for (shard, offset), found in zip(expected.items(), stored, strict=True):
            try:
                if isinstance(found, StoreError):
                    raise found
                self._check(shard, found, offset)
            except StoreError as error:
                wrong[shard] = error
        return wrong

    def rows(self, shard: str, kind: str, fields: Sequence[bytes | str]) -> list[bytes | None]:
        """Return rows by field, None where absent."""
        return self.many_rows([(shard, kind, fields)])[0]

    def many_rows(self, wanted: Sequence[Wanted]) -> list[list[bytes | None]]:
        """Return the rows of several (shard, kind, fields) in one round trip a node."""
        return self._many_rows(wanted, self.run)

    def many_rows_or_errors(self, wanted: Sequence[Wanted]) -> list[list[bytes | None] | None]:
        """Return rows as `many_rows` does, None for those of a shard that Redis does not give."""
        replies = self._many_rows(wanted, self.each)
        return [None if isinstance(reply, StoreError) else reply for reply in replies]

    def user_row(self, user: str, shards: Shards) -> tuple[str, bytes] | None:
        """Return the shard that has a row of the user, and the row; None for a stranger."""
        names = user_shards(shards)
        rows = self.many_rows([(name, "users", [user]) for name in names])
        return next(
            ((name, row) for name, [row] in zip(names, rows, strict=True) if row is not None), None
        )

    def item_rows(self, kind: str, keys: Iterable[bytes]) -> dict[bytes, bytes]:
        """Return those rows of one kind that are there, by item key, from the items' owners."""
        owned: dict[str, list[bytes | str]] = {}
        owners = self.known_shards().items
        for each in dict.fromkeys(keys):
            owned.setdefault(f"i{owner_of(each, owners)}", []).append(each)
        rows = self.many_rows([(shard, kind, mine) for shard, mine in owned.items()])
        there = zip(chain.from_iterable(owned.values()), chain.from_iterable(rows), strict=True)
        return {field: row for field, row in there if row is not None}  # type: ignore[misc]

    def event_types(self, shard: str) -> list[str]:
        """Return the names of event types by their numbers in a shard's rows; at first none."""
        [[found]] = self.run([("HMGET", key(shard, "meta"), "types")])
        names: list[str] = json.loads(found) if found else []
        return names

    def scan(self, shard: str, kind: str) -> Iterator[tuple[bytes, bytes]]:
        """Yield all rows of one kind; a row may come twice while it is being written."""
        name = key(shard, kind)
        with as_store_errors("answer"):
            client = self.client(name)
            with self.asking(client):
                yield from client.hscan_iter(name, count=SCAN_COUNT)

    def all_rows(self, shard: str, kind: str) -> dict[bytes, bytes]:
        """Return all rows of one kind."""
        return dict(self.scan(shard, kind))

    def commit(self, commit: Commit) -> None:
        """Store rows and offset in one act; raises CommitConflict when another worker was here.

        A StoreError leaves open whether the commit happened: restore the shard to know.
        """
        meta = key(commit.shard, "meta")
        with as_store_errors("commit"):
            client = self.client(meta)
            pipe: Any
            with self.asking(client), client.pipeline(transaction=True) as pipe:
                pipe.watch(meta)
                self._check(commit.shard, pipe.hmget(meta, *PLACE), commit.expected)
                queue(pipe, commit)
                try:
                    pipe.execute()
                except redis.WatchError as error:
                    if "changed" not in str(error):  # redis-py says so of a lost connection too
                        raise redis.ConnectionError(str(error)) from error
                    raise CommitConflict(f"{commit.shard}: another worker committed") from None

    def take_due(
        self, shards: Iterable[str], now: float, lease: float, most: int
    ) -> dict[str, list[tuple[str, float]]]:
        """Lease due users until `lease` (epoch ms): {shard: [(user, due since)]}.

        Where fewer than `most` are due, of those who come later, since -1: they wait for no click.
        """
        names = list(shards)
        asked = [now, repr(lease), most]
        replies = self.each(
            [("EVAL", TAKE_DUE, 2, key(n, DUE), key(n, LATER), *asked) for n in names]
        )
        return {
            name: [(u.decode(), float(t)) for u, t in zip(r[::2], r[1::2], strict=True)]
            for name, r in zip(names, replies, strict=True)
            if r and not isinstance(r, StoreError)
        }

    def make_due(self, users: Mapping[str, Sequence[str]], now: float) -> None:
        """Make users due, by shard, who are not."""
        calls = [
            ("ZADD", key(shard, DUE), "NX", *(x for name in names for x in (repr(now), name)))
            for shard, names in users.items()
        ]
        self.each(calls)

    def done(self, taken: Mapping[str, Sequence[str]], lease: float) -> set[str]:
        """Take users off the due set unless they clicked, or were leased again, since.

        Return who of them has no row: users forgotten or evicted after theirs was read.
        """
        replies = self.each(
            [
                ("EVAL", DONE, 2, key(s, DUE), key(s, "users"), repr(lease), *users)
                for s, users in taken.items()
            ]
        )
        found = [reply for reply in replies if not isinstance(reply, StoreError)]
        return {user.decode() for reply in found for user in reply}

    def due_count(self, shards: Iterable[str]) -> int:
        """Return how many users are due or leased, or come later."""
        waiting = [key(name, kind) for name in shards for kind in (DUE, LATER)]
        found = self.each([("ZCARD", name) for name in waiting])
        return sum(count for count in found if not isinstance(count, StoreError))

    def lists(self, users: Sequence[str]) -> list[bytes | None]:
        """Return the published JSON lists."""
        return self.values([list_key(user) for user in users])

    def shown(self, users: Sequence[str]) -> list[bytes | None]:
        """Return what was shown to users, source by source, for the live metrics."""
        return self.values([shown_key(user) for user in users])

    def values(self, names: Sequence[str]) -> list[bytes | None]:
        """Return strings; None for one that is not there, or not to be had."""
        found = self.values_or_errors(names)
        return [None if isinstance(value, StoreError) else value for value in found]

    def values_or_errors(self, names: Sequence[str]) -> list[bytes | None | StoreError]:
        """Return strings; a StoreError stands for one that could not be had."""
        return self._values(names, self.each)

    def whole_values(self, names: Sequence[bytes]) -> list[bytes | None]:
        """Return strings, None for one that is not there. Raises StoreError, unlike `values`."""
        return self._values(names, self.run)

    def sample_users(self, shard: str, most: int) -> list[tuple[bytes, bytes]]:
        """Return up to `most` random user rows."""
        found = self.run([("HRANDFIELD", key(shard, "users"), most, "WITHVALUES")])[0]
        if found and isinstance(found[0], bytes):  # RESP2 has no pairs
            return list(zip(found[::2], found[1::2], strict=True))
        return [tuple(pair) for pair in found]

    def _many_rows(self, wanted: Sequence[Wanted], ask: Run) -> list[Any]:
        asked = [one for one in wanted if one[2]]
        found = iter(ask([("HMGET", key(s, kind), *fields) for s, kind, fields in asked]))
        return [next(found) if fields else [] for _, _, fields in wanted]

    def _values(self, names: Sequence[str] | Sequence[bytes], ask: Run) -> list[Any]:
        if not self.is_one:
            return ask([("GET", name) for name in names])
        return self.run([("MGET", *names)])[0] if names else []

    def _check(self, shard: str, stored: Sequence[bytes | None], expected: int | None) -> None:
        """Raise CommitConflict unless the shard stands where, and is cut as, the worker knows."""
        offset, growth = stored
        if not offset_matches(offset, expected):
            raise CommitConflict(f"{shard}: stored offset is {offset!r}, not {expected}")
        if not growth_matches(growth, self._growth):
            raise CommitConflict(f"{shard}: the partitions were made more (streamrec grow)")
