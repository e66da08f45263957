"""The item fold: update records of one partition in, item rows out."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from streamrec.blend.learned import LearnedBlend, read_sample
from streamrec.blend.rules import BLEND_KEY, blend_rules
from streamrec.errors import GapError, UnknownVersion
from streamrec.settings.sections import Settings
from streamrec.sources.factors import initial_vectors
from streamrec.sources.registry import SEGMENT_PREFIX
from streamrec.state import item_kernel, item_lists, rows
from streamrec.state.item_kernel import Columns, ItemArrays, ItemRules
from streamrec.state.keys import KeyIndex, grow, take
from streamrec.state.updates import Header, Updates

Array = NDArray[Any]
Rows = dict[bytes, bytes]


class Fold(NamedTuple):
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
        self.rules = ItemRules(
            settings.factors.learning_rate,
            np.array(settings.popularity.half_lives_seconds, np.float64) * 1000.0,
            settings.similarity.half_life_seconds * 1000.0,
            settings.similarity.window,
            settings.similarity.reverse_weight,
            settings.cosine.half_life_seconds * 1000.0,
            settings.cosine.window if settings.cosine.neighbours else 0,
            settings.successors.window if settings.successors.entries else 0,
        )
        self.blend: LearnedBlend | None = None
        self._blend_changed = False
        self._catalogue: Rows = {}
        self._deleted: list[bytes] = []
        self._allocate(1024)

    def _allocate(self, n: int) -> None:
        settings = self.settings
        self.index = KeyIndex(n)
        self.items = item_kernel.empty(
            n,
            settings.factors.size,
            2 * settings.similarity.neighbours,
            2 * settings.cosine.neighbours,
            settings.successors.entries,
        )

    def fold(self, record: Updates) -> Fold:
        """Apply one update record; raises GapError when one before it is missing."""
        header = record.header
        if header.size != self.settings.factors.size:
            raise UnknownVersion(
                f"{self.name}: an update record made with factors.size = {header.size}, here it is "
                f"{self.settings.factors.size}: give all learn processes the same settings"
            )
        mark = self.mark(header)
        if header.next <= mark and header.first < header.next:
            return Fold(True, 0)
        known = self._name(header, record["keys"])
        c = record.columns
        unknown = item_kernel.fold(
            self.items,
            Columns(
                known, c["offsets"], c["ts"], c["weights"],
                c["z"].astype(np.float32), c["g"].astype(np.float32),
                c["item_events"], c["item_keys"], c["item_gains"], c["item_ts"],
                c["scored_events"], c["scored_keys"], c["scored_log_q"], c["scored_rest"],
                c["scored_y"],
                c["context_events"], c["context_keys"], c["context_weights"],
                c["pair_events"], c["pair_keys"], c["pair_others"], c["pair_ranks"],
            ),
            mark,
            self.rules,
        )  # fmt: skip
        for offset, key, entry in header.metadata:
            if offset >= mark:
                self._add(np.array([key], np.uint64))
                self._catalogue[_field(key)] = entry
        for offset, sample in header.samples:
            if offset >= mark:
                self._learn_blend(sample)
        self.marks[header.source] = max(mark, header.next)
        return Fold(mark > header.first, int(unknown))

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

    def _learn_blend(self, sample: bytes) -> None:
        read = read_sample(sample)
        if read is not None:
            self.blend = self.blend or LearnedBlend(blend_rules(self.settings))
            self.blend.learn(*read)
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
        if self.index.size > first:
            if self.index.size > len(self.items.events):
                self.items = ItemArrays._make(grow(a, self.index.size) for a in self.items)
            initial_vectors(
                self.items.targets,
                self.index.keys[: self.index.size],
                first,
                self.settings.factors.seed,
            )
            self.items.changed[first : self.index.size] = True

    def changes(self) -> tuple[dict[str, Rows], dict[str, list[bytes]], dict[str, str | int]]:
        """Return rows to store, fields to delete and meta fields since the last call; snapshots."""
        self.keep_within_bound()
        self.commits += 1
        n = self.index.size
        factors = take(self.items.changed, n)
        catalogue, deleted = self.take_catalogue(), self.take_deleted()
        stored = {
            "factors": dict(
                zip(self._fields(factors), rows.encode_factors(self._records(factors)), strict=True)
            ),
            "catalogue": catalogue,
        }
        for kind in item_lists.KINDS:
            at = item_lists.take_changed(self.items, kind, n)
            blobs = item_lists.encode(self.items, kind, at)
            stored[kind] = dict(zip(self._fields(at), blobs, strict=True))
        stored["blend"] = {}
        if self.blend is not None and self._blend_changed:
            stored["blend"][BLEND_KEY] = self.blend.to_bytes()
        self._blend_changed = False
        meta: dict[str, str | int] = {
            "version": rows.VERSION,
            "offset": self.offset,
            "commits": self.commits,
            "items": n,
            "marks": json.dumps(self.marks),
        }
        return stored, {kind: deleted for kind in stored if kind != "blend"}, meta

    def take_catalogue(self) -> Rows:
        """Return the catalogue rows since the last call."""
        catalogue, self._catalogue = self._catalogue, {}
        return catalogue

    def take_deleted(self) -> list[bytes]:
        """Return the fields of the items evicted since the last call."""
        deleted, self._deleted = self._deleted, []
        return deleted

    @classmethod
    def restore(
        cls,
        number: int,
        settings: Settings,
        meta: Mapping[bytes, bytes],
        stored: Mapping[str, Mapping[bytes, bytes]],
    ) -> "ItemShard":
        """Return the shard as its last commit left it."""
        rows.check_version(np.array([int(meta[b"version"])]), f"item shard {number}")
        shard = cls(number, settings, int(meta[b"offset"]))
        shard.commits = int(meta[b"commits"])
        shard.marks = json.loads(meta[b"marks"])
        shard._add(np.frombuffer(b"".join(stored["factors"]), "<u8"))
        shard._restore_factors(list(stored["factors"].values()))
        for kind in item_lists.KINDS:
            if stored[kind]:
                at = shard.index.rows(np.frombuffer(b"".join(stored[kind]), "<u8"))
                item_lists.restore(shard.items, kind, at, list(stored[kind].values()))
        if BLEND_KEY in stored["blend"]:
            blob = stored["blend"][BLEND_KEY]
            shard.blend = LearnedBlend.from_bytes(blob, blend_rules(settings))
        shard.items.changed[:] = False
        return shard

    def _records(self, at: Array) -> Array:
        records = np.zeros(len(at), rows.factor_dtype(self.settings.factors.size))
        for name, array in self._record_fields():
            records[name] = array[at]
        return records

    def _restore_factors(self, blobs: Sequence[bytes]) -> None:
        records = rows.decode_factors(blobs, self.settings.factors.size)
        for name, array in self._record_fields():
            array[: len(records)] = records[name]

    def _record_fields(self) -> tuple[tuple[str, Array], ...]:
        a = self.items
        return (
            ("events", a.events), ("pairs", a.pairs), ("popularity", a.popularity),
            ("clock", a.clocks), ("born", a.born), ("bias", a.biases), ("bias_sum", a.bias_sums),
            ("target_sum", a.target_sums), ("offset_sum", a.offset_sums),
            ("target", a.targets), ("offset", a.offsets),
        )  # fmt: skip

    def _fields(self, at: Array) -> list[bytes]:
        return [_field(key) for key in self.index.keys[at].tolist()]

    def keep_within_bound(self) -> None:
        """Over the bound, keep the most popular 95 % (longest half-life) and rebuild the arrays.

        Segments are kept by what was taken in them.
        """
        n, bound = self.index.size, self.settings.items.max_items
        if n <= bound:
            return
        newest = self.items.clocks[:n].max()
        age = (self.items.clocks[:n] - newest).astype(np.float64)
        worth = self.items.popularity[:n, 2] * np.exp2(age / self.rules.half_lives_ms[2])
        worth += self._worth_of_segments(newest)
        order = np.argsort(-worth, kind="stable")
        most = max(1, int(0.95 * bound))
        keep, gone = np.sort(order[:most]), order[most:]
        self._deleted.extend(self._fields(gone))
        for field in self._deleted:
            self._catalogue.pop(field, None)
        kept_keys, kept = self.index.keys[keep].copy(), [a[keep] for a in self.items]
        self._allocate(bound)
        self.index.add(kept_keys)
        self.items = ItemArrays._make(grow(a, bound) for a in kept)

    def _worth_of_segments(self, newest: int) -> NDArray[np.float64]:
        """Return float64[items]: of a segment, which no event names as its item, what it counts."""
        items, n = self.items, self.index.size
        at = np.flatnonzero((items.events[:n] == 0) & (items.near_sizes[:n] > 0))
        used = np.arange(items.near_weights.shape[1]) < items.near_sizes[at][:, None]
        clocks = np.where(items.near_clocks[at] > 0, items.near_clocks[at], newest)  # 0: no decay
        age = (clocks - newest).astype(np.float64)
        counts = np.where(used, items.near_weights[at], 0.0).sum(axis=1)
        worth = np.zeros(n)
        worth[at] = counts * np.exp2(age / self.rules.half_lives_ms[2])
        return worth


def _field(key: int) -> bytes:
    return key.to_bytes(8, "little")
