"""The fold of one items partition: forwards metadata to the owners of the items."""

import json
from collections.abc import Mapping, Sequence

import msgspec
import numpy as np

from streamrec.events.event import Item, Rejected
from streamrec.state import schema, updates
from streamrec.state.keys import key_of
from streamrec.state.user_fold import Counters


class MetadataShard:
    """State of one items partition: its offset and counters."""

    def __init__(self, number: int, size: int, item_partitions: int, start: int) -> None:
        self.name = f"m{number}"
        self.size = size
        self.item_partitions = item_partitions
        self.start = self.offset = start
        self.counters = Counters()

    def fold(
        self, decoded: Sequence[tuple[int, Item | Rejected]], next_offset: int
    ) -> list[updates.Updates]:
        """Return one record for each item partition, with the metadata of the items it owns."""
        parts: list[list[tuple[int, int, bytes]]] = [[] for _ in range(self.item_partitions)]
        for offset, item in decoded:
            self.counters.consumed += 1
            if isinstance(item, Rejected):
                self.counters.rejected += 1
                continue
            self.counters.accepted += 1
            key = key_of(item.item)
            parts[key % self.item_partitions].append((offset, key, catalogue_entry(item)))
        first, self.offset = self.offset, next_offset
        span = self.start, first, next_offset
        headers = [updates.Header(self.name, *span, self.size, metadata=m) for m in parts]
        return [updates.make(header, {}) for header in headers]

    def changes(self) -> tuple[dict[str, dict[bytes, bytes]], dict[str, str | int]]:
        """Return the rows (none) and meta fields to store."""
        meta: dict[str, str | int] = {
            "version": schema.VERSION,
            "offset": self.offset,
            "start": self.start,
            "counters": json.dumps(msgspec.structs.asdict(self.counters)),
        }
        return {}, meta

    def committed(self) -> None:
        """Nothing is cached."""

    @classmethod
    def restore(
        cls, number: int, size: int, item_partitions: int, meta: Mapping[bytes, bytes]
    ) -> "MetadataShard":
        """Return the shard as its last commit left it."""
        schema.check_version(np.array([int(meta[b"version"])]), f"metadata shard {number}")
        shard = cls(number, size, item_partitions, int(meta[b"start"]))
        shard.offset = int(meta[b"offset"])
        shard.counters = msgspec.json.decode(meta[b"counters"], type=Counters)
        return shard


def catalogue_entry(item: Item) -> bytes:
    """Return the catalogue JSON of an item; a deleted one stays as unavailable."""
    if item.deleted:
        return msgspec.json.encode({"item": item.item, "available": False})
    return msgspec.json.encode(item)
