"""What ends one process is told by the others: why a shard stands still is kept in Redis."""

import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from memory_log import MemoryBroker, MemoryLog
from prometheus_client import CollectorRegistry
from servers import RedisServer

from streamrec.errors import GapError, OffsetGone
from streamrec.monitoring.metrics import Metrics
from streamrec.roles.learning.stage import Stage
from streamrec.roles.reports.state_report import MEMORY_SECONDS, StateReport
from streamrec.settings.sections import KafkaSettings, RedisSettings, Settings
from streamrec.transport.kafka.log import Partition
from streamrec.transport.redis.keys import Shards
from streamrec.transport.redis.store import Store

P0, P1 = Partition("updates", 0), Partition("updates", 1)
SHARDS = Shards(users=2, items=2, metadata=1, size=4, epoch="e")


class Shard:
    name, offset = "i0", 0


class Learner:
    """Learns, or raises `error` at every message of partition 1."""

    topics = ("updates",)

    def __init__(self) -> None:
        self.error: Exception | None = None
        self.at_open = False

    def open(self, partition: Partition) -> Any:
        if self.at_open and self.error is not None:
            raise self.error
        return Shard()

    def learn(self, batches: Any, shards: Any) -> None:
        if self.error is not None and P1 in batches:
            raise self.error
        for partition, messages in batches.items():
            shards[partition].offset = messages[-1].offset + 1

    def between(self, shards: Any) -> None:
        pass

    def report(self, shards: Any) -> None:
        pass


class Installation:
    """One item stage, and the report of another process."""

    def __init__(self, url: str) -> None:
        self.settings = Settings(
            kafka=KafkaSettings(updates_topic="updates", fetch_wait_seconds=0.0),
            redis=RedisSettings(url=url),
        )
        self.store, self.learner = Store(self.settings.redis), Learner()
        self.broker = MemoryBroker(updates=2)
        for partition in (P0, P1):
            self.broker.append(partition, b"x")
        self.metrics = Metrics(CollectorRegistry(), "score")
        self.report = StateReport(Store(self.settings.redis), SHARDS, self.metrics)

    def run(self, ends: Callable[[], bool] = lambda: False) -> Stage:
        """Run until the stage ends by itself, or until this is so."""
        log, stop = MemoryLog(self.broker), threading.Event()
        stage = Stage("item", log, self.learner, self.settings, Metrics(), store=self.store)
        subscribe = log.subscribe

        def and_give(*arguments: Any) -> None:
            subscribe(*arguments)
            log.give(P0, P1)

        log.subscribe = and_give  # type: ignore[method-assign]
        thread = threading.Thread(target=stage.run, args=(stop,))
        thread.start()
        deadline = time.monotonic() + 60.0
        while not stop.wait(0.02) and not ends() and time.monotonic() < deadline:
            pass
        stop.set()
        thread.join()
        return stage

    def stopped(self, reason: str) -> float | None:
        self.report.report(0.0)
        labels = {"stage": "item", "reason": reason}
        return self.metrics.registry.get_sample_value("streamrec_shards_stopped", labels)


@pytest.fixture
def installation(clean_redis: RedisServer) -> Installation:
    return Installation(clean_redis.url)


@pytest.mark.parametrize("at_open", [False, True])
def test_others_tell_what_stopped_until_somebody_learns_on(
    installation: Installation, at_open: bool
) -> None:
    assert installation.stopped("GapError") == 0
    installation.learner.error = error = GapError("a record is missing")
    installation.learner.at_open = at_open
    assert installation.run().failed is error
    assert installation.stopped("GapError") == 2
    assert installation.stopped("OffsetGone") == 0
    installation.learner.error = None
    assert installation.run(lambda: installation.stopped("GapError") == 0).failed is None
    assert installation.stopped("GapError") == 0


def test_a_shard_that_learns_on_is_forgotten_while_another_stands(
    installation: Installation,
) -> None:
    installation.learner.error = OffsetGone("gone")
    assert installation.run().failed is not None
    assert installation.stopped("OffsetGone") == 2


def test_a_redis_without_info_leaves_the_rest(
    installation: Installation, clean_redis: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    clean_redis.client().zadd("sr:{u1}:due", {"ann": 1000.0})
    installation.report.report(MEMORY_SECONDS)
    value = installation.metrics.registry.get_sample_value
    assert value("streamrec_due_users") == 1
    assert (value("streamrec_oldest_due_seconds") or 0) > 1e9
    assert (value("streamrec_redis_memory_bytes") or 0) > 0
    assert value("streamrec_topic_partitions", {"topic": "events"}) == 2
    clean_redis.client().execute_command(
        "ACL", "SETUSER", "app", "on", "nopass", "~*", "+@all", "-info"
    )
    limited = Settings(redis=RedisSettings(url=clean_redis.url.replace("//", "//app:x@")))
    report = StateReport(Store(limited.redis), SHARDS, installation.metrics)
    report.report(0.0)
    assert value("streamrec_redis_errors_total", {"op": "report"}) == 1
    assert "INFO" in caplog.records[-1].cause  # type: ignore[attr-defined]
    assert value("streamrec_due_users") == 1
