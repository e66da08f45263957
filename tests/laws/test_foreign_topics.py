"""A topic that others own: its messages carry their senders' time, and keys of their choice."""

import time
from collections.abc import Iterator

import msgspec
import pytest
from kafka import KafkaProducer
from laws.live import learning
from servers import KafkaServer, RedisServer

from streamrec.inspection.findings import findings
from streamrec.settings.sections import KafkaSettings, RedisSettings, Settings
from streamrec.state.user_rows import decode_user
from streamrec.transport.kafka.topics import admin_client, create_topics, remarks


@pytest.fixture
def foreign(kafka: KafkaServer, kafka_settings: KafkaSettings) -> KafkaSettings:
    """The events topic is there already, with Kafka's defaults."""
    if kafka.kind == "embedded":
        pytest.skip("the embedded broker has no types of timestamps")
    with admin_client(kafka_settings) as admin:
        topic = kafka_settings.events_topic
        admin.create_topics({topic: {"num_partitions": 2, "replication_factor": 1, "configs": {}}})
        admin.wait_for_topics([topic], timeout_ms=5000)
    return kafka_settings


@pytest.fixture
def producer(foreign: KafkaSettings) -> Iterator[KafkaProducer]:
    producer = KafkaProducer(bootstrap_servers=foreign.brokers)
    yield producer
    producer.close()


def test_it_is_taken_as_it_is_and_what_that_means_is_said(foreign: KafkaSettings) -> None:
    assert foreign.events_topic not in create_topics(foreign, 2)
    assert list(remarks(foreign)) == [foreign.events_topic]
    warned = [f for f in findings(Settings(kafka=foreign)) if f.state == "warn"]
    assert "kept by it" in " ".join(f.text for f in warned)


def test_a_senders_clock_ahead_decides_nothing(
    foreign: KafkaSettings, producer: KafkaProducer, clean_redis: RedisServer
) -> None:
    """Events without a time of their own are of the moment they are fetched, at the latest."""
    create_topics(foreign, 2)
    now = int(time.time() * 1000)
    for user, at in (("past", now - 86_400_000), ("future", now + 1_800_000)):
        value = msgspec.json.encode({"user": user, "item": "i1", "type": "click"})
        producer.send(foreign.events_topic, value, user.encode(), timestamp_ms=at, partition=0)
    producer.flush()
    settings = Settings(kafka=foreign, redis=RedisSettings(url=clean_redis.url))
    with learning(settings) as running:
        running.until(lambda: running.value("events_accepted_total", type="click") == 2)
        rows = running.store.rows("u0", "users", ["past", "future"])
        past, future = (int(decode_user(blob or b"").ts[-1]) for blob in rows)
        assert past == now - 86_400_000
        assert now <= future <= int(time.time() * 1000)


def test_events_with_another_key_are_found_and_said(
    foreign: KafkaSettings,
    producer: KafkaProducer,
    clean_redis: RedisServer,
    caplog: pytest.LogCaptureFixture,
) -> None:
    create_topics(foreign, 2)
    for n in range(10):
        value = msgspec.json.encode({"user": f"u{n}", "item": "i1", "type": "click"})
        key = None if n == 3 else b"session 7" if n == 4 else f"u{n}".encode()
        producer.send(foreign.events_topic, value, key, partition=0)
    producer.flush()
    settings = Settings(kafka=foreign, redis=RedisSettings(url=clean_redis.url))
    with learning(settings) as running:
        running.until(lambda: running.value("events_accepted_total", type="click") == 10)
        assert running.value("keys_foreign_total") == 2
        assert running.value("keys_looked_at_total") == 10
    assert "key is not their user" in caplog.text
