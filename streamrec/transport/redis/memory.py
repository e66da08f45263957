"""How much memory Redis uses, may use, and has thrown away for want of."""

from collections.abc import Iterable
from typing import Any, NamedTuple

import redis

from streamrec.errors import StoreError
from streamrec.transport.redis.keys import key
from streamrec.transport.redis.store import Store


class RedisMemory(NamedTuple):
    """Sums over the nodes; a limit of 0 is none."""

    used_bytes: int
    limit_bytes: int
    evicted_keys: int


def redis_memory(store: Store, shards: Iterable[str]) -> RedisMemory:
    """Ask each node that holds one of the shards; raises StoreError, also where INFO is denied."""
    nodes = {store.client(key(shard, "meta")) for shard in shards}
    try:
        found: list[dict[str, Any]] = [node.info("memory", "stats") for node in nodes]
    except redis.RedisError as error:
        raise StoreError(f"Redis did not tell its memory (INFO): {error}") from error
    return RedisMemory(
        sum(one["used_memory"] for one in found),
        sum(one["maxmemory"] for one in found),
        sum(one["evicted_keys"] for one in found),
    )
