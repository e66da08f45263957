"""Both stages over a Kafka of lists and a real Redis, one turn at a time."""

import json
from collections.abc import Sequence
from typing import Any

import msgspec
from laws.world import event
from memory_log import MemoryBroker, MemoryLog
from prometheus_client import CollectorRegistry
from samples import sample

from streamrec.monitoring.metrics import Metrics
from streamrec.roles.learning.item_stage import ItemLearner
from streamrec.roles.learning.stage import Stage
from streamrec.roles.learning.user_stage import UserLearner
from streamrec.roles.reports.state_report import StateReport
from streamrec.roles.score import Scorer
from streamrec.settings.sections import KafkaSettings, Settings
from streamrec.settings.types import changed
from streamrec.state.item_table import ItemTable
from streamrec.text.words import Encoder
from streamrec.transport.kafka.log import Partition
from streamrec.transport.redis.item_feed import ItemFeed
from streamrec.transport.redis.keys import Shards
from streamrec.transport.redis.store import Store

KAFKA = KafkaSettings(
    events_topic="events",
    items_topic="items",
    updates_topic="updates",
    dead_letters_topic="dead",
    samples_topic="samples",
)
EVENTS, ITEMS, DEAD = Partition("events", 0), Partition("items", 0), Partition("dead", 0)
SAMPLES = Partition("samples", 0)


class Spine:
    """One events partition, one items partition, `parts` of updates; `turn` does some of both."""

    def __init__(self, settings: Settings, url: str, parts: int = 1) -> None:
        own = msgspec.structs.replace(settings, kafka=KAFKA)
        self.settings = changed(own, redis={"url": url}, items={"refresh_seconds": 0.0})
        self.parts = parts
        self.broker = MemoryBroker(events=1, items=1, updates=parts, dead=1, samples=1)
        self.metrics = Metrics(CollectorRegistry())
        self.store = Store(self.settings.redis)
        self.shards: Shards = self.store.declare(1, parts, 1, self.settings.factors.size)
        self.encoder: Encoder | None = None
        self.start()

    def start(self) -> None:
        """Begin as a new process does; what was in memory is lost."""
        self.feed = self.new_feed(with_lists=False)
        self.users_log, self.items_log = MemoryLog(self.broker), MemoryLog(self.broker)
        state = StateReport(self.store, self.shards, self.metrics)
        self.learner = UserLearner(
            self.settings,
            self.users_log,
            self.store,
            self.feed,
            state,
            self.metrics,
            self._keep_samples,
        )
        items = ItemLearner(self.settings, self.items_log, self.store, self.metrics, self.encoder)
        self.users = Stage("user", self.users_log, self.learner, self.settings, self.metrics)
        self.items = Stage("item", self.items_log, items, self.settings, self.metrics)
        for stage, log, learner in (
            (self.users, self.users_log, self.learner),
            (self.items, self.items_log, items),
        ):
            log.subscribe(learner.topics, stage._take, stage._release)
        self.users_log.give(EVENTS, ITEMS)
        self.items_log.give(*(Partition("updates", n) for n in range(self.parts)))

    def new_feed(self, *, with_lists: bool = True, store: Store | None = None) -> ItemFeed:
        return ItemFeed(
            store or self.store,
            [f"i{n}" for n in range(self.parts)],
            lambda: ItemTable(self.settings, with_lists=with_lists),
            0.0,
        )

    def send(self, events: Sequence[dict[str, Any] | bytes | None]) -> None:
        """Append events."""
        for one in events:
            self.broker.append(EVENTS, json.dumps(one).encode() if isinstance(one, dict) else one)

    def describe(self, **item: Any) -> None:
        """Append metadata of an item."""
        self.broker.append(ITEMS, json.dumps(item).encode(), item["item"].encode())

    def turn(self) -> None:
        """Let each stage poll once."""
        self.users.step()
        self.items.step()

    def learn(self, events: Sequence[dict[str, Any] | bytes | None], batch: int = 0) -> None:
        """Append the events, and let both stages learn them, in batches of so many."""
        for n in range(0, len(events), batch or max(1, len(events))):
            self.send(events[n : n + (batch or len(events))])
            self.turn()

    def scorer(self, **lists: Any) -> Scorer:
        """Return a new scorer, under these of [lists]."""
        settings = changed(self.settings, lists=lists)
        return Scorer(settings, self.store, self.shards, self.metrics)

    def score(self, now: float = 10.0, **lists: Any) -> Scorer:
        """Let a new scorer make all lists that are due; `now` is its clock."""
        scorer = self.scorer(**lists)
        while scorer.step(now):
            pass
        return scorer

    def served(self, user: str) -> dict[str, Any]:
        """Return a user's list as it is stored; empty where there is none."""
        [blob] = self.store.lists([user])
        found: dict[str, Any] = json.loads(blob or b"{}")
        return found

    def listed(self, user: str) -> list[str]:
        """Return the items of a user's list."""
        return [entry["item"] for entry in self.served(user).get("items", [])]

    def samples(self) -> list[bytes]:
        """Return what is in the samples topic."""
        return [message.value or b"" for message in self.broker.messages[SAMPLES]]

    def _keep_samples(self, samples: Sequence[bytes]) -> None:
        for one in samples:
            self.broker.append(SAMPLES, one)

    def value(self, name: str, **labels: str) -> float:
        """Return one sample of a metric, 0 where there is none."""
        return sample(self.metrics.registry, name, labels)

    def close(self) -> None:
        self.store.close()


class Scored:
    """Both stages and one scorer; `ts` is the time of the last click, `now` the scorer's clock."""

    def __init__(self, spine: Spine, ts: int) -> None:
        self.spine, self.ts, self.now = spine, ts, 0.0
        self.scorer = spine.scorer()
        self.listed, self.served = spine.listed, spine.served

    def score(self) -> None:
        """Make all lists that are due."""
        self.now += 1000.0  # the table is refreshed, however long kernels were compiled before
        while self.scorer.step(self.now):
            pass

    def click(self, user: str, item: str, kind: str = "click") -> None:
        """Let a user do something with an item, and the stages learn it."""
        self.ts += 1
        self.spine.learn([event(user, item, kind, self.ts)])
