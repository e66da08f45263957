"""The user stage: events and item metadata in; update records, dead letters and user rows out."""

import logging
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from functools import partial

from streamrec.errors import (
    FoldFailed,
    MessageRefused,
    StoreError,
    StreamrecError,
    WriteRefused,
)
from streamrec.events.event import EventDecoder, Rejected, decode_item
from streamrec.flow import load, teach
from streamrec.monitoring.metrics import Metrics
from streamrec.roles.learning.commits import Commits
from streamrec.roles.learning.dead_letters import Suspects, dead_letters
from streamrec.roles.learning.event_keys import EventKeys
from streamrec.roles.learning.forgetting import Forgetting
from streamrec.roles.learning.moving import Moving
from streamrec.roles.learning.rounds import Batches
from streamrec.roles.learning.stage import ShardsInDoubt
from streamrec.roles.learning.user_work import AnyShard, Work, commit_of
from streamrec.roles.reports.learnt_metrics import count_fold, count_rejected, report_rows
from streamrec.roles.reports.live_metrics import LiveMetrics, LookedUp
from streamrec.roles.reports.state_report import StateReport
from streamrec.roles.trace import Trace
from streamrec.settings.sections import Settings
from streamrec.state import updates
from streamrec.state.metadata_shard import MetadataShard
from streamrec.state.updates import Updates
from streamrec.state.user_fold import UserFold
from streamrec.state.user_shard import UserShard
from streamrec.transport.kafka.log import Log, Message, Partition
from streamrec.transport.redis.item_feed import ItemFeed
from streamrec.transport.redis.store import Store

logger = logging.getLogger(__name__)
STAGE = "user"


