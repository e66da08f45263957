"""Which server holds a key: one server, the master that Sentinel names, or a node of a Cluster.

A connection is kept only as long as its server answers as it should: after a failover the old one
lives on, and answers READONLY or nothing at all.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any
from urllib.parse import parse_qs, urlsplit

import redis
from redis.backoff import ExponentialBackoff, NoBackoff
from redis.cluster import RedisCluster
from redis.connection import parse_url
from redis.exceptions import (
    ClusterDownError,
    MasterDownError,
    MovedError,
    ReadOnlyError,
    RedisClusterException,
)
from redis.retry import Retry
from redis.sentinel import Sentinel

from streamrec.errors import CommandRefused, ConfigurationError, StoreError
from streamrec.monitoring.log_lines import without_password
from streamrec.settings.sections import RedisSettings

CONNECT_SECONDS = 2.0
"""A host whose packets are dropped is left after so long; timeout_seconds if that is shorter."""
REDIS_ERRORS = (redis.RedisError, RedisClusterException)
# The server is not, or no longer, the one to ask; ConnectionError also stands for LOADING.
ELSEWHERE = (
    redis.ConnectionError,
    redis.TimeoutError,
    ReadOnlyError,
    ClusterDownError,
    MasterDownError,
    MovedError,
)
SENTINEL = ("redis+sentinel", "rediss+sentinel")


class Nodes:
    """The clients of the server, or servers, of `redis.url`; belongs to one thread."""

    def __init__(self, settings: RedisSettings) -> None:
        options: dict[str, Any] = {
            "socket_timeout": settings.timeout_seconds,
            "socket_connect_timeout": min(CONNECT_SECONDS, settings.timeout_seconds),
            "protocol": 2,  # every server speaks it; older ones and proxies have no HELLO
        }
        self.cluster: RedisCluster | None = None
        self._client: redis.Redis | None = None
        try:
            if settings.cluster:
                # the nodes' own clients execute, without retries
                self.cluster = RedisCluster.from_url(
                    settings.url, retry=Retry(ExponentialBackoff(cap=0.5), 3), **options
                )
            elif urlsplit(settings.url).scheme in SENTINEL:
                self._client = _master(settings.url, options)
            else:
                self._client = redis.Redis.from_url(
                    settings.url, retry=Retry(NoBackoff(), 0), **options
                )
            _refuse_options(self.cluster or self._client)
        except ConfigurationError:
            raise
        except (ValueError, TypeError):  # their texts quote the password, or the start of it
            raise ConfigurationError(
                f"redis.url {without_password(settings.url)!r} is no address that can be used. In "
                "user and password write # / ? @ [ ] % as %23 %2F %3F %40 %5B %5D %25; the port "
                "is a number; behind ? are options of redis-py, certificates for rediss:// only"
            ) from None
        except REDIS_ERRORS as error:
            raise StoreError(
                f"no Redis Cluster at {without_password(settings.url)}: {error}. Start it, or set "
                "redis.cluster = false"
            ) from error

    @property
    def is_one(self) -> bool:
        """Whether one server has all keys: then a script may name several."""
        return self.cluster is None

    def client(self, name: str) -> "redis.Redis":
        """Return the client of the node that holds the key."""
        if self._client is not None:
            return self._client
        assert self.cluster is not None
        try:
            node: Any = self.cluster.get_node_from_key(name)  # type: ignore[no-untyped-call]
        except REDIS_ERRORS as error:  # no node is known to have the slot
            self.renew(error)
            raise
        client: redis.Redis = self.cluster.get_redis_connection(node)
        return client

    def all(self) -> "list[redis.Redis]":
        """Return the clients of all servers that own keys."""
        if self._client is not None:
            return [self._client]
        assert self.cluster is not None
        nodes: list[Any] = self.cluster.get_primaries()  # type: ignore[no-untyped-call]
        return [self.cluster.get_redis_connection(node) for node in nodes]

    def run(self, calls: Sequence[tuple[Any, ...]]) -> list[Any]:
        """Execute (command, key, ...) calls, one round trip a node; replies in order.

        EVAL calls are (EVAL, script, n, key, ...), their keys in one slot. Raises StoreError if any
        fails.
        """
        replies = self.each_or_error(calls)
        for reply in replies:
            if isinstance(reply, StoreError):
                raise reply
        return replies

    def each(self, calls: Sequence[tuple[Any, ...]]) -> list[Any]:
        """Execute calls as `run` does; what one answers with is its own, be it a StoreError.

        Raises the first of them if all fail.
        """
        replies = self.each_or_error(calls)
        if replies and all(isinstance(reply, StoreError) for reply in replies):
            raise replies[0]
        return replies

    def each_or_error(self, calls: Sequence[tuple[Any, ...]]) -> list[Any]:
        """Execute calls as `each` does, also where all of them fail."""
        groups: dict[redis.Redis, list[int]] = {}
        replies: list[Any] = [None] * len(calls)
        for n, call in enumerate(calls):
            try:
                node = self.client(call[3] if call[0] == "EVAL" else call[1])
                groups.setdefault(node, []).append(n)
            except REDIS_ERRORS as error:
                replies[n] = _store_error("answer", error)
        for node, numbers in groups.items():
            found = self._ask(node, [calls[n] for n in numbers])
            for n, reply in zip(numbers, found, strict=True):
                bad = isinstance(reply, Exception)
                replies[n] = _store_error("answer", reply) if bad else reply
        return replies

    def _ask(self, node: "redis.Redis", calls: Sequence[tuple[Any, ...]]) -> list[Any]:
        """Return the replies of one node, errors among them."""
        pipe: Any = node.pipeline(transaction=False)
        for call in calls:
            pipe.execute_command(*call)
        try:
            replies: list[Any] = pipe.execute(raise_on_error=False)
        except REDIS_ERRORS as error:
            replies = [error] * len(calls)
        for reply in replies:
            if isinstance(reply, Exception):
                self.renew(reply, node)
                break
        return replies

    @contextmanager
    def asking(self, client: "redis.Redis") -> Iterator[None]:
        """Leave the server behind where what the block raises says that it is the wrong one."""
        try:
            yield
        except REDIS_ERRORS as error:
            self.renew(error, client)
            raise

    def renew(self, error: object, client: "redis.Redis | None" = None) -> None:
        """Drop the connections and look the addresses up anew, if the error is of that kind."""
        if not isinstance(error, ELSEWHERE):
            return
        if client is not None:
            client.connection_pool.disconnect()
        if self.cluster is not None:
            with suppress(*REDIS_ERRORS):  # it is asked again after the next error
                self.cluster.nodes_manager.initialize(last_failed_node_name=_name(client))

    def names(self, pattern: str, most: int) -> Iterator[list[bytes]]:
        """Yield the names of keys, those among `most` keys at a time; a name may come twice."""
        with as_store_errors("answer"):
            for client in self.all():
                cursor: Any = None
                with self.asking(client):
                    while cursor != 0:
                        found: Any = client.scan(cursor or 0, match=pattern, count=most)
                        cursor, names = found
                        yield names

    def close(self) -> None:
        """Close the connections."""
        client = self._client or self.cluster
        if client is not None:
            client.close()


def _store_error(what: str, error: Exception) -> StoreError:
    """Return ours for one of redis-py's, which quotes the command: rows and users' names."""
    text = str(error).rpartition("caused error: ")[2].rstrip(".")
    refused = isinstance(error, redis.ResponseError) and not isinstance(error, ELSEWHERE)
    return (CommandRefused if refused else StoreError)(
        f"Redis did not {what}: {type(error).__name__}: {text}. "
        "Check redis.url and the server (`streamrec doctor`)"
    )


@contextmanager
def as_store_errors(what: str) -> Iterator[None]:
    """Raise our errors for those of redis-py."""
    try:
        yield
    except REDIS_ERRORS as error:
        raise _store_error(what, error) from error


def _refuse_options(client: Any) -> None:
    """Raise for options in the URL that redis-py does not know, or that our bytes do not bear."""
    pool = getattr(client, "connection_pool", None)
    kwargs = dict(pool.connection_kwargs if pool else client.nodes_manager.connection_kwargs)
    if kwargs.get("decode_responses") or kwargs.get("encoding", "utf-8") != "utf-8":
        raise ConfigurationError("redis.url: without decode_responses and encoding, please")
    if kwargs.get("ssl_keyfile") and not kwargs.get("ssl_certfile"):
        raise ConfigurationError("redis.url: ssl_keyfile needs ssl_certfile beside it")
    if pool is not None:
        pool.make_connection()


def _name(client: "redis.Redis | None") -> str | None:
    """Return the name that the Cluster gives a client's node."""
    if client is None:
        return None
    where = client.connection_pool.connection_kwargs
    return f"{where.get('host')}:{where.get('port')}"


