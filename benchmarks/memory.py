"""What Redis holds after ml-1m: the real learners and scorer, fed by hand, and MEMORY USAGE."""

import time
from typing import Any

import redis

from benchmarks.clicks import Clicks, message
from benchmarks.figures import Sample
from benchmarks.servers import memory_kafka, start_redis
from streamrec.monitoring.metrics import Metrics
from streamrec.roles.learning.item_stage import ItemLearner
from streamrec.roles.learning.user_stage import UserLearner
from streamrec.roles.reports.state_report import StateReport
from streamrec.roles.score import Scorer
from streamrec.roles.warm import warm_up
from streamrec.settings.sections import RedisSettings, Settings
from streamrec.sources.registry import sources_of
from streamrec.state.item_rows import BLEND, CATALOGUE, ItemSchema
from streamrec.state.item_table import ItemTable
from streamrec.state.keys import key_of
from streamrec.transport.kafka.log import Message, Partition
from streamrec.transport.redis.item_feed import ItemFeed
from streamrec.transport.redis.keys import Shards, item_shards, key
from streamrec.transport.redis.store import Store

PARTITIONS = 4
TURN_EVENTS = 4_000
USER_STATE = ("users", "rings", "due")


class Memory:
    """Bytes in Redis by row type. Deterministic, so one repeat."""

    repeats = 1

    def __init__(self, clicks: Clicks, lists: int) -> None:
        self._clicks = clicks
        self._lists = lists
        self._server = start_redis(appendonly=False)
        self._client = redis.Redis.from_url(self._server.url)
        settings = Settings(redis=RedisSettings(url=self._server.url))
        warm_up(settings)
        self._learning = Learning(settings)
        self._settings = settings
        self._item_state = (*ItemSchema(sources_of(settings)).kinds, CATALOGUE)
        self._types: dict[str, dict[str, float]] = {}

    def once(self) -> Sample:
        """Learn everything, make some lists, measure."""
        self._client.flushall()
        self._learning = Learning(self._settings)
        for first in range(0, len(self._clicks), TURN_EVENTS):
            self._learning.learn(self._clicks, first, first + TURN_EVENTS)
        self._types = {kind: self._hash("u", kind) for kind in USER_STATE}
        self._types |= {kind: self._hash("i", kind) for kind in (*self._item_state, BLEND, "feed")}
        self._types |= self._strings()
        users, items = len(set(self._clicks.users)), len(set(self._clicks.items))
        total = {kind: found["bytes"] for kind, found in self._types.items()}
        return {
            "redis_bytes_per_user": sum(total[kind] for kind in USER_STATE) / users,
            "redis_bytes_per_item": sum(total[kind] for kind in self._item_state) / items,
            "redis_user_rows_bytes_per_user": total["users"] / users,
            "redis_list_bytes_per_user": self._types["lists"]["bytes_each"]
            + self._types["shown"]["bytes_each"],
            "learn_without_kafka_events_per_second": len(self._clicks) / self._learning.seconds,
        }

    def _hash(self, stage: str, kind: str) -> dict[str, float]:
        """Return rows and bytes of one kind over all shards."""
        client: Any = self._client
        count = {"due": client.zcard, "feed": client.xlen}.get(kind, client.hlen)
        names = [key(f"{stage}{n}", kind) for n in range(PARTITIONS)]
        total = sum(client.memory_usage(name, samples=0) or 0 for name in names)
        rows = sum(count(name) for name in names)
        return {"rows": rows, "bytes": total, "bytes_each": total / max(1, rows)}

    def _strings(self) -> dict[str, dict[str, float]]:
        """Let the scorer serve some users; return the bytes of their lists."""
        self._learning.score(self._lists)
        out = {}
        for kind, pattern in (("lists", "rec:*"), ("shown", "sr:shown:*")):
            names = [n for n in self._client.scan_iter(pattern, 1000) if b"~popular" not in n]
            sizes = [self._client.memory_usage(name) or 0 for name in names]
            each = sum(sizes) / max(1, len(sizes))
            out[kind] = {"rows": len(sizes), "bytes": float(sum(sizes)), "bytes_each": each}
        return out

    def notes(self) -> dict[str, object]:
        """Return the bytes of every row type."""
        return {
            "events": self._clicks.name,
            "events_learnt": len(self._clicks),
            "users": len(set(self._clicks.users)),
            "items": len(set(self._clicks.items)),
            "row_types": self._types,
            "user_state": USER_STATE,
            "item_state": self._item_state,
            "all_users_due": True,
        }

    def close(self) -> None:
        """Stop Redis."""
        self._client.close()
        self._server.stop()


class Learning:
    """The learners of both stages with a log in memory and a real Redis."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._kafka = kafka = settings.kafka
        self._store = Store(settings.redis)
        topics = kafka.events_topic, kafka.updates_topic, kafka.items_topic
        self._broker, self._log = memory_kafka(**dict.fromkeys(topics, PARTITIONS))
        self._metrics = Metrics()
        shards = Shards(PARTITIONS, PARTITIONS, PARTITIONS, settings.factors.size, "benchmark")
        self._shards = shards
        feed = ItemFeed(
            self._store,
            item_shards(shards),
            lambda: ItemTable(settings, with_lists=False),
            0.0,
        )
        state = StateReport(self._store, shards, self._metrics)
        self._users = UserLearner(settings, self._log, self._store, feed, state, self._metrics)
        self._items = ItemLearner(settings, self._log, self._store, self._metrics)
        self._sources = [Partition(kafka.events_topic, n) for n in range(PARTITIONS)]
        self._owners = [Partition(kafka.updates_topic, n) for n in range(PARTITIONS)]
        self._ends = [0] * PARTITIONS
        self.seconds = 0.0  # of CPU, in the learners
        self._user_shards: dict[Partition, Any] = {}
        self._item_shards: dict[Partition, Any] = {}

    def learn(self, clicks: Clicks, first: int, last: int) -> None:
        """Learn the clicks from `first` up to `last`, one commit for each shard."""
        if not self._user_shards:
            self._user_shards = {p: self._users.open(p) for p in self._sources}
            self._item_shards = {p: self._items.open(p) for p in self._owners}
        batches: dict[Partition, list[Message]] = {}
        for n in range(first, min(last, len(clicks))):
            user = clicks.users[n]
            number = key_of(user) % PARTITIONS
            value = message(clicks, n, n)
            offset, self._ends[number] = self._ends[number], self._ends[number] + 1
            at = clicks.ts[n]
            batches.setdefault(self._sources[number], []).append(
                Message(offset, at, user.encode(), value)
            )
        start = time.process_time()
        self._users.learn(batches, self._user_shards)
        self._items.learn(self._updates(), self._item_shards)
        self.seconds += time.process_time() - start

    def _updates(self) -> dict[Partition, list[Message]]:
        """Return the update records that are new; of old ones only the last is kept."""
        found = {}
        for partition, shard in self._item_shards.items():
            log = self._broker.messages[partition]
            found[partition] = [m for m in log if m.offset >= shard.offset]
            del log[:-1]
        return found

    def score(self, lists: int) -> None:
        """Let a scorer take at least so many due users."""
        scorer = Scorer(self._settings, self._store, self._shards, self._metrics)
        for _ in range(max(1, lists // (PARTITIONS * self._settings.lists.due_batch))):
            scorer.step(time.monotonic())
