"""The item fold: update records of one partition in, item rows out."""

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from streamrec.blend.learned import Click, LearnedBlend
from streamrec.blend.rules import BLEND_KEY, blend_rules
from streamrec.errors import GapError, UnknownVersion
from streamrec.settings.sections import Settings
from streamrec.sources.popularity import LONG, half_lives_ms
from streamrec.sources.registry import sources_of
from streamrec.sources.segment import SEGMENT_PREFIX
from streamrec.sources.source import having
from streamrec.state import schema, texts
from streamrec.state.item_rows import (
    BLEND,
    CATALOGUE,
    ITEMS,
    ItemSchema,
    changed_of,
)
from streamrec.state.keys import KeyIndex, take
from streamrec.state.updates import Header, Updates, learnt

Array = NDArray[Any]
Rows = dict[bytes, bytes]
KEPT = 0.95
"""Share of the bound that is kept when it is passed, so that it is passed rarely."""


class ItemFold(NamedTuple):
    """What one record did."""

    repeat: bool  # the whole record, or part of it, had been applied before
    unknown: int  # updates of items that were evicted here


class ItemShard:
    """State of one updates partition. Bound: items.max_items rows of bounded lists.

    The owner of BLEND_KEY also keeps the learned blend: one more row.
    """

    def __init__(self, number: int, settings: Settings, offset: int) -> None:
        self.name = f"i{number}"
        self.settings = settings
        self.offset = offset
        self.commits = 0
        self.marks: dict[str, int] = {}
        self.sources = sources_of(settings)
        self.schema = ItemSchema(self.sources)
        self._learning = having("learn", self.sources)
        self._starting = having("start", self.sources)
        self.blend: LearnedBlend | None = None
        self._blend_changed = False
        self._catalogue: Rows = {}
        self._deleted: list[bytes] = []
        self.texts_wait = True  # some texts may have no vector
        self.index = KeyIndex()
        self.items = self.schema.owned(1024)

    def fold(self, record: Updates) -> ItemFold:
        """Apply one update record; raises GapError when one before it is missing."""
        header = record.header
        if header.size != self.settings.factors.size:
            raise UnknownVersion(
                f"{self.name}: an update record made with factors.size = {header.size}, here it is "
                f"{self.settings.factors.size}: give all learn processes the same settings"
            )
        mark = self.mark(header)
        if header.next <= mark and header.first < header.next:
            return ItemFold(True, 0)
        what = learnt(record, self._name(header, record["keys"]), mark)
        for source in self._learning:
            source.learn(self.items, what)
        for offset, key, entry in header.metadata:
            if offset >= mark:
                self._describe(key, entry)
        for offset, sample in header.samples:
            if offset >= mark:
                self._learn_blend(self._blend().read_sample(sample))
        for click in record.clicks if header.first >= mark else ():
            self._learn_blend(click)
        self.marks[header.source] = max(mark, header.next)
        return ItemFold(mark > header.first, what.unknown())

    def mark(self, header: Header) -> int:
        """Return the source's next expected offset; raises GapError when the record is past it."""
        mark = self.marks.get(header.source, header.start)
        if header.first > mark:
            raise GapError(
                f"{self.name}: updates of {header.source} jump from offset {mark} to {header.first}"
                ": a record is missing from the updates topic. Nothing is counted wrong, but this "
                "shard cannot go on: empty Redis and the updates topic, and learn again from the "
                "events; see docs/guarantees.md"
            )
        return mark

    def _describe(self, key: int, entry: bytes) -> None:
        """Take in an item's metadata."""
        keys = np.array([key], np.uint64)
        self._add(keys)
        self._catalogue[_field(key)] = entry
        self.texts_wait |= texts.want(self.items, int(self.index.rows(keys)[0]), entry)

    def unencoded(self, number: int, most: int) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
        """Return keys and text addresses of items without a vector by an encoder, `most` of them.

        number: the encoder's. Vectors by any other are taken out.
        """
        at = texts.waiting(self.items, self.index.size, number)
        texts.forget(self.items, at)
        self.texts_wait = len(at) > 0
        return self.index.keys[at[:most]], self.items.text_of[at[:most]]

    def texts_waiting(self, number: int) -> int:
        """Return how many items have a text without a vector by an encoder."""
        return len(texts.waiting(self.items, self.index.size, number))

    def encoded(self, keys: Array, addresses: Array, vectors: Array, number: int) -> int:
        """Take in vectors int8[n, WIDTH] of texts; return of how many items it is the text now."""
        at = self.index.rows(keys)
        still = (at >= 0) & (self.items.text_of[at] == addresses)
        texts.keep(self.items, at[still], vectors[still], number)
        return int(still.sum())

    def _blend(self) -> LearnedBlend:
        return self.blend or LearnedBlend(blend_rules(self.settings))

    def _learn_blend(self, click: Click | None) -> None:
        if click is not None:
            self.blend = self._blend()
            self.blend.learn(*click)
            self._blend_changed = True

    def _name(self, header: Header, keys: NDArray[np.uint64]) -> NDArray[np.int32]:
        """Return the rows of keys, -1 unknown; items that events of this record name get one."""
        known = self.index.rows(keys)
        new = [(at, item) for at, item in header.ids if known[at] < 0]
        for at, item in new:
            entry: dict[str, Any] = {"item": item}
            if item.startswith(SEGMENT_PREFIX):
                entry["available"] = False
            self._catalogue[_field(int(keys[at]))] = json.dumps(entry).encode()
        if new:
            self._add(keys[[at for at, _ in new]])
            known = self.index.rows(keys)
        return known

    def _add(self, keys: NDArray[np.uint64]) -> None:
        first = self.index.size
        self.index.add(keys)
        size = self.index.size
        if size > first:
            self.items.reserve(size)
            for source in self._starting:
                source.start(self.items, self.index.keys[:size], first)
            self.items.items_changed[first:size] = schema.ALL

    def changes(self) -> tuple[dict[str, Rows], dict[str, list[bytes]], dict[str, str | int]]:
        """Return rows to store, fields to delete and meta fields since the last call; snapshots."""
        self.keep_within_bound()
        self.commits += 1
        n, stored = self.index.size, {}
        catalogue, deleted = self.take_catalogue(), self.take_deleted()
        for name, kind in self.schema.kinds.items():
            at = take(self.items.named(changed_of(name)), n)
            stored[name] = dict(zip(self._fields(at), kind.pack(self.items, at), strict=True))
        stored[CATALOGUE] = catalogue
        stored[BLEND] = {}
        if self.blend is not None and self._blend_changed:
            stored[BLEND][BLEND_KEY] = self.blend.to_bytes()
        self._blend_changed = False
        meta: dict[str, str | int] = {
            "version": schema.VERSION,
            "schema": self.schema.signature,
            "offset": self.offset,
            "commits": self.commits,
            "items": n,
            "marks": json.dumps(self.marks),
        }
        return stored, {kind: deleted for kind in stored if kind != BLEND}, meta

    def begin(self, offset: int, marks: Mapping[str, int], catalogue: Mapping[int, bytes]) -> None:
        """Go on at `offset` of a log with what was learnt elsewhere; all of it is to be stored.

        marks: up to where each source has told; catalogue: of all items, by key.
        """
        self.keep_within_bound()
        self.offset, self.marks = offset, dict(marks)
        keys = self.index.keys[: self.index.size].tolist()
        self._catalogue = {_field(key): catalogue[key] for key in keys}
        self.untold()

    def untold(self) -> None:
        """Count all rows, and the blend, as changed since somebody looked."""
        self._blend_changed = self.blend is not None
        for kind in self.schema.kinds:
            self.items.named(changed_of(kind))[: self.index.size] = schema.ALL

    def take_catalogue(self) -> Rows:
        """Return the catalogue rows since the last call."""
        catalogue, self._catalogue = self._catalogue, {}
        return catalogue

    def take_deleted(self) -> list[bytes]:
        """Return the fields of the items evicted since the last call."""
        deleted, self._deleted = self._deleted, []
        return deleted

    def entries(self) -> dict[str, int]:
        """Return how many entries the lists of each kind hold."""
        counts = {}
        for name, kind in self.schema.kinds.items():
            if kind.lists:
                longest = kind.lists[0]
                sizes = self.items.named(longest.sized_by)[: self.index.size]
                counts[name] = int(np.minimum(sizes, longest.width).sum())
        return counts

    @classmethod
    def restore(
        cls,
        number: int,
        settings: Settings,
        meta: Mapping[bytes, bytes],
        stored: Mapping[str, Mapping[bytes, bytes]],
    ) -> "ItemShard":
        """Return the shard as its last commit left it."""
        schema.check_version(np.array([int(meta[b"version"])]), f"item shard {number}")
        shard = cls(number, settings, int(meta[b"offset"]))
        shard.schema.check(meta[b"schema"].decode())
        shard.commits = int(meta[b"commits"])
        shard.marks = json.loads(meta[b"marks"])
        shard._add(np.frombuffer(b"".join(stored[ITEMS]), "<u8"))
        for name, kind in shard.schema.kinds.items():
            if stored[name]:
                at = shard.index.rows(np.frombuffer(b"".join(stored[name]), "<u8"))
                kind.unpack(shard.items, at, list(stored[name].values()))
        if BLEND_KEY in stored[BLEND]:
            blob = stored[BLEND][BLEND_KEY]
            shard.blend = LearnedBlend.from_bytes(blob, blend_rules(settings))
        shard.items.items_changed[:] = 0
        return shard

    def _fields(self, at: Array) -> list[bytes]:
        return [_field(key) for key in self.index.keys[at].tolist()]

    def keep_within_bound(self) -> None:
        """Over the bound, keep the most popular 95 % (longest half-life) and rebuild the arrays.

        Segments are kept by what was taken in them.
        """
        n, bound = self.index.size, self.settings.items.max_items
        if n <= bound:
            return
        order = np.argsort(-self._worth(), kind="stable")
        most = max(1, int(KEPT * bound))
        keep, gone = np.sort(order[:most]), order[most:]
        self._deleted.extend(self._fields(gone))
        for field in self._deleted:
            self._catalogue.pop(field, None)
        kept = self.index.keys[keep].copy()
        self.index = KeyIndex(bound)
        self.index.add(kept)
        self.items.keep(keep, bound)

    def _worth(self) -> NDArray[np.float64]:
        """Return float64[items]: popularity; of a segment, which nobody takes, what it counts."""
        items, n = self.items, self.index.size
        half_life = half_lives_ms(self.settings)[LONG]
        newest = items.clock[:n].max()
        age = (items.clock[:n] - newest).astype(np.float64)
        worth: NDArray[np.float64] = items.popularity[:n, LONG] * np.exp2(age / half_life)
        sizes, weights = items.similarity_size[:n], items.similarity_weights
        at = np.flatnonzero((items.events[:n] == 0) & (sizes > 0))
        used = np.arange(weights.shape[1]) < sizes[at][:, None]
        clocks = items.similarity_clock[at]
        age = (np.where(clocks > 0, clocks, newest) - newest).astype(np.float64)  # 0: no decay
        worth[at] += np.where(used, weights[at], 0.0).sum(axis=1) * np.exp2(age / half_life)
        return worth


def _field(key: int) -> bytes:
    return key.to_bytes(8, "little")
