"""The loop of a stage over a Kafka of lists: partitions come and go, doubts start over."""

import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest
from memory_log import MemoryBroker, MemoryLog
from prometheus_client import CollectorRegistry

from streamrec.errors import (
    BrokerUnavailable,
    CommitConflict,
    DeliveryFailed,
    FoldFailed,
    OffsetGone,
    StoreError,
    StreamrecError,
)
from streamrec.monitoring.metrics import Metrics
from streamrec.roles.learning import rounds as rounds_module
from streamrec.roles.learning import stage as stage_module
from streamrec.roles.learning.rounds import Batches
from streamrec.roles.learning.stage import ShardsInDoubt, Stage
from streamrec.settings.sections import BatchSettings, KafkaSettings, Settings
from streamrec.transport.kafka.log import Partition

P0, P1, P2 = (Partition("events", n) for n in range(3))
SETTINGS = Settings(
    kafka=KafkaSettings(events_topic="events", fetch_wait_seconds=0.0, stuck_seconds=5.0),
    batches=BatchSettings(max_events=4, linger_seconds=0.0),
)


@dataclass
class FakeShard:
    name: str
    offset: int


@dataclass
class FakeLearner:
    """Stores offsets; `trouble` is asked before each open, learn and store."""

    topics: tuple[str, ...] = ("events",)
    stored: dict[Partition, int] = field(default_factory=dict)
    learnt: Counter[tuple[Partition, int]] = field(default_factory=Counter)
    opened: list[Partition] = field(default_factory=list)
    trouble: Callable[[str], None] = lambda what: None
    reports: int = 0

    def open(self, partition: Partition) -> FakeShard:
        self.trouble("open")
        self.opened.append(partition)
        return FakeShard(f"u{partition.number}", self.stored.get(partition, 0))

    def learn(self, batches: Batches, shards: Mapping[Partition, FakeShard]) -> None:
        self.trouble("learn")
        for partition, messages in batches.items():
            shards[partition].offset = messages[-1].offset + 1
            self.trouble("store")
            self.learnt.update((partition, m.offset) for m in messages)
            self.stored[partition] = shards[partition].offset

    def pass_over(self, partition: Partition, offset: int, shard: FakeShard) -> None:
        shard.offset = self.stored[partition] = offset

    def between(self, shards: Mapping[Partition, Any]) -> None:
        pass

    def report(self, shards: Mapping[Partition, Any]) -> None:
        self.reports += 1


class Scene:
    """A stage of three partitions with ten messages each."""

    def __init__(self, learner: FakeLearner, settings: Settings = SETTINGS) -> None:
        self.broker = MemoryBroker(events=3)
        self.log, self.learner = MemoryLog(self.broker), learner
        for partition in (P0, P1, P2):
            for n in range(10):
                self.broker.append(partition, b"%d" % n)
        self.metrics = Metrics(CollectorRegistry())
        self.stage = Stage("user", self.log, learner, settings, self.metrics)
        self.stop = threading.Event()

    def subscribe(self, *partitions: Partition) -> None:
        self.log.subscribe(self.learner.topics, self.stage._take, self.stage._release)
        self.log.give(*partitions)

    def run(self, *partitions: Partition) -> None:
        """Run the loop until the partitions are learnt, or it ends by itself."""
        give, subscribe = partitions, self.log.subscribe

        def and_give(*arguments: Any) -> None:
            subscribe(*arguments)
            self.log.give(*give)

        self.log.subscribe = and_give  # type: ignore[method-assign]
        threading.Thread(target=self._stop_when_learnt, args=(partitions,), daemon=True).start()
        self.stage.run(self.stop)
        self.stop.set()

    def _stop_when_learnt(self, partitions: tuple[Partition, ...]) -> None:
        while not self.stop.wait(0.005):
            if all(self.learner.stored.get(p) == 10 for p in partitions):
                self.stop.set()

    def value(self, name: str, **labels: str) -> float | None:
        return self.metrics.registry.get_sample_value(f"streamrec_{name}", labels)


@pytest.fixture(autouse=True)
def no_backoff(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stage_module, "BACKOFF_SECONDS", (0.001, 0.002))


def every(n: int, what: str, error: Exception) -> Callable[[str], None]:
    """Raise at each n-th time that `what` is asked for."""
    asked = Counter[str]()

    def trouble(about: str) -> None:
        asked[about] += 1
        if about == what and asked[about] % n == 0:
            raise error

    return trouble


