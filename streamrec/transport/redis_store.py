"""The Redis store: shard commits, rows, due users and published lists.

All keys of one shard share a hash tag, so one commit is one slot of a Redis Cluster. Commits are
never retried here: after a doubtful one the caller restores the shard and sees what was stored.
"""

import contextlib
import secrets
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import msgspec
import redis
from redis.backoff import ExponentialBackoff, NoBackoff
from redis.cluster import RedisCluster
from redis.exceptions import RedisClusterException
from redis.retry import Retry

from streamrec.errors import CommitConflict, ConfigurationError, DamagedState, StoreError
from streamrec.monitoring.log_lines import without_password
from streamrec.settings.sections import RedisSettings
from streamrec.transport.redis_keys import (
    DONE,
    PUBLISH,
    SHARDS,
    TAKE_DUE,
    Commit,
    Shards,
    key,
)

SCAN_COUNT = 500
ROW_KINDS = ("users", "rings", "items")


def offset_matches(stored: bytes | None, expected: int | None) -> bool:
    """Say whether the stored offset is the one this worker started from."""
    return (None if stored is None else int(stored)) == expected


def _check_offset(shard: str, stored: bytes | None, expected: int | None) -> None:
    if not offset_matches(stored, expected):
        raise CommitConflict(f"{shard}: stored offset is {stored!r}, not {expected}")


@contextlib.contextmanager
def _as_store_errors(what: str) -> Iterator[None]:
    try:
        yield
    except (redis.RedisError, RedisClusterException) as error:
        raise StoreError(
            f"Redis did not {what}: {type(error).__name__}: {str(error).rstrip('.')}. "
            "Check redis.url and the server (`streamrec doctor`)"
        ) from error


