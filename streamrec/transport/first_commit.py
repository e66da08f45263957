"""The first state of an empty Redis, written whole or not at all.

While it is written a marker lies beside it, under which `learn` does not start. A bootstrap that
was cut off leaves the marker: the next one deletes what it names, and begins again.
"""

import secrets
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice

import msgspec

from streamrec.errors import ConfigurationError
from streamrec.transport.log_identity import LogIdentity
from streamrec.transport.redis_keys import BOOTSTRAP, SHARDS, key
from streamrec.transport.redis_store import Store
from streamrec.transport.versions import DECISIONS, NUMBER, SERVING, VERSIONS, Serving, Versions

AT_ONCE = 1000
"""Rows of one command."""
BESIDE_ROWS = ("meta", "due", "feed")


class FirstCommit:
    """Writes rows, then meta fields, then that there is a state."""

    def __init__(
        self, store: Store, kinds: Mapping[str, Sequence[str]], again: bool = False
    ) -> None:
        """Refuse a Redis that has a state; kinds: of rows, by shard; again: after one cut off."""
        self._store = store
        [left, there] = store.run([("GET", BOOTSTRAP), ("GET", SHARDS)])
        if left is None and there is not None:
            raise ConfigurationError(
                "Redis holds a state already, and a bootstrap makes a first one. Name another "
                "redis.url, or start over: docs/guarantees.md"
            )
        if left is not None:
            if not again:
                raise ConfigurationError(
                    "a bootstrap is filling this Redis, or was cut off: wait until it is done. If "
                    "none runs any more, --again deletes what it has written and begins anew"
                )
            _, *written = msgspec.json.decode(left, type=list[str])
            store.run([("UNLINK", name) for name in (*written, BOOTSTRAP)])
        names = [key(s, kind) for s, of in kinds.items() for kind in (*of, *BESIDE_ROWS)]
        names += [SHARDS, VERSIONS, DECISIONS, NUMBER, SERVING]
        self._mine = msgspec.json.encode([secrets.token_hex(8), *names])
        if not store.run([("SET", BOOTSTRAP, self._mine, "NX")])[0]:
            raise ConfigurationError("another bootstrap of this Redis has begun just now")

    def abandon(self) -> None:
        """Take the marker away: nothing was written."""
        self._check()
        self._store.run([("DEL", BOOTSTRAP)])

    def rows(self, shard: str, kind: str, rows: Mapping[bytes, bytes]) -> None:
        """Write rows of one kind."""
        self._check()
        for part in _parts(rows):
            self._store.run([("HSET", key(shard, kind), *part)])

    def due(self, shard: str, users: Mapping[str, int]) -> None:
        """Write when each user is due a list, epoch ms."""
        for part in _parts({user.encode(): str(at).encode() for user, at in users.items()}):
            flat = [text for at in range(0, len(part), 2) for text in (part[at + 1], part[at])]
            self._store.run([("ZADD", key(shard, "due"), *flat)])

    def versions(self, blobs: Sequence[bytes], first_serves: bool, at: int) -> None:
        """Write versions of the neural ranker, the latest last."""
        versions = Versions(self._store)
        numbers = [versions.add(blob) for blob in blobs]
        if first_serves:
            versions.move(versions.pointer(), Serving(numbers[0], open=True, at=at))

    def end(
        self, metas: Mapping[str, Mapping[str, str | int]], log: LogIdentity, size: int
    ) -> None:
        """Write the meta fields of all shards; from then on it is the state."""
        self._check()
        for shard, meta in metas.items():
            flat = [part for pair in meta.items() for part in pair]
            self._store.run([("HSET", key(shard, "meta"), *flat)])
        users, items, metadata = (
            sum(shard.startswith(letter) for shard in metas) for letter in "uim"
        )
        self._store.declare(users, items, metadata, size, log.ids, first=True)
        self._store.run([("DEL", BOOTSTRAP)])

    def _check(self) -> None:
        if self._store.run([("GET", BOOTSTRAP)])[0] != self._mine:
            raise ConfigurationError("another bootstrap has begun: this one writes no more")


def _parts(rows: Mapping[bytes, bytes]) -> Iterator[list[bytes]]:
    """Yield fields and values in turn, so many rows at once."""
    left = iter(rows.items())
    while part := list(islice(left, AT_ONCE)):
        yield [text for row in part for text in row]
