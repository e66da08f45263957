"""Clicks in a real Kafka change lists in a real Redis; learn and score run in threads."""

import json
import random
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from kafka import KafkaProducer
from prometheus_client import CollectorRegistry
from samples import sample
from servers import RedisServer

from streamrec.client import Client
from streamrec.monitoring.metrics import Metrics
from streamrec.roles.learn import open_stages
from streamrec.roles.learning.stage import Stage
from streamrec.roles.score import Scorer
from streamrec.settings.sections import (
    EventSettings,
    KafkaSettings,
    ListSettings,
    RedisSettings,
    Settings,
)
from streamrec.sources.factors import FactorSettings
from streamrec.sources.registry import SOURCES
from streamrec.transport.redis.keys import POPULAR
from streamrec.transport.redis.store import Store

GROUPS, WALK, USERS = 30, 8, 300
SHARDS = [f"u{n}" for n in range(4)]
NAMES = tuple(source.name for source in SOURCES)
# move only when something goes wrong, or in a process of its own
QUIET = {
    "channel_duplicates", "updates_unknown_item", "produce_errors", "kafka_errors", "redis_errors",
    "partition_refetches", "shards_stopped", "lists_stale_refused", "lists_failed", "rows_dropped",
    "conservation_error_events", "due_users", "oldest_due_seconds", "lag_messages",
    "oldest_unlearnt_seconds", "item_table_age_events", "redis_memory_limit_bytes",
    "redis_evicted_keys", "texts_encoded", "texts_waiting", "encode_seconds", "network_version",
    "network_refused", "keys_foreign", "events_held", "popular_list_age_seconds",
}  # fmt: skip


