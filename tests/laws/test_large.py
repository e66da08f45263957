"""No message is so large that it stops learning: bombs, first catalogues, dead letters."""

import json
import subprocess
import sys
from hashlib import sha256
from pathlib import Path
from typing import Any

import msgspec
import pytest
from confluent_kafka import Consumer, Producer
from laws.live import Learning, learning
from servers import KafkaServer, RedisServer

from streamrec.errors import MessageRefused
from streamrec.settings.sections import KafkaSettings, RedisSettings, Settings
from streamrec.transport.kafka.open_log import open_kafka
from streamrec.transport.kafka.topics import create_topics

MB = 1_000_000


@pytest.fixture(autouse=True)
def real_kafka(kafka: KafkaServer) -> None:
    if kafka.kind == "embedded":
        pytest.skip("the embedded broker has no limits of its own")


def click(user: str, item: str) -> bytes:
    return json.dumps({"user": user, "item": item, "type": "click"}).encode()


def send(kafka: KafkaSettings, topic: str, values: list[Any], codec: str = "gzip") -> None:
    """Produce into partition 0, as a producer without a limit of its own does."""
    producer = Producer(
        {
            "bootstrap.servers": kafka.brokers,
            "compression.type": codec,
            "message.max.bytes": 1000 * MB,
            "linger.ms": 20,
        }
    )
    for value in values:
        producer.produce(topic, value, key=b"k", partition=0)
        producer.poll(0)
    assert producer.flush(60) == 0


def dead_letters(kafka: KafkaSettings, count: int) -> list[tuple[Any, dict[str, bytes]]]:
    """Read so many dead letters: value and headers."""
    consumer = Consumer(
        {
            "bootstrap.servers": kafka.brokers,
            "group.id": f"{kafka.group}-look",
            "auto.offset.reset": "earliest",
        }
    )
    consumer.subscribe([kafka.dead_letters_topic])
    found = []
    while len(found) < count:
        message = consumer.poll(20)
        assert message is not None and message.error() is None
        found.append((message.value(), dict(message.headers())))
    consumer.close()
    return found


def settings_of(kafka: KafkaSettings, redis_server: RedisServer, client: str) -> Settings:
    kafka = msgspec.structs.replace(kafka, client=client)
    return Settings(kafka=kafka, redis=RedisSettings(url=redis_server.url))


def test_what_kafka_will_never_take_is_told_apart(client: str, topics: KafkaSettings) -> None:
    log = open_kafka(msgspec.structs.replace(topics, client=client))
    log.produce(topics.updates_topic, b"x" * 9 * MB, partition=0)
    with pytest.raises(MessageRefused, match="would again"):
        log.flush()
    log.produce(topics.updates_topic, b"x" * 8 * MB, partition=0)
    log.flush()
    log.produce(topics.items_topic, b"no key on a compacted topic", partition=0)
    with pytest.raises(MessageRefused):
        log.flush()
    log.close()


def test_a_large_message_that_compresses_is_one_dead_letter(
    client: str, topics: KafkaSettings, clean_redis: RedisServer
) -> None:
    bomb = b'{"user":"' + b"u" * 20 * MB + b'"}'
    send(topics, topics.events_topic, [click("u1", "i1"), bomb, click("u1", "i2")])
    with learning(settings_of(topics, clean_redis, client)) as running:
        running.until(lambda: running.value("events_accepted_total", type="click") == 2)
        assert running.offset("u0") == 3
    [(value, headers)] = dead_letters(topics, 1)
    assert value == bomb[: 1024 * 1024]
    assert headers["reason"] == b"too_large" and headers["offset"] == b"1"
    assert int(headers["length"]) == len(bomb)
    assert headers["sha256"].decode() == sha256(bomb).hexdigest()


# librdkafka itself decompresses gzip and lz4 without a bound (docs/operations.md)
BOMBS = [("kafka-python", c) for c in ("gzip", "snappy", "lz4", "zstd")] + [("confluent", "zstd")]


@pytest.mark.parametrize(("reader", "codec"), BOMBS)
def test_a_decompression_bomb_is_bounded(
    reader: str, codec: str, topics: KafkaSettings, clean_redis: RedisServer
) -> None:
    """The high-water mark of the process's memory; the bomb is made by another process."""
    size = {"gzip": 300, "snappy": 15, "lz4": 150, "zstd": 300}[codec]
    call = f"from laws.test_large import bomb; bomb({topics.brokers!r}, {topics.events_topic!r}"
    command = [sys.executable, "-c", f"{call}, {size}, {codec!r})"]
    subprocess.run(command, check=True, cwd=Path(__file__).parents[1])
    send(topics, topics.events_topic, [click("u1", "i1")], codec)
    with learning(settings_of(topics, clean_redis, reader)) as running:
        before = peak_mb(reset=True)
        running.until(lambda: running.value("events_accepted_total", type="click") == 1)
        grown = peak_mb() - before
    assert running.value("events_rejected_total", reason="unreadable") == (codec != "snappy")
    print(reader, codec, "grown", grown)
    assert grown < 200


def bomb(brokers: str, topic: str, size: int, codec: str) -> None:
    """Produce one message of so many MB that compresses to a thousandth."""
    send(KafkaSettings(brokers=brokers), topic, [b"x" * size * MB], codec)


def peak_mb(reset: bool = False) -> int:
    """Return the most memory this process has had; since the last reset."""
    if reset:
        Path("/proc/self/clear_refs").write_text("5")
    [peak] = [n for n in Path("/proc/self/status").read_text().splitlines() if "VmHWM" in n]
    return int(peak.split()[1]) // 1000


@pytest.mark.parametrize(
    ("parts", "texts"), [(1, 200), (4, 700), pytest.param(16, 2800, marks=pytest.mark.long)]
)
def test_a_first_catalogue_is_learnt(
    client: str,
    parts: int,
    texts: int,
    kafka_settings: KafkaSettings,
    clean_redis: RedisServer,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Each items partition has more than one update record may hold for each of its owners."""
    create_topics(kafka_settings, parts)
    text = "some words of a long text " * 2300
    items = [json.dumps({"item": f"i{n}", "text": text}).encode() for n in range(texts)]
    assert sum(map(len, items)) > parts * 10 * MB
    send(kafka_settings, kafka_settings.items_topic, items)
    with learning(settings_of(kafka_settings, clean_redis, client)) as running:
        running.until(lambda: running.offset("m0") == texts, 60)
        running.until(lambda: catalogue(running, parts) == texts, 60)
    assert "starting over" not in caplog.text


def catalogue(running: Learning, parts: int) -> int:
    """Return how many items have metadata."""
    return sum(len(running.store.all_rows(f"i{n}", "catalogue")) for n in range(parts))
