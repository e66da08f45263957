"""The first state of an empty Redis, written whole or not at all.

While it is written a marker lies beside it, under which `learn` does not start. A bootstrap that
was cut off leaves the marker: the next one deletes what it names, and begins again.
"""

import secrets
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice

import msgspec

from streamrec.errors import CommandRefused, ConfigurationError, StoreError
from streamrec.transport.kafka.log_identity import LogIdentity
from streamrec.transport.redis.keys import (
    BESIDE_ROWS,
    BOOTSTRAP,
    LATER,
    LETTERS,
    SHARDS,
    Shards,
    key,
)
from streamrec.transport.redis.store import Store
from streamrec.transport.redis.versions import (
    DECISIONS,
    NUMBER,
    SERVING,
    VERSIONS,
    Serving,
    Versions,
)

AT_ONCE = 1000
"""Rows of one command."""
WAITS_SECONDS = (1.0, 2.0, 5.0, 10.0, 20.0, *[30.0] * 18)
"""Before all is written again: an outage of 10 minutes does not lose what was learnt in an hour."""


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
        self._names = names
        self._named = b""  # how the state is partitioned, once that is known
        self._epoch = secrets.token_hex(4)
        self._mine = msgspec.json.encode([secrets.token_hex(8), *names])
        if not store.run([("SET", BOOTSTRAP, self._mine, "NX")])[0]:
            raise ConfigurationError("another bootstrap of this Redis has begun just now")

    def whole(self, write: Callable[[], None], tell: Callable[[str], None]) -> None:
        """Call `write`, which ends with `end`, again where Redis was away: all is written anew.

        A Redis that restarts may have lost what it had taken already. Raises what is no outage.
        """
        waits = iter(WAITS_SECONDS)
        while True:
            try:
                if not self._written():
                    write()
                return
            except CommandRefused:
                raise
            except StoreError as error:
                wait = next(waits, None)
                if wait is None:
                    raise
                tell(f"{error}. All of it is written again in {wait:g} s.")
                time.sleep(wait)

    def abandon(self) -> None:
        """Take the marker away: nothing was written."""
        self._check()
        self._store.run([("DEL", BOOTSTRAP)])

    def rows(self, shard: str, kind: str, rows: Mapping[bytes, bytes]) -> None:
        """Write rows of one kind."""
        self._check()
        for part in _parts(rows):
            self._store.run([("HSET", key(shard, kind), *part)])

    def later(self, shard: str, users: Mapping[str, int]) -> None:
        """Write from when on each user gets a list, epoch ms: after those who click."""
        for part in _parts({user.encode(): str(at).encode() for user, at in users.items()}):
            flat = [text for at in range(0, len(part), 2) for text in (part[at + 1], part[at])]
            self._store.run([("ZADD", key(shard, LATER), *flat)])

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
            sum(shard.startswith(letter) for shard in metas) for letter in LETTERS
        )
        shards = Shards(users, items, metadata, size, self._epoch, log=dict(log.ids))
        self._named = msgspec.json.encode(shards)
        if not self._store.run([("SET", SHARDS, self._named, "NX")])[0]:
            raise ConfigurationError("another process has begun a state meanwhile; start over")
        self._store.run([("DEL", BOOTSTRAP)])

    def _written(self) -> bool:
        """Say whether all was written, and only the answer was lost; else delete what was."""
        [marker, named] = self._store.run([("GET", BOOTSTRAP), ("GET", SHARDS)])
        if marker is None and named is not None and named == self._named:
            return True
        if marker is None and named is None:  # lost too: it was not on the disk yet
            self._store.run([("SET", BOOTSTRAP, self._mine, "NX")])
        self._check()
        self._store.run([("UNLINK", name) for name in self._names])
        return False

    def _check(self) -> None:
        if self._store.run([("GET", BOOTSTRAP)])[0] != self._mine:
            raise ConfigurationError("another bootstrap has begun: this one writes no more")


def _parts(rows: Mapping[bytes, bytes]) -> Iterator[list[bytes]]:
    """Yield fields and values in turn, so many rows at once."""
    left = iter(rows.items())
    while part := list(islice(left, AT_ONCE)):
        yield [text for row in part for text in row]