def _master(url: str, options: dict[str, Any]) -> "redis.Redis":
    """Return a client of the master: redis+sentinel://user:password@host:26379,host/name/0.

    The user and the options are the master's; `sentinel_username` and `sentinel_password` are those
    of the sentinels themselves.
    """
    parts = urlsplit(url)
    login, at, hosts = parts.netloc.rpartition("@")
    name, _, database = parts.path.strip("/").partition("/")
    if not name:
        raise ValueError("the master's name is missing: redis+sentinel://host:26379/NAME/0")
    asked = {k: v[0] for k, v in parse_qs(parts.query).items() if k.startswith("sentinel_")}
    query = "&".join(p for p in parts.query.split("&") if not p.startswith("sentinel_"))
    scheme = parts.scheme.partition("+")[0]
    own: Any = parse_url(f"{scheme}://{login}{at}host/{database}?{query}")  # type: ignore[no-untyped-call]
    own.pop("host", None)
    own.pop("connection_class", None)
    tls = {"ssl": True} if scheme == "rediss" else {}
    kwargs = {k.removeprefix("sentinel_"): v for k, v in asked.items()} | options | tls
    sentinel: Any = Sentinel(  # type: ignore[no-untyped-call]
        [_address(host) for host in hosts.split(",")],
        sentinel_kwargs=kwargs,
        retry=Retry(NoBackoff(), 0),
        **options,
        **own,
        **tls,
    )
    master: redis.Redis = sentinel.master_for(name)
    return master


def _address(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":") if not text.endswith("]") else (text, "", "")
    return (host or port).strip("[]"), int(port) if host and port else 26379
