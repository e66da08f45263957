"""Reads the stored state as it is, for audit and export; never writes."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec

from streamrec.errors import StoreError
from streamrec.monitoring.log_lines import without_password
from streamrec.settings.sections import RedisSettings, Settings
from streamrec.sources.registry import sources_of
from streamrec.sources.segment import SEGMENT_PREFIX
from streamrec.state.item_rows import BLEND, CATALOGUE, ITEMS, ItemSchema
from streamrec.state.user_rows import UserRow, decode_user
from streamrec.transport.redis.keys import all_shards
from streamrec.transport.redis.store import Store

Line = dict[str, Any]


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
        self.shards = shards

    def names(self, kind: str) -> list[str]:
        """Return the names of the shards of a kind: u (users), m (metadata) or i (items)."""
        return [name for name in all_shards(self.shards.counts) if name[0] == kind]

    def meta(self, shard: str) -> ShardMeta | None:
        """Return what a shard's last commit wrote; None before its first."""
        raw = self.store.meta(shard)
        if not raw:
            return None
        names = [name for name in ShardMeta.__struct_fields__ if name.encode() in raw]
        return msgspec.convert({name: json.loads(raw[name.encode()]) for name in names}, ShardMeta)

    def metas(self, kind: str) -> dict[str, ShardMeta]:
        """Return the metas of all shards of a kind that have one."""
        found = {name: self.meta(name) for name in self.names(kind)}
        return {name: meta for name, meta in found.items() if meta is not None}

    def rows(self, kind: str, table: str) -> Iterator[tuple[bytes, bytes]]:
        """Yield the rows of one table of all shards of a kind; a row may come twice."""
        for shard in self.names(kind):
            yield from self.store.scan(shard, table)

    def close(self) -> None:
        """Close the connections."""
        self.store.close()


def lines_of(stored: Stored, settings: Settings) -> Iterator[tuple[str, Iterator[Line]]]:
    """Yield users, items, pairs and partitions, each with its lines.

    Rows are read in pieces while learning may go on, so only an idle system (`streamrec audit`
    exits with 0) gives lines that belong to one moment. In memory are the ids of all items. What
    is known of segments is left out.
    """
    ids, schema = item_ids(stored), ItemSchema(sources_of(settings))
    yield "users", _users(stored, ids)
    yield "items", _items(stored, ids, schema)
    yield "pairs", _pairs(stored, ids, schema)
    yield "partitions", _partitions(stored)


def item_kinds(settings: Settings) -> tuple[str, ...]:
    """Return the kinds of all rows of item shards, those that sources keep among them."""
    return (*ItemSchema(sources_of(settings)).kinds, CATALOGUE, BLEND)


def item_ids(stored: Stored) -> dict[bytes, str]:
    """Return the ids of all items, and of segments, by their keys."""
    return {key: json.loads(entry)["item"] for key, entry in stored.rows("i", "catalogue")}


def name_of(ids: Mapping[bytes, str], key: bytes) -> str:
    """Return the item's id; an evicted item's id is gone, so its key stands for it."""
    return ids.get(key) or f"key:{key.hex()}"


def earlier_of(row: UserRow, types: Sequence[str], ids: Mapping[bytes, str]) -> list[Line]:
    """Return what was done with the items of a history before their latest events."""
    columns = row.earlier_keys, row.earlier_types.tolist(), row.earlier_ts.tolist()
    return [
        {"item": name_of(ids, key.tobytes()), "type": types[kind], "ts": ts}
        for key, kind, ts in zip(*columns, strict=True)
    ]


def _users(stored: Stored, ids: dict[bytes, str]) -> Iterator[Line]:
    for shard, meta in stored.metas("u").items():
        for user, blob in stored.store.scan(shard, "users"):
            row = decode_user(blob)
            recent = [
                {"item": name_of(ids, key.tobytes()), "type": meta.types[kind], "ts": ts}
                for key, kind, ts in zip(row.keys, row.types.tolist(), row.ts.tolist(), strict=True)
            ]
            earlier = earlier_of(row, meta.types, ids)
            yield {
                "user": user.decode(), "events": row.events, "recent": recent, "earlier": earlier,
            }  # fmt: skip


def _items(stored: Stored, ids: dict[bytes, str], schema: ItemSchema) -> Iterator[Line]:
    for key, blob in stored.rows("i", ITEMS):
        row = schema.kinds[ITEMS].read(blob)
        counts = {"events": int(row["events"]), "pairs": int(row["pairs"])}
        name = name_of(ids, key)
        if not name.startswith(SEGMENT_PREFIX):
            yield {"item": name, **counts}


def _pairs(stored: Stored, ids: dict[bytes, str], schema: ItemSchema) -> Iterator[Line]:
    for key, blob in stored.rows("i", "similarity"):
        if name_of(ids, key).startswith(SEGMENT_PREFIX):
            continue
        row = schema.kinds["similarity"].read(blob)
        pairs = zip(row["similarity_keys"], row["similarity_counts"].tolist(), strict=True)
        for neighbour, count in pairs:
            if count:  # the reverse of a pair has a weight and no count
                names = {"item": name_of(ids, key), "neighbour": name_of(ids, neighbour.tobytes())}
                yield {**names, "count": count}


def _partitions(stored: Stored) -> Iterator[Line]:
    for shard, meta in stored.metas("u").items():
        yield {"partition": int(shard[1:]), "offset": meta.offset, **meta.counters}
