"""Events and items over HTTP, into a real Kafka, by both clients."""

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import msgspec
import pytest
from http_app import http_app, in_kafka
from kafka import KafkaConsumer, TopicPartition
from servers import KafkaServer
from starlette.testclient import TestClient
from waiting import wait_until

from streamrec.errors import DeliveryFailed
from streamrec.http.sender import Sender
from streamrec.settings.sections import EventSettings, KafkaSettings, Settings
from streamrec.settings.serve import ServeSettings
from streamrec.settings.types import changed
from streamrec.transport.kafka.client_settings import DELIVERY_SECONDS
from streamrec.transport.kafka.topics import admin_client

CLICK = {"user": "u1", "item": "i1", "type": "click"}


@pytest.fixture
def settings(topics: KafkaSettings, client: str) -> Settings:
    kafka = msgspec.structs.replace(topics, client=client)
    events = EventSettings(max_bytes=3_000_000)
    serve = ServeSettings(write_seconds=20, body_bytes=4_000_000)
    return Settings(kafka=kafka, events=events, serve=serve)


@pytest.fixture
def http(settings: Settings) -> Iterator[TestClient]:
    with http_app(settings) as client:
        yield client


def test_what_was_acknowledged_is_in_kafka(http: TestClient, settings: Settings) -> None:
    answer = http.post("/v1/events", json=[CLICK, {"user": 1}, {**CLICK, "user": 7, "id": "mine"}])
    assert answer.status_code == 202
    told = answer.json()
    assert told["accepted"] == 2
    assert told["refused"] == [{"index": 1, "reason": "schema", "detail": "item is missing"}]
    [made, none, mine] = told["ids"]
    assert (none, mine) == (None, "mine")
    assert http.post("/v1/events", json={**CLICK, "id": "one"}).json()["accepted"] == 1
    found = in_kafka(settings.kafka, settings.kafka.events_topic)
    keys = {event["id"]: key for key, event in found}
    assert keys == {made: b"u1", "mine": b"7", "one": b"u1"} and len(found) == 3

    item = {"title": "Tee", "categories": ["tea"]}
    answer = http.put("/v1/items/i%20%C3%BC", json=item)
    assert (answer.status_code, answer.json()) == (202, {"item": "i ü"})
    assert in_kafka(settings.kafka, settings.kafka.items_topic) == [("i ü".encode(), item)]


def test_who_may_write_items_may_merge_visitors(settings: Settings) -> None:
    """A page's token sends clicks: with a merge it would take anybody's history."""
    tokens = ServeSettings(write_seconds=20, write_tokens=("site",), events_tokens=("page",))
    merge = {"user": "u1", "type": "merge", "from": "anon-9"}
    with http_app(msgspec.structs.replace(settings, serve=tokens)) as http:
        for token, accepted, reasons in (("page", 1, ["no_right"]), ("site", 2, [])):
            head = {"Authorization": f"Bearer {token}"}
            sent = [merge, {**CLICK, "id": token}]
            told = http.post("/v1/events", json=sent, headers=head).json()
            assert (told["accepted"], told["ids"]) == (accepted, [None, token])
            assert [each["reason"] for each in told["refused"]] == reasons
    found = [
        event
        for key, event in in_kafka(settings.kafka, settings.kafka.events_topic)
        if key == b"u1"
    ]
    assert [event.get("id") for event in found] == ["page", "site", None]
    assert found[2] == merge


def test_many_requests_at_once_share_a_wait(http: TestClient, settings: Settings) -> None:
    def post(number: int) -> int:
        event = {**CLICK, "user": f"u{number}", "id": f"e{number}"}
        return http.post("/v1/events", json=event).status_code

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(post, range(100))) == {202}
    found = in_kafka(settings.kafka, settings.kafka.events_topic)
    assert {event["id"] for _, event in found} == {f"e{n}" for n in range(100)}
    assert len(found) == 100


def test_what_kafka_refuses_spoils_no_other_request(settings: Settings) -> None:
    sender = Sender(settings)
    topic = settings.kafka.events_topic
    large = b'{"x": "%s"}' % (b"x" * 20_000_000)
    sent = [sender.send(topic, [(b"k", v)]) for v in (b"{}", large, b"{}", b"{}")]
    failed = [future.exception(60) for future in sent]
    sender.close()
    assert [type(error).__name__ for error in failed] == [
        "NoneType",
        "MessageRefused",
        "NoneType",
        "NoneType",
    ]


def test_a_broker_that_comes_back_is_used_again(settings: Settings, kafka: KafkaServer) -> None:
    if not (kafka.can_restart and kafka.keeps_topics):
        pytest.skip("this broker cannot be restarted")
    before, after = {**CLICK, "id": "before"}, {**CLICK, "id": "after"}
    with http_app(changed(settings, serve={"write_seconds": 5.0})) as http:
        wait_until(lambda: http.post("/v1/events", json=before).status_code == 202)
        kafka.stop()
        try:
            began = time.monotonic()
            answer = http.post("/v1/events", json={**CLICK, "id": "while"})
            assert answer.status_code == 503 and answer.headers["retry-after"]
            assert answer.json()["ids"] == ["while"]
            assert 5.0 <= time.monotonic() - began < DELIVERY_SECONDS
        finally:
            kafka.start()
        with admin_client(settings.kafka):
            pass  # it answers
        wait_until(lambda: http.post("/v1/events", json=after).status_code == 202)
    ids = [event["id"] for _, event in in_kafka(settings.kafka, settings.kafka.events_topic)]
    assert "before" in ids and "after" in ids


def test_a_topic_that_fails_keeps_no_other_back(settings: Settings) -> None:
    """Events go on at their own pace while the topic of items is missing."""
    settings = changed(settings, kafka={"items_topic": "streamrec.not.there"})
    sender = Sender(settings)
    item = sender.send(settings.kafka.items_topic, [(b"i1", b"{}")])
    sent = [sender.send(settings.kafka.events_topic, [(b"u1", b"{}")]) for _ in range(3)]
    assert [future.result(60) for future in sent] == [None] * 3
    assert not item.done()
    began = time.monotonic()
    sender.close()
    assert time.monotonic() - began < DELIVERY_SECONDS / 2  # what a message is waited for
    assert isinstance(item.exception(0), DeliveryFailed)
    assert [one.name for one in threading.enumerate() if "not.there" in one.name] == []


def test_what_is_for_all_partitions_is_in_each(settings: Settings) -> None:
    sender = Sender(settings)
    sender.send(settings.kafka.events_topic, [(b"u1", b'{"n": 1}')], 4).result(30)
    sender.close()
    assert in_kafka(settings.kafka, settings.kafka.events_topic) == [(b"u1", {"n": 1})] * 4
    with KafkaConsumer(bootstrap_servers=settings.kafka.brokers) as consumer:
        places = [TopicPartition(settings.kafka.events_topic, n) for n in range(4)]
        assert set(consumer.end_offsets(places).values()) == {1}