class UserLearner:
    """Folds batches of events and metadata; see docs/guarantees.md for what a crash does where."""

    def __init__(
        self,
        settings: Settings,
        log: Log,
        store: Store,
        feed: ItemFeed,
        state: StateReport,
        metrics: Metrics,
        send_samples: Callable[[Sequence[bytes]], object] = lambda samples: None,  # never waits
    ) -> None:
        self.topics = (settings.kafka.events_topic, settings.kafka.items_topic)
        self._settings = settings
        self._log = log
        self._store = store
        self._feed = feed
        self._metrics = metrics
        self._send_samples = send_samples
        self._live = LiveMetrics(settings, store, metrics)
        self._state = state
        self._item_partitions = log.partitions(settings.kafka.updates_topic)
        self._commits = Commits(STAGE, store, metrics)
        self._suspects = Suspects()
        self._trace = Trace(settings.logging)
        self._keys = EventKeys(EventDecoder(settings.events), metrics)
        self._user_shards = log.partitions(settings.kafka.events_topic)
        self._moving = Moving(settings, log, self._user_shards)
        self._forgetting = Forgetting(store, settings.lists.lease_seconds, state.name)

    def open(self, partition: Partition) -> AnyShard:
        """Restore a partition's shard from Redis, or start it at the log's beginning."""
        events = partition.topic == self._settings.kafka.events_topic
        name = f"{'u' if events else 'm'}{partition.number}"
        meta = self._commits.restored(name)
        n, parts, size = partition.number, self._item_partitions, self._settings.factors.size
        if not meta:
            start = self._log.log_start(partition)
            if events:
                return UserShard(n, self._settings, parts, start)
            return MetadataShard(n, size, parts, start)
        if events:
            self._forgetting.opened(name)
            rings = self._store.all_rows(name, "rings")
            return UserShard.restore(n, self._settings, parts, meta, rings)
        return MetadataShard.restore(n, size, parts, meta)

    def learn(self, batches: Batches, shards: Mapping[Partition, AnyShard]) -> None:
        """Gather, decide, act: fold all batches, send what they say, then store them."""
        self._feed.refresh(time.monotonic(), self._metrics)
        fresh = {
            partition: self._fresh(partition, messages, shards[partition].offset)
            for partition, messages in batches.items()
        }
        self._settle(fresh, shards, {p: m[-1].offset + 1 for p, m in fresh.items() if m})

    def pass_over(self, partition: Partition, offset: int, shard: AnyShard) -> None:
        """Store that nothing comes before `offset`, and tell the owners of items."""
        self._settle({partition: []}, {partition: shard}, {partition: offset})

    def _settle(
        self,
        fresh: Batches,
        shards: Mapping[Partition, AnyShard],
        nexts: Mapping[Partition, int],
    ) -> None:
        """Fold, send, store; a shard that Redis does not give or take does not stop the others."""
        doubts: dict[Partition, StoreError] = {}
        works = []
        for partition, next_offset in nexts.items():
            try:
                messages, shard = fresh[partition], shards[partition]
                works.append(self._fold(partition, messages, shard, next_offset))
            except StoreError as error:
                doubts[partition] = error
        doubts |= self._wrong_offsets(works)
        works = [work for work in works if work.partition not in doubts]
        found = [self._look_up(work.fold, work.records) for work in works if work.fold]
        self._send_all(works, fresh)
        for work in works:
            try:
                self._store_rows(work)
                self._observe(work)
                self._suspects.passed(work.partition, work.shard.offset)
            except StoreError as error:
                doubts[work.partition] = error
        for looked in found:
            self._live.count(looked)
            self._send_samples(looked.neural)
        if doubts:
            raise ShardsInDoubt(doubts)

    def _look_up(self, fold: UserFold, records: Sequence[Updates]) -> LookedUp:
        """Look the clicks up in the lists served; tell the blend's owner of a sample of them."""
        looked = self._live.look_up(fold)
        teach(records, looked.samples)
        self._metrics.blend_samples.inc(len(looked.samples))
        return looked

    def between(self, shards: Mapping[Partition, AnyShard]) -> None:
        """Follow the items where no events come; delete what other slots hold of the forgotten."""
        self._feed.refresh(time.monotonic(), self._metrics)
        owned = {shard.name for shard in shards.values()}
        self._forgetting.step(time.monotonic(), owned, self._user_shards)

    def report(self, shards: Mapping[Partition, AnyShard]) -> None:
        """Set the gauges."""
        users = [s for s in shards.values() if isinstance(s, UserShard)]
        report_rows(self._settings.users, users, self._metrics)
        self._state.report(time.monotonic())
        age = max((self._feed.age_events(s.name, s.offset) for s in users), default=0)
        self._metrics.item_table_age_events.set(age)
        self._metrics.item_table_age_seconds.set(time.monotonic() - self._feed.refreshed)
        self._metrics.item_table_rows.set(len(self._feed.table))
        errors = [s.counters.consumed - s.counters.explained for s in shards.values()]
        self._metrics.conservation_error_events.set(sum(map(abs, errors)))

    def _fresh(
        self, partition: Partition, messages: Sequence[Message], offset: int
    ) -> Sequence[Message]:
        """Return the messages from `offset` on; only the first while one may be poison."""
        fresh = [m for m in messages if m.offset >= offset]
        together = self._suspects.isolate(partition, fresh)
        if len(together) < len(fresh):
            self._log.seek(partition, fresh[len(together)].offset)
        return together

    def _fold(
        self,
        partition: Partition,
        messages: Sequence[Message],
        shard: AnyShard,
        next_offset: int,
    ) -> Work:
        """Fold one partition's batch; an exception of ours makes its messages suspects."""
        try:
            with self._metrics.fold_seconds.labels(STAGE).time():
                if isinstance(shard, MetadataShard):
                    refused_before = self._suspects.refused(partition, messages)
                    items = [
                        (m.offset, refused_before.get(m.offset) or decode_item(m.key, m.value))
                        for m in messages
                    ]
                    refused = [(o, i) for o, i in items if isinstance(i, Rejected)]
                    records, fold = shard.fold(items, next_offset), None
                else:
                    fold = self._fold_events(partition, messages, shard, next_offset)
                    records, refused = fold.records, fold.rejected
        except StreamrecError:
            raise
        except Exception as error:
            self._suspects.blame(partition, messages)
            logger.exception("the fold raised; looking for the message by halves")
            raise FoldFailed(
                f"folding offsets {messages[0].offset}..{next_offset - 1} of {shard.name} raised "
                f"{traceback.format_exception_only(error)[-1].strip()}"
            ) from error
        by_offset = {m.offset: m for m in messages}
        rejected = [(by_offset[offset], why) for offset, why in refused]
        return Work(partition, shard, records, rejected, fold)

    def _fold_events(
        self, partition: Partition, messages: Sequence[Message], shard: UserShard, next_offset: int
    ) -> UserFold:
        decoded = self._keys.decode(messages, time.time())
        if refused := self._suspects.refused(partition, messages):
            decoded = [(offset, at, refused.get(offset, event)) for offset, at, event in decoded]
        decoded = self._moving.checked(decoded, time.monotonic())
        self._trace.taken(shard.name, decoded)
        load(shard, decoded, lambda users: self._store.rows(shard.name, "users", users))
        return shard.fold(decoded, next_offset, self._feed.table)

    def _wrong_offsets(self, works: Sequence[Work]) -> dict[Partition, StoreError]:
        """Return the shards whose rows may have been read after another worker's commit.

        Such a batch could not be committed anyway, but its records must not be sent either: they
        would say what a history with some events twice says.
        """
        wrong = self._commits.overtaken(work.shard.name for work in works)
        return {w.partition: wrong[w.shard.name] for w in works if w.shard.name in wrong}

    def _send_all(self, works: Sequence[Work], fresh: Batches) -> None:
        """Send what the batches say, and wait; what Kafka will never take makes them suspects."""
        try:
            for work in works:
                self._send(work)
            with self._metrics.flush_seconds.time():
                self._log.flush()
        except WriteRefused as error:
            self._moving.refused(error, time.monotonic())
            raise
        except MessageRefused as error:
            for partition, messages in ((p, m) for p, m in fresh.items() if m):
                self._suspects.blame(partition, messages)
            raise FoldFailed(f"{error} Looking for the message by halves.") from error

    def _send(self, work: Work) -> None:
        """Queue the update records, moves and dead letters of one batch."""
        kafka = self._settings.kafka
        for number, record in enumerate(work.records):
            self._log.produce(kafka.updates_topic, updates.encode(record), partition=number)
        if work.fold is not None:
            self._moving.send(work.fold.moves)
        most = partial(self._suspects.most_bytes, work.partition)
        for letter in dead_letters(work.partition, work.rejected, most):
            topic, head = kafka.dead_letters_topic, letter.headers
            self._log.produce(topic, letter.value, key=letter.key, headers=head)

    def _store_rows(self, work: Work) -> None:
        """Commit one batch: rows, due users and offset together, only from the expected offset."""
        shard = work.shard
        expected, now = self._commits.expected(shard.name), time.time() * 1000.0
        commit = commit_of(work, expected, self._settings, self._store, now)
        self._commits.commit(commit, shard.offset)
        created = shard.users.created if isinstance(shard, UserShard) else 0
        self._metrics.rows_added.labels("users").inc(created)
        deleted = commit.deletes["users"]
        self._metrics.rows_dropped.labels("users").inc(len(deleted))
        told = commit.rows.get("forgotten", {})
        self._forgetting.committed(shard.name, shard.offset, told, deleted)
        shard.committed()

    def _observe(self, work: Work) -> None:
        """Count what was stored."""
        count_rejected(self._metrics, [why for _, why in work.rejected])
        if work.fold is not None:
            count_fold(self._metrics, STAGE, work.shard.name[1:], work.fold)
            self._trace.learnt(work.shard.name, work.fold)
