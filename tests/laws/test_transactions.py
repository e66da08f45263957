"""Producers that use transactions: what is committed is learnt, and nothing is left over."""

import json
import time
from contextlib import closing

import msgspec
import pytest
from confluent_kafka import Producer
from laws.live import Learning, learning
from servers import KafkaServer, RedisServer

from streamrec.inspection.accounts import Ends, Report, take
from streamrec.inspection.stored_state import Stored
from streamrec.settings.sections import KafkaSettings, RedisSettings, Settings

USERS = [f"u{n}" for n in range(8)]


@pytest.fixture
def settings(
    kafka: KafkaServer, client: str, topics: KafkaSettings, clean_redis: RedisServer
) -> Settings:
    if kafka.kind == "embedded":
        pytest.skip("the embedded broker delivers what was aborted")
    own = msgspec.structs.replace(topics, client=client, stuck_seconds=1.5)
    return Settings(kafka=own, redis=RedisSettings(url=clean_redis.url))


class Shop:
    """A transactional producer; `begin`, then `commit` or `abort`."""

    def __init__(self, kafka: KafkaSettings) -> None:
        self._topic = kafka.events_topic
        self._producer = Producer(
            {"bootstrap.servers": kafka.brokers, "transactional.id": kafka.group}
        )
        self._producer.init_transactions()
        self.commit = self._producer.commit_transaction
        self.abort = self._producer.abort_transaction

    def begin(self, item: str) -> None:
        """Send one click of each user in a transaction that stays open."""
        self._producer.begin_transaction()
        for user in USERS:
            click = {"user": user, "item": item, "type": "click"}
            self._producer.produce(self._topic, json.dumps(click), key=user)
        self._producer.flush()


def audit(settings: Settings) -> Report:
    with closing(Stored(settings.redis)) as stored, closing(Ends(settings.kafka)) as ends:
        return take(settings.kafka, stored, ends)


def lags(settings: Settings) -> list[int]:
    """Return the lag of each events partition, as audit sees it."""
    report = audit(settings)
    assert not report.broken
    return [s.lag for s in report.shards if s.topic == settings.kafka.events_topic]


def accepted(running: Learning) -> float:
    return running.value("events_accepted_total", type="click")


def refetches(running: Learning) -> float:
    return running.value("partition_refetches_total", stage="user")


def lag(running: Learning) -> float:
    """Return the sum over the partitions of events."""
    return sum(running.value("lag_messages", topic="events", partition=str(n)) for n in range(4))


def test_markers_and_aborted_events_leave_nothing_behind(settings: Settings) -> None:
    shop = Shop(settings.kafka)
    with learning(settings) as running:
        for n, end in enumerate((shop.commit, shop.abort, shop.commit, shop.abort)):
            shop.begin(f"i{n}")
            end()
        running.until(lambda: accepted(running) == 2 * len(USERS))
        running.until(lambda: lag(running) == 0)
        # librdkafka may tell an end behind aborted messages only when it is fetched anew, once
        most = refetches(running) + (4 if settings.kafka.client == "confluent" else 0)
        until = time.monotonic() + 3.5  # longer than stuck_seconds
        while time.monotonic() < until:
            assert refetches(running) <= most
            time.sleep(0.2)
        report = audit(settings)
        assert not report.broken and not any(shard.lag for shard in report.shards)
        shop.begin("later")  # what is learnt goes on without a gap
        shop.commit()
        running.until(lambda: accepted(running) == 3 * len(USERS))
        running.until(lambda: lag(running) == 0)
        assert not audit(settings).broken


def test_audit_passes_over_what_a_stopped_learner_has_not(settings: Settings) -> None:
    """The learner ends before the last marker comes, so that its offset stays in front of it."""
    shop = Shop(settings.kafka)
    with learning(settings) as running:
        shop.begin("i1")
        shop.commit()
        running.until(lambda: accepted(running) == len(USERS) and lag(running) == 0)
    shop.begin("never")
    shop.abort()
    assert lags(settings) == [0, 0, 0, 0]
    shop.begin("i2")
    shop.commit()
    assert sum(lags(settings)) >= len(USERS)


def test_an_open_transaction_is_waited_for_without_an_alarm(settings: Settings) -> None:
    shop = Shop(settings.kafka)
    with learning(settings) as running:
        shop.begin("i1")
        before = refetches(running)
        until = time.monotonic() + 3.5
        while time.monotonic() < until:
            assert refetches(running) == before and accepted(running) == 0
            time.sleep(0.2)
        assert audit(settings).exit_code == 0
        shop.commit()
        running.until(lambda: accepted(running) == len(USERS))