class Live:
    """One learn and one score role, a producer, and a look at what is served."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.metrics = Metrics(CollectorRegistry())
        self.stages = open_stages(settings, self.metrics)
        self.store, self.reader = Store(settings.redis), Store(settings.redis)
        shards = self.store.shards()
        assert shards is not None
        self.scorer = Scorer(settings, self.store, shards, self.metrics)
        self.stop = threading.Event()
        self.producer = KafkaProducer(
            bootstrap_servers=settings.kafka.brokers, acks="all", linger_ms=1
        )
        self._threads = [
            threading.Thread(target=one.run, args=(self.stop,))
            for one in (*self.stages, self.scorer)
        ]
        for thread in self._threads:
            thread.start()

    def click(self, user: str, item: str, kind: str = "click", **more: Any) -> None:
        event = {"user": user, "item": item, "type": kind, "ts": int(time.time() * 1000)} | more
        self.send(self.settings.kafka.events_topic, user, event)

    def send(self, topic: str, key: str, value: dict[str, Any] | bytes) -> None:
        raw = value if isinstance(value, bytes) else json.dumps(value).encode()
        self.producer.send(topic, raw, key=key.encode())

    def served(self, user: str) -> dict[str, Any]:
        [blob] = self.reader.lists([user])
        found: dict[str, Any] = json.loads(blob or b"{}")
        return found

    def items(self, user: str) -> list[str]:
        return [entry["item"] for entry in self.served(user).get("items", [])]

    def wait(self, happened: Callable[[], object], what: object, seconds: float = 60.0) -> None:
        deadline = time.monotonic() + seconds
        while not happened():
            assert not any(isinstance(s, Stage) and s.failed for s in self.stages), self.stages
            if time.monotonic() > deadline:
                raise TimeoutError(f"not within {seconds} s: {what() if callable(what) else what}")
            time.sleep(0.005)

    def value(self, name: str, **labels: str) -> float:
        return sample(self.metrics.registry, name, labels)

    def total(self, name: str) -> float:
        """Return the sum of a metric over its labels."""
        found = (s for family in self.metrics.registry.collect() for s in family.samples)
        ends = ("", "_total", "_count")
        return sum(s.value for s in found if s.name in {f"streamrec_{name}{e}" for e in ends})

    def learnt(self) -> float:
        return self.total("events_consumed")

    def close(self) -> None:
        self.stop.set()
        for thread in self._threads:
            thread.join()
        self.producer.close()
        self.store.close()
        self.reader.close()


@pytest.fixture
def live(topics: KafkaSettings, clean_redis: RedisServer) -> Iterator[Live]:
    settings = Settings(
        kafka=topics,
        redis=RedisSettings(url=clean_redis.url),
        events=EventSettings(flood_per_minute=6000.0, flood_burst=50),
        factors=FactorSettings(size=16),
        lists=ListSettings(length=20),
    )
    mine = Live(settings)
    try:
        yield mine
    finally:
        mine.close()
    assert [stage.failed for stage in mine.stages] == [None, None]


def test_a_click_changes_what_is_served(live: Live) -> None:
    live.wait(lambda: not any(s.unready() for s in live.stages), "the groups are joined")
    rng = random.Random(1)
    for turn in (1, 2):  # the lists of the first turn are made before the items are known
        for n in range(300):
            live.click(f"u{n % 30}", f"i{rng.randrange(40)}", id=f"e{turn}-{n}")
        live.wait(lambda turn=turn: live.learnt() >= 300 * turn, "300 events")  # type: ignore[misc]
        live.wait(lambda: len(live.items(POPULAR)) == 20, "a list for strangers")
    live.wait(lambda: not live.reader.due_count(SHARDS), "all lists")
    assert live.served(POPULAR)["user"] == POPULAR

    before = live.served("u7")
    assert len(before["items"]) == 20
    first = before["items"][0]["item"]
    live.click("u7", first)
    live.wait(lambda: live.served("u7")["offset"] > before["offset"], "a new list")
    after = live.served("u7")
    assert first not in live.items("u7")
    assert after["at"] >= before["at"] and after["model"] == before["model"]

    # in both lists: when it leaves the popular one, the scorer knows
    gone = next(item for item in live.items("u9") if item in live.items(POPULAR))
    live.send(live.settings.kafka.items_topic, gone, {"item": gone, "available": False})
    started = time.monotonic()
    with Client(live.settings.redis) as client:
        before = live.served("u9")
        entries = client.recommend("u9").items
        assert gone in [entry.item for entry in entries]
        live.wait(lambda: len(client.recommend("u9").items) < len(entries), "readers lack it")
        print(f"readers did not get it after {time.monotonic() - started:.2f} s")
        assert live.served("u9") == before  # the stored list has it still
    live.wait(lambda: gone not in live.items(POPULAR), "it leaves the popular list")
    live.wait(lambda: live.value("item_table_loads_total", kind="feed") > 0, "the feed is read")
    live.click("u9", "i0" if gone != "i0" else "i1")
    offset = live.served("u9")["offset"]
    live.wait(lambda: live.served("u9")["offset"] > offset or gone not in live.items("u9"), "u9")
    live.wait(lambda: gone not in live.items("u9"), "it leaves the next personal list")


def test_structure_is_learnt_while_it_streams(live: Live) -> None:
    """Users walk through one of 30 groups of items; each item leads to the next of its group."""
    live.wait(lambda: not any(s.unready() for s in live.stages), "the groups are joined")
    # every kernel is compiled before the walk: it has the pace of people, not of a compiler
    for n in range(3):
        live.click(f"first{n}", "g0/0")
        live.click(f"first{n}", "g0/1")
    live.wait(lambda: live.served("first0").get("offset") and live.items(POPULAR), "first lists")
    first = live.learnt()
    rng = random.Random(2)
    steps = sorted(
        (0.015 * user + 0.6 * step + rng.random() * 0.2, user, step)
        for user in range(USERS)
        for step in range(WALK)
    )
    group = [rng.randrange(GROUPS) for _ in range(USERS)]
    first_item = {"item": "g0/0", "title": "First", "categories": ["shelf"]}
    live.send(live.settings.kafka.items_topic, "g0/0", first_item)
    begin = time.monotonic()
    for sent, (at, user, step) in enumerate(steps):
        time.sleep(max(0.0, begin + at - time.monotonic()))
        if not sent % 20:
            live.wait(lambda sent=sent: live.learnt() >= first + sent - 60, "it keeps up")  # type: ignore[misc]
            live.wait(lambda: live.reader.due_count(SHARDS) < 60, "and so do the lists")
        live.click(f"w{user}", f"g{group[user]}/{step}", id=f"w{user}-{step}")
    live.click("w0", "g0/0", id="w0-0")  # a repeat
    live.click("w1", "g0/0", "impression")
    live.send(live.settings.kafka.events_topic, "first0", {"user": "first0", "type": "forget"})
    live.send(live.settings.kafka.events_topic, "w2", b"{")
    for n in range(80):
        live.click("flooder", f"g0/{n % 8}")
    live.wait(lambda: live.learnt() >= first + len(steps) + 84, "all events")
    merge = {"user": "w3", "type": "merge", "from": "first1"}
    live.send(live.settings.kafka.events_topic, "w3", merge)
    live.wait(lambda: live.value("merges_total", step="moved") == 1, "a visitor is a user")
    events = live.total("prequential_events")
    assert events > 0.8 * USERS * (WALK - 1)
    recall = {
        source: live.value("prequential_hits_total", source=source, k="20") / events
        for source in ("blend", *NAMES)
    }
    popular = max(recall[source] for source in NAMES[:3])
    print({source: round(value, 3) for source, value in recall.items()})
    assert recall["blend"] > 0.4
    assert recall["blend"] > 2 * popular
    assert recall["similarity"] > 2 * popular
    for source in recall:
        assert live.value("prequential_ndcg_total", source=source) <= recall[source] * events

    names = {
        d.name.removeprefix("streamrec_").removesuffix("_total")
        for d in live.metrics.described
        if d.role not in ("train", "serve")
    }
    names -= QUIET
    live.wait(lambda: all(map(live.total, names)), lambda: {n for n in names if not live.total(n)})
    rows = "item_table_rows", "servable_items"  # gauges are set once a second
    live.wait(lambda: live.total(rows[0]) == live.total(rows[1]), "all of the table may be listed")
    assert live.total("conservation_error_events") == 0
    for name in ("channel_duplicates", "produce_errors", "redis_errors", "kafka_errors"):
        assert live.total(name) == 0
    assert live.value("events_rejected_total", reason="malformed") == 1
    assert live.total("events_duplicate") == 1
    assert live.value("events_suppressed_total", reason="flood") > 0
    assert live.value("events_accepted_total", type="impression") == 1
    assert live.value("prequential_events_total", list="own") > 0.5 * events
    assert live.value("blend_weight", source="similarity", history="5+") > 0
    assert live.total("listed_items") <= live.total("servable_items")
    assert live.value("rows_limit", table="users_stored") == 4_000_000
