"""Reads the stored state as it is, for audit and export; never writes."""

import json
from collections.abc import Iterator

import msgspec

from streamrec.errors import StoreError
from streamrec.monitoring.log_lines import without_password
from streamrec.settings.sections import RedisSettings
from streamrec.transport.redis_store import Store


class ShardMeta(msgspec.Struct):
    """What a shard's meta hash says; `marks` of item shards only, the rest of the others only."""

    offset: int
    start: int = 0
    counters: dict[str, int] = {}
    types: list[str] = []
    marks: dict[str, int] = {}


class Stored:
    """The state in one Redis, standalone or cluster."""

    def __init__(self, settings: RedisSettings) -> None:
        self.store = Store(settings)
        shards = self.store.shards()
        if shards is None:
            self.close()
            raise StoreError(
                f"Redis at {without_password(settings.url)} holds no streamrec state: "
                "start `streamrec learn` first, or set STREAMREC_REDIS=url."
            )
        counts = {"u": shards.users, "m": shards.metadata, "i": shards.items}
        self._names = {kind: [f"{kind}{n}" for n in range(count)] for kind, count in counts.items()}

    def names(self, kind: str) -> list[str]:
        """Return the names of the shards of a kind: u (users), m (metadata) or i (items)."""
        return self._names[kind]

    def meta(self, shard: str) -> ShardMeta | None:
        """Return what a shard's last commit wrote; None before its first."""
        raw = self.store.meta(shard)
        if not raw:
            return None
        names = [name for name in ShardMeta.__struct_fields__ if name.encode() in raw]
        return msgspec.convert({name: json.loads(raw[name.encode()]) for name in names}, ShardMeta)

    def metas(self, kind: str) -> dict[str, ShardMeta]:
        """Return the metas of all shards of a kind that have one."""
        found = {name: self.meta(name) for name in self._names[kind]}
        return {name: meta for name, meta in found.items() if meta is not None}

    def rows(self, kind: str, table: str) -> Iterator[tuple[bytes, bytes]]:
        """Yield the rows of one table of all shards of a kind; a row may come twice."""
        for shard in self._names[kind]:
            yield from self.store.scan(shard, table)

    def close(self) -> None:
        """Close the connections."""
        self.store.close()