def test_partitions_continue_where_they_are_stored() -> None:
    learner = FakeLearner(stored={P1: 7})
    scene = Scene(learner)
    scene.run(P0, P1)
    assert scene.stage.failed is None and scene.log.closed
    assert learner.learnt == Counter([(P0, n) for n in range(10)] + [(P1, n) for n in range(7, 10)])
    assert sorted(learner.opened) == [P0, P1]


@pytest.mark.parametrize("what", ["learn", "store", "open"])
@pytest.mark.parametrize("error", [StoreError, CommitConflict, DeliveryFailed, FoldFailed])
def test_any_doubt_starts_over_from_what_is_stored(what: str, error: type[StreamrecError]) -> None:
    learner = FakeLearner(trouble=every(2, what, error("in doubt")))
    scene = Scene(learner)
    scene.run(P0, P1)
    assert scene.stage.failed is None
    assert set(learner.learnt.values()) == {1} and len(learner.learnt) == 20
    assert what == "open" or {partition for partition, _ in scene.log.seeks} == {P0, P1}


def test_a_shard_in_doubt_does_not_make_another_skip(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was polled is learnt in two rounds; in the first, one of two shards is not stored."""
    monkeypatch.setattr(rounds_module, "ROUND_BYTES", 2)

    class Half(FakeLearner):
        failures = 0

        def learn(self, batches: Batches, shards: Mapping[Partition, FakeShard]) -> None:
            if P0 in batches and not self.failures:
                self.failures += 1
                super().learn({p: m for p, m in batches.items() if p != P0}, shards)
                shards[P0].offset = batches[P0][-1].offset + 1  # folded, not stored
                raise ShardsInDoubt({P0: StoreError("no answer")})
            super().learn(batches, shards)

    learner = Half()
    scene = Scene(learner)
    scene.run(P0, P1)
    assert scene.stage.failed is None and learner.failures == 1
    assert learner.learnt == Counter((p, n) for p in (P0, P1) for n in range(10))
    assert learner.opened.count(P0) == 2 and learner.opened.count(P1) == 1


def test_a_broker_that_is_away_for_a_while_is_waited_for() -> None:
    learner = FakeLearner()
    scene = Scene(learner)
    scene.log.fail = [BrokerUnavailable("no broker answers")] * 3
    scene.run(P0)
    assert scene.stage.failed is None
    assert set(learner.learnt.values()) == {1} and len(learner.learnt) == 10


@pytest.mark.parametrize("error", [OffsetGone("gone"), ZeroDivisionError("a bug")])
def test_what_needs_a_person_ends_the_stage(error: Exception) -> None:
    scene = Scene(FakeLearner(trouble=every(2, "learn", error)))
    scene.run(P0)
    assert scene.stage.failed is error
    assert scene.stop.is_set() and scene.log.closed


def test_doubts_are_counted_by_their_kind() -> None:
    for error, name in (
        (StoreError("lost"), "redis_errors_total"),
        (DeliveryFailed("lost"), "produce_errors_total"),
        (BrokerUnavailable("lost"), "kafka_errors_total"),
    ):
        scene = Scene(FakeLearner(trouble=every(2, "learn", error)))
        scene.run(P0)
        labels = {"op": "user"} if "redis" in name else {}
        labels = {"stage": "user"} if "kafka" in name else labels
        assert (scene.value(name, **labels) or 0) >= 1


def test_a_revoked_partition_is_dropped_and_learnt_by_its_next_owner_only() -> None:
    learner = FakeLearner()
    scene = Scene(learner)
    scene.subscribe(P0, P1)
    scene.stage.step()
    assert scene.stage.shards.keys() == {P0, P1}
    scene.log.give(P1, P2)
    learner.stored[P0] = 10  # by the other
    for _ in range(4):
        scene.stage.step()
    assert scene.stage.shards.keys() == {P1, P2}
    assert learner.opened == [P0, P1, P2]
    assert {n for p, n in learner.learnt if p == P0} == {0, 1, 2, 3}
    assert {p: o for p, o in learner.stored.items()} == {P0: 10, P1: 10, P2: 10}
    scene.log.give()
    scene.stage.step()
    assert scene.stage.shards == {}
    assert scene.value("rebalances_total", stage="user", kind="revoked") == 3
    assert scene.value("rebalances_total", stage="user", kind="assigned") == 3


def test_a_stage_without_partitions_idles() -> None:
    scene = Scene(FakeLearner())
    scene.subscribe()
    for _ in range(3):
        scene.stage.step()
    assert scene.learner.reports == 1  # at most one a second


def test_ready_when_partitions_were_asked_for() -> None:
    scene = Scene(FakeLearner())
    assert scene.stage.unready() == ["the user stage has joined no group yet"]
    scene.subscribe(P0)
    scene.stage.step()
    assert scene.stage.unready() == scene.stage.dead() == []


def test_lag_and_positions_are_reported() -> None:
    scene = Scene(FakeLearner())
    scene.subscribe(P0, P1)
    scene.stage.step()
    assert scene.value("lag_messages", topic="events", partition="0") == 6
    assert scene.value("partitions_assigned", topic="events") == 2
    assert scene.log.committed == {P0: 4, P1: 4}


def test_what_is_given_away_has_no_lag_here() -> None:
    scene = Scene(FakeLearner())
    scene.subscribe(P0, P1)
    scene.stage.step()
    scene.log.give(P1)
    scene.stage.step()
    assert scene.value("lag_messages", topic="events", partition="0") is None
    assert scene.value("lag_messages", topic="events", partition="1") is not None


def test_the_oldest_unlearnt_is_as_old_as_the_last_learnt_says() -> None:
    """Messages of the log are 1,000 s old; they wait until all are learnt."""
    scene = Scene(FakeLearner())
    scene.broker.now_ms = int((time.time() - 1000.0) * 1000)
    for n in range(10):
        scene.broker.append(P2, b"%d" % n)
    scene.subscribe(P2)
    while scene.learner.stored.get(P2, 0) < 12:
        scene.stage.step()
    scene.stage._report(time.monotonic())
    assert 999.0 < (scene.value("oldest_unlearnt_seconds", topic="events") or 0) < 1010.0
    while scene.learner.stored[P2] < 20:
        scene.stage.step()
    scene.stage._report(time.monotonic())
    assert scene.value("oldest_unlearnt_seconds", topic="events") == 0


def test_the_age_of_a_turn_grows_while_the_loop_hangs() -> None:
    scene = Scene(FakeLearner())
    scene.subscribe(P0)
    scene.stage.step()
    scene.stage._turned -= 50.0
    assert 50.0 <= (scene.value("turn_age_seconds", loop="user") or 0) < 60.0


def test_a_stuck_partition_is_fetched_anew() -> None:
    scene = Scene(FakeLearner())
    scene.subscribe(P0)
    scene.stage.step()
    scene.stage._report(time.monotonic() + 6.0)
    assert scene.log.seeks == [(P0, 4)]
    assert scene.value("partition_refetches_total", stage="user") == 1


def test_what_is_never_delivered_is_passed_over() -> None:
    scene = Scene(FakeLearner())
    scene.broker.undelivered[P0] = 12  # a marker after the ten
    scene.subscribe(P0)
    for _ in range(4):
        scene.stage.step()
    scene.stage._report(time.monotonic())
    assert scene.learner.stored[P0] == 12
    assert scene.value("lag_messages", topic="events", partition="0") == 0
    scene.stage._report(time.monotonic() + 6.0)
    assert scene.value("partition_refetches_total", stage="user") == 0


def test_a_partition_that_was_never_fetched_is_stuck_too() -> None:
    """Watchdog: one whose high watermark is not known may be one that is never fetched."""
    scene = Scene(FakeLearner())
    scene.log.high_watermark = lambda partition: None  # type: ignore[method-assign]
    scene.log.log_end = lambda partition: None  # type: ignore[method-assign]
    scene.subscribe(P0)
    scene.stage.step()
    for seconds in (1.0, 7.0):
        scene.stage._report(time.monotonic() + seconds)
    assert scene.log.seeks == [(P0, 4)]


def test_a_broker_that_goes_away_during_an_assignment_is_waited_for() -> None:
    """The second of two new partitions cannot be opened: the group has not given the first yet."""
    learner = FakeLearner(trouble=every(2, "open", BrokerUnavailable("no broker answers")))
    scene = Scene(learner)
    scene.run(P0, P1)
    assert scene.stage.failed is None
    assert len(learner.learnt) == 20


def test_sigterm_ends_the_wait_for_redis() -> None:
    scene = Scene(FakeLearner(trouble=every(1, "open", StoreError("no Redis answers"))))
    timer = threading.Timer(0.3, scene.stop.set)
    timer.start()
    started = time.monotonic()
    scene.run(P0)
    assert time.monotonic() - started < 10.0
    assert scene.stage.failed is None