class Store:
    """A connection to Redis >= 7, Valkey or Redis Cluster; belongs to one thread."""

    def __init__(self, settings: RedisSettings) -> None:
        options: dict[str, Any] = {
            "socket_timeout": settings.timeout_seconds,
            "socket_connect_timeout": settings.timeout_seconds,
        }
        self._cluster: RedisCluster | None = None
        self._client: redis.Redis | None = None
        try:
            if settings.cluster:
                # the nodes' own clients execute, without retries
                self._cluster = RedisCluster.from_url(
                    settings.url, retry=Retry(ExponentialBackoff(cap=0.5), 3), **options
                )
            else:
                self._client = redis.Redis.from_url(
                    settings.url, retry=Retry(NoBackoff(), 0), **options
                )
        except ValueError as error:
            raise ConfigurationError(
                f"redis.url {without_password(settings.url)!r}: {error}"
            ) from None
        except (redis.RedisError, RedisClusterException) as error:
            raise StoreError(
                f"no Redis Cluster at {without_password(settings.url)}: {error}. Start it, or set "
                "redis.cluster = false"
            ) from error

    def client(self, name: str) -> "redis.Redis":
        """Return the client of the node that holds the key."""
        if self._client is not None:
            return self._client
        assert self._cluster is not None
        node: Any = self._cluster.get_node_from_key(name)  # type: ignore[no-untyped-call]
        client: redis.Redis = self._cluster.get_redis_connection(node)
        return client

    def run(self, calls: Sequence[tuple[Any, ...]]) -> list[Any]:
        """Execute (command, key, ...) calls, one round trip a node; replies in order.

        EVAL calls are (EVAL, script, 1, key, ...). Raises StoreError if any fails.
        """
        groups: dict[redis.Redis, list[int]] = {}
        for n, call in enumerate(calls):
            groups.setdefault(self.client(call[3] if call[0] == "EVAL" else call[1]), []).append(n)
        replies: list[Any] = [None] * len(calls)
        with _as_store_errors("answer"):
            for client, numbers in groups.items():
                pipe: Any = client.pipeline(transaction=False)
                for n in numbers:
                    pipe.execute_command(*calls[n])
                for n, reply in zip(numbers, self._execute(pipe), strict=True):
                    replies[n] = reply
        return replies

    def _execute(self, pipe: Any) -> list[Any]:
        try:
            return pipe.execute()  # type: ignore[no-any-return]
        except (redis.exceptions.MovedError, redis.ConnectionError):
            if self._cluster is not None:
                self._cluster.nodes_manager.initialize()
            raise

    def declare(self, users: int, items: int, metadata: int, size: int) -> Shards:
        """Write how the state is partitioned; raises ConfigurationError if it differs."""
        wanted = Shards(users, items, metadata, size, secrets.token_hex(4))
        self.run([("SET", SHARDS, msgspec.json.encode(wanted), "NX")])
        stored = self.shards()
        assert stored is not None
        for name in ("version", "users", "items", "metadata", "size"):
            have, want = getattr(stored, name), getattr(wanted, name)
            if have != want:
                raise ConfigurationError(
                    f"the state in Redis was made with {name} = {have}, the topics or settings now "
                    f"say {want}: restore them, or start with empty topics and an empty Redis"
                )
        return stored

    def shards(self) -> Shards | None:
        """Return how the state is partitioned; None before the first learn process."""
        blob = self.run([("GET", SHARDS)])[0]
        return None if blob is None else msgspec.json.decode(blob, type=Shards)

    def meta(self, shard: str) -> dict[bytes, bytes]:
        """Return a shard's meta fields; empty when nothing is stored.

        Raises DamagedState when there are rows without them: starting over would count twice.
        """
        found: dict[bytes, bytes] = self.run([("HGETALL", key(shard, "meta"))])[0]
        if not found and any(self.run([("EXISTS", key(shard, kind)) for kind in ROW_KINDS])):
            raise DamagedState(
                f"Redis has rows of {shard} but no {key(shard, 'meta')}: was a key evicted or "
                "deleted? Set maxmemory-policy to noeviction; restore a backup, or delete sr:*"
            )
        return found

    def check_offsets(self, expected: Mapping[str, int | None]) -> None:
        """Raise CommitConflict unless each shard's stored offset is the expected one."""
        stored = self.run([("HGET", key(shard, "meta"), "offset") for shard in expected])
        for (shard, offset), found in zip(expected.items(), stored, strict=True):
            _check_offset(shard, found, offset)

    def rows(self, shard: str, kind: str, fields: Sequence[bytes | str]) -> list[bytes | None]:
        """Return rows by field, None where absent."""
        return self.many_rows([(shard, kind, fields)])[0]

    def many_rows(
        self, wanted: Sequence[tuple[str, str, Sequence[bytes | str]]]
    ) -> list[list[bytes | None]]:
        """Return the rows of several (shard, kind, fields) in one round trip a node."""
        asked = [one for one in wanted if one[2]]
        found = iter(self.run([("HMGET", key(s, kind), *fields) for s, kind, fields in asked]))
        return [next(found) if fields else [] for _, _, fields in wanted]

    def scan(self, shard: str, kind: str) -> Iterator[tuple[bytes, bytes]]:
        """Yield all rows of one kind; a row may come twice while it is being written."""
        name = key(shard, kind)
        with _as_store_errors("answer"):
            yield from self.client(name).hscan_iter(name, count=SCAN_COUNT)

    def all_rows(self, shard: str, kind: str) -> dict[bytes, bytes]:
        """Return all rows of one kind."""
        return dict(self.scan(shard, kind))

    def commit(self, commit: Commit) -> None:
        """Store rows and offset in one act; raises CommitConflict when another worker was here.

        A StoreError leaves open whether the commit happened: restore the shard to know.
        """
        meta = key(commit.shard, "meta")
        pipe: Any
        with _as_store_errors("commit"), self.client(meta).pipeline(transaction=True) as pipe:
            pipe.watch(meta)
            stored = pipe.hget(meta, "offset")
            _check_offset(commit.shard, stored, commit.expected)
            pipe.multi()
            for kind, fields in commit.deletes.items():
                if fields:
                    pipe.hdel(key(commit.shard, kind), *fields)
            for kind, rows in commit.rows.items():
                if rows:
                    pipe.hset(key(commit.shard, kind), mapping=dict(rows))
            if commit.due:
                pipe.zadd(key(commit.shard, "due"), dict(commit.due), lt=True)
            if commit.feed:
                pipe.xadd(
                    key(commit.shard, "feed"),
                    dict(commit.feed),
                    maxlen=commit.feed_entries,
                    approximate=False,
                )
            pipe.hset(meta, mapping=dict(commit.meta))
            try:
                self._execute(pipe)
            except redis.WatchError as error:
                if "changed" not in str(error):  # redis-py says so of a lost connection too
                    raise
                raise CommitConflict(f"{commit.shard}: another worker committed") from None

    def take_due(
        self, shards: Iterable[str], now: float, lease: float, most: int
    ) -> dict[str, list[tuple[str, float]]]:
        """Lease due users until `lease` (epoch ms): {shard: [(user, due since)]}."""
        names = list(shards)
        replies = self.run(
            [("EVAL", TAKE_DUE, 1, key(name, "due"), now, repr(lease), most) for name in names]
        )
        return {
            name: [(u.decode(), float(t)) for u, t in zip(r[::2], r[1::2], strict=True)]
            for name, r in zip(names, replies, strict=True)
            if r
        }

    def done(self, taken: Mapping[str, Sequence[str]], lease: float) -> None:
        """Take users off the due set unless they clicked, or were leased again, since."""
        self.run(
            [("EVAL", DONE, 1, key(s, "due"), repr(lease), *users) for s, users in taken.items()]
        )

    def due_count(self, shards: Iterable[str]) -> int:
        """Return how many users are due or leased."""
        return sum(self.run([("ZCARD", key(name, "due")) for name in shards]))

    def publish(
        self, lists: Sequence[tuple[str, int, bytes, bytes]], model: str, ttl: int
    ) -> list[bool]:
        """Store (user, offset, list, shown row); False where a newer list is there already."""
        calls: list[tuple[Any, ...]] = []
        for user, offset, blob, _ in lists:
            calls.append(("EVAL", PUBLISH, 1, f"rec:{user}", blob, ttl, model, offset))
        published = [bool(reply) for reply in self.run(calls)]
        self.run(
            [
                ("SET", f"sr:shown:{user}", shown, "EX", ttl)
                for (user, _, _, shown), ok in zip(lists, published, strict=True)
                if ok
            ]
        )
        return published

    def lists(self, users: Sequence[str]) -> list[bytes | None]:
        """Return the published JSON lists."""
        return self._values([f"rec:{user}" for user in users])

    def shown(self, users: Sequence[str]) -> list[bytes | None]:
        """Return what was shown to users, source by source, for the live metrics."""
        return self._values([f"sr:shown:{user}" for user in users])

    def _values(self, names: Sequence[str]) -> list[bytes | None]:
        if self._cluster is not None:
            return self.run([("GET", name) for name in names])
        found: list[bytes | None] = self.run([("MGET", *names)])[0] if names else []
        return found

    def feed(
        self, positions: Mapping[str, bytes], most: int
    ) -> dict[str, list[tuple[bytes, dict[bytes, bytes]]]]:
        """Return the feed entries after each shard's position."""
        replies = self.run(
            [
                ("XRANGE", key(s, "feed"), b"(" + at, "+", "COUNT", most)
                for s, at in positions.items()
            ]
        )
        return dict(zip(positions, replies, strict=True))

    def feed_end(self, shard: str) -> bytes:
        """Return the position of the latest feed entry."""
        last = self.run([("XREVRANGE", key(shard, "feed"), "+", "-", "COUNT", 1)])[0]
        return bytes(last[0][0]) if last else b"0-0"

    def sample_users(self, shard: str, most: int) -> list[tuple[bytes, bytes]]:
        """Return up to `most` random user rows."""
        found = self.run([("HRANDFIELD", key(shard, "users"), most, "WITHVALUES")])[0]
        return [tuple(pair) for pair in found]

    def close(self) -> None:
        """Close the connections."""
        client = self._client or self._cluster
        if client is not None:
            client.close()
