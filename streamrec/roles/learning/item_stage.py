"""The item stage: update records in; item rows and the feed of changed keys out."""

import logging
from collections import Counter
from collections.abc import Mapping

from streamrec.errors import GapError, LogError, StoreError, UnknownVersion
from streamrec.monitoring.metrics import Metrics
from streamrec.roles.learning.commits import Commits
from streamrec.roles.learning.encoding import Encoding
from streamrec.roles.learning.rounds import Batches
from streamrec.roles.learning.stage import ShardsInDoubt
from streamrec.roles.reports.learnt_metrics import observe_ages
from streamrec.settings.sections import Settings
from streamrec.state import updates
from streamrec.state.item_rows import BLEND, ITEMS, sound
from streamrec.state.item_shard import ItemShard
from streamrec.text.words import Encoder
from streamrec.transport.kafka.log import Log, Message, Partition, Unreadable
from streamrec.transport.redis.keys import Commit, feed_entry
from streamrec.transport.redis.store import Store

STAGE = "item"
logger = logging.getLogger(__name__)


class ItemLearner:
    """Folds update records; see docs/guarantees.md for what a crash does where."""

    def __init__(
        self,
        settings: Settings,
        log: Log,
        store: Store,
        metrics: Metrics,
        encoder: Encoder | None = None,
    ) -> None:
        self.topics = (settings.kafka.updates_topic,)
        self._settings = settings
        self._log = log
        self._store = store
        self._metrics = metrics
        self._commits = Commits(STAGE, store, metrics)
        lists = (kind for kind in ItemShard(0, settings, 0).schema.kinds.values() if kind.lists)
        self._widths = {kind.name: kind.lists[0].width for kind in lists}
        self._gaps: dict[str, str] = {}  # of each shard, the last one that was read again
        self._encoder = encoder
        self._encoding = Encoding(encoder, store, metrics) if encoder else None

    def open(self, partition: Partition) -> ItemShard:
        """Restore a partition's shard from Redis, or start it at the log's beginning."""
        name = f"i{partition.number}"
        meta = self._commits.restored(name)
        if not meta:
            return ItemShard(partition.number, self._settings, self._log.log_start(partition))
        schema = ItemShard(partition.number, self._settings, 0).schema
        stored = {kind: self._store.all_rows(name, kind) for kind in (*schema.kinds, BLEND)}
        try:
            return ItemShard.restore(partition.number, self._settings, meta, stored)
        except UnknownVersion as error:
            readable, wrong = sound(schema, stored)
            if not wrong:
                raise
            cause = {"shard": name, "items": len(wrong), "key": min(wrong).hex()}
            told = "rows of items cannot be read: what they held is begun anew"
            logger.error(told, extra=cause | {"cause": str(error)})
            return ItemShard.restore(partition.number, self._settings, meta, readable)

    def learn(self, batches: Batches, shards: Mapping[Partition, ItemShard]) -> None:
        """Fold each partition's records, then store it."""
        doubts: dict[Partition, StoreError | LogError] = {}
        for partition, messages in batches.items():
            shard = shards[partition]
            before = shard.index.size
            fresh = [m for m in messages if m.offset >= shard.offset]
            try:
                times = [t for message in fresh for t in self._fold(shard, message)]
            except GapError as gap:
                doubts[partition] = self._read_again(shard.name, gap)
                continue
            if fresh:
                self._metrics.rows_added.labels("items").inc(shard.index.size - before)
                try:
                    self._store_rows(shard)
                    self._observe(times)
                except StoreError as error:
                    doubts[partition] = error
        if doubts:
            raise ShardsInDoubt(doubts)

    def pass_over(self, partition: Partition, offset: int, shard: ItemShard) -> None:
        """Store that nothing comes before `offset`."""
        shard.offset = offset
        try:
            self._store_rows(shard)
        except StoreError as error:
            raise ShardsInDoubt({partition: error}) from error

    def between(self, shards: Mapping[Partition, ItemShard]) -> None:
        """Store vectors of texts that are ready, and have the next ones made."""
        if self._encoding is not None:
            changed = self._encoding.step(list(shards.values()))
            if changed is not None:
                self._store_rows(changed)

    def report(self, shards: Mapping[Partition, ItemShard]) -> None:
        """Set the gauges."""
        rows, limits = self._metrics.rows, self._metrics.rows_limit
        most = self._settings.items.max_items * len(shards)
        rows.labels("items").set(sum(s.index.size for s in shards.values()))
        limits.labels("items").set(most)
        entries: Counter[str] = Counter()
        for shard in shards.values():
            entries.update(shard.entries())
        for kind, width in self._widths.items():
            rows.labels(kind).set(entries[kind])
            limits.labels(kind).set(width * most)
        if self._encoder is not None:
            waiting = (shard.texts_waiting(self._encoder.number) for shard in shards.values())
            self._metrics.texts_waiting.set(sum(waiting))

    def _fold(self, shard: ItemShard, message: Message) -> list[int]:
        """Apply one record; return the log times of the events that name an item here."""
        try:
            if isinstance(message.value, Unreadable):
                raise UnknownVersion(f"{message.value.decode()}; its updates are lost")
            record = updates.decode(message.value or b"")
        except UnknownVersion as error:
            raise UnknownVersion(f"{shard.name} offset {message.offset}: {error}") from None
        with self._metrics.fold_seconds.labels(STAGE).time():
            done = shard.fold(record)
        shard.offset = message.offset + 1
        self._metrics.channel_duplicates.inc(done.repeat)
        self._metrics.updates_unknown_item.inc(done.unknown)
        times: list[int] = record["times"][record["items"]["event"]].tolist()
        return [] if done.repeat else times

    def _read_again(self, shard: str, gap: GapError) -> GapError:
        """Return a gap that is new, as a doubt; raise one that is in the topic.

        A record that the client left out, which cannot be told from here, comes when the shard is
        read again from its stored offset; one that is missing is missing again.
        """
        if self._gaps.get(shard) == str(gap):
            raise gap
        self._gaps[shard] = str(gap)
        return gap

    def _store_rows(self, shard: ItemShard) -> None:
        """Commit rows, feed entry and offset together, only from the expected offset."""
        rows, deletes, meta = shard.changes()
        changed = {kind: b"".join(fields) for kind, fields in rows.items()}
        changed["deleted"] = b"".join(deletes[ITEMS])
        commit = Commit(
            shard.name,
            self._commits.expected(shard.name),
            meta,
            rows,
            deletes,
            feed=feed_entry(shard.commits, str(meta["marks"]), changed),
            feed_entries=self._settings.items.feed_entries,
        )
        self._commits.commit(commit, shard.offset)
        self._metrics.rows_dropped.labels("items").inc(len(deletes[ITEMS]))

    def _observe(self, times: list[int]) -> None:
        """Count what was stored."""
        self._metrics.batch_events.labels(STAGE).observe(len(times))
        observe_ages(self._metrics, STAGE, times)
