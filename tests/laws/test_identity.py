"""State is tied to its log: another one with the same names and counts is refused."""

from collections.abc import Iterator
from contextlib import closing

import msgspec
import pytest
import typer
from laws.live import Learning, learning
from make import context
from servers import KafkaServer, RedisServer

from streamrec.commands.audit import audit
from streamrec.errors import ConfigurationError
from streamrec.inspection.findings import findings
from streamrec.roles.learning import oversee
from streamrec.settings.sections import KafkaSettings, RedisSettings, Settings
from streamrec.settings.types import changed
from streamrec.transport.kafka.open_log import open_kafka
from streamrec.transport.kafka.topics import admin_client, create_topics


@pytest.fixture(autouse=True)
def looks_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(oversee, "LOOK_SECONDS", 0.5)


@pytest.fixture
def settings(
    kafka: KafkaServer, client: str, topics: KafkaSettings, clean_redis: RedisServer
) -> Settings:
    kafka_settings = msgspec.structs.replace(topics, client=client)
    return Settings(kafka=kafka_settings, redis=RedisSettings(url=clean_redis.url))


@pytest.fixture
def learnt(settings: Settings) -> Iterator[Settings]:
    """Settings of an installation that has learnt 40 clicks, and is stopped."""
    click(settings.kafka, 10)
    with learning(settings) as running:
        running.until(lambda: accepted(running) == 40)
    return settings


def click(kafka: KafkaSettings, each: int) -> None:
    """Put so many clicks into each of 4 partitions."""
    with closing(open_kafka(kafka)) as log:
        for n in range(4 * each):
            value = msgspec.json.encode({"user": f"u{n % 4}", "item": f"i{n}", "type": "click"})
            log.produce(kafka.events_topic, value, partition=n % 4)
        log.flush()


def accepted(running: Learning) -> float:
    return running.value("events_accepted_total", type="click")


def make_anew(kafka: KafkaSettings, *topics: str) -> None:
    """Delete topics and create them again."""
    with admin_client(kafka) as admin:
        admin.delete_topics(list(topics))
    for _ in range(50):
        if create_topics(kafka, 4):
            return


def refused(settings: Settings, match: str) -> None:
    """Learn, doctor and audit each say so, before anything is learnt."""
    with pytest.raises(ConfigurationError, match=match):
        Learning(settings)
    text = " ".join(f.text for f in findings(settings) if f.state == "FAIL")
    assert match in text, text
    with pytest.raises(ConfigurationError, match=match) as error:
        audit(context(settings))
    assert error.value.exit_code == 78


def test_a_topic_made_anew_that_has_grown_past_the_offset(learnt: Settings) -> None:
    make_anew(learnt.kafka, learnt.kafka.events_topic)
    click(learnt.kafka, 30)
    refused(learnt, f"another topic {learnt.kafka.events_topic}")


def test_a_second_installation_on_the_same_redis(learnt: Settings) -> None:
    other = msgspec.structs.replace(
        learnt.kafka,
        events_topic=f"{learnt.kafka.group}.other",
        group=f"{learnt.kafka.group}-other",
    )
    create_topics(other, 4)
    refused(msgspec.structs.replace(learnt, kafka=other), "its id was")


def test_an_installation_that_moves_nowhere_goes_on(learnt: Settings) -> None:
    click(learnt.kafka, 1)
    with learning(learnt) as running:
        running.until(lambda: accepted(running) == 4)
    with pytest.raises(typer.Exit) as end:
        audit(context(learnt))
    assert end.value.exit_code in (0, 2)
    assert all(f.state != "FAIL" for f in findings(learnt))


def test_a_topic_made_anew_while_it_runs(kafka: KafkaServer, settings: Settings) -> None:
    if kafka.kind == "embedded":
        pytest.skip("the embedded broker deletes no topic that is read")
    with learning(settings) as running:
        click(settings.kafka, 5)
        running.until(lambda: accepted(running) == 20)
        make_anew(settings.kafka, settings.kafka.events_topic)
        error = running.fails()
    assert getattr(error, "exit_code", 1) in (65, 78), error


def test_partitions_that_are_added_while_it_runs(kafka: KafkaServer, settings: Settings) -> None:
    """Nothing of them is learnt: refused before the client knows them, or at the assignment."""
    if kafka.kind == "embedded":
        pytest.skip("the embedded broker adds no partitions")
    fast = {"metadata.max.age.ms": "500"}
    if settings.kafka.client == "confluent":
        fast["topic.metadata.refresh.interval.ms"] = "500"
    with learning(changed(settings, kafka={"client_settings": fast})) as running:
        click(settings.kafka, 5)
        running.until(lambda: accepted(running) == 20)
        with admin_client(settings.kafka) as admin:
            admin.create_partitions({settings.kafka.events_topic: 6})
        with closing(open_kafka(settings.kafka)) as log:
            log.produce(settings.kafka.events_topic, b"{}", partition=5)
            log.flush()
        error = running.fails()
        assert isinstance(error, ConfigurationError) and "has 6 partitions" in str(error)
        assert running.store.meta("u5") == {} and running.store.meta("u4") == {}
    refused(settings, "has 6 partitions")
