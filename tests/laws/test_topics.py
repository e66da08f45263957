"""Topics are made with the right settings; existing wrong ones are refused by name."""

from typing import Any

import msgspec
import pytest
from kafka.errors import InvalidReplicationFactorError
from servers import KafkaServer

from streamrec.errors import BrokerUnavailable, LogError, WrongTopic
from streamrec.settings.sections import KafkaSettings
from streamrec.transport.kafka import topics
from streamrec.transport.kafka.client_settings import MAX_MESSAGE_BYTES
from streamrec.transport.kafka.topics import (
    admin_client,
    check_topics,
    create_topics,
    describe_configs,
    wanted_configs,
)


def make(settings: KafkaSettings, topic: str, partitions: int = 4, **configs: str) -> None:
    """Create a topic as somebody else would."""
    named = {name.replace("_", "."): value for name, value in configs.items()}
    wanted = {"num_partitions": partitions, "replication_factor": 1, "configs": named}
    with admin_client(settings) as admin:
        admin.create_topics({topic: wanted})
        admin.wait_for_topics([topic])


def test_missing_topics_are_made_and_existing_ones_accepted(kafka_settings: KafkaSettings) -> None:
    wanted = list(wanted_configs(kafka_settings))
    make(
        kafka_settings,
        kafka_settings.events_topic,
        message_timestamp_type="LogAppendTime",
        cleanup_policy="delete",
        retention_ms="3600000",  # how long is the operator's to say
    )
    assert create_topics(kafka_settings, 4) == wanted[1:]
    assert create_topics(kafka_settings, 4) == []
    assert check_topics(kafka_settings) == dict.fromkeys(wanted, 4)


def test_the_settings_arrive_at_the_broker(topics: KafkaSettings) -> None:
    with admin_client(topics) as admin:
        found = describe_configs(admin, wanted_configs(topics))
    assert found[topics.items_topic]["cleanup.policy"] == "compact"
    for topic in (topics.events_topic, topics.updates_topic, topics.dead_letters_topic):
        assert found[topic]["cleanup.policy"] == "delete"
        assert found[topic]["retention.ms"] == "604800000"
        assert found[topic]["message.timestamp.type"] == "LogAppendTime"
    assert found[topics.samples_topic]["cleanup.policy"] == "delete"
    assert found[topics.samples_topic]["retention.bytes"] == str(512 * 1024 * 1024)
    for topic in (topics.updates_topic, topics.dead_letters_topic):
        assert int(found[topic]["max.message.bytes"]) >= MAX_MESSAGE_BYTES


def test_other_partition_counts_are_refused(topics: KafkaSettings) -> None:
    with pytest.raises(WrongTopic, match="it has 4 partitions, wanted 8") as error:
        create_topics(topics, 8)
    assert topics.events_topic in str(error.value)
    with pytest.raises(WrongTopic, match="at least 1"):
        create_topics(topics, 0)


@pytest.mark.parametrize(
    ("topic", "configs", "text"),
    [
        ("events", {"cleanup_policy": "compact"}, "cleanup.policy is compact, wanted delete"),
        ("items", {"cleanup_policy": "delete"}, "cleanup.policy is delete, wanted compact"),
        (
            "updates",
            {"message_timestamp_type": "LogAppendTime", "max_message_bytes": "1000000"},
            "max.message.bytes is 1000000, wanted at least 8388608",
        ),
    ],
)
def test_wrong_settings_are_refused_before_anything_is_made(
    topic: str, configs: dict[str, str], text: str, kafka_settings: KafkaSettings
) -> None:
    name = getattr(kafka_settings, f"{topic}_topic")
    make(kafka_settings, name, **configs)
    with pytest.raises(WrongTopic, match=f"Topic {name}: {text}. Change it with: kafka-configs"):
        create_topics(kafka_settings, 4)
    with pytest.raises(WrongTopic, match="has no topic"):
        check_topics(kafka_settings)


def test_other_partition_counts_made_by_hand_are_accepted(
    kafka_settings: KafkaSettings,
) -> None:
    partitions = {}
    for number, (topic, configs) in enumerate(wanted_configs(kafka_settings).items(), start=1):
        partitions[topic] = number
        make(kafka_settings, topic, number, **configs)
    assert check_topics(kafka_settings) == partitions


def test_too_many_replicas_are_refused(kafka: KafkaServer, kafka_settings: KafkaSettings) -> None:
    if kafka.kind == "embedded":
        pytest.skip("the embedded broker takes any number of replicas")
    settings = msgspec.structs.replace(kafka_settings, replication_factor=7)
    with pytest.raises(WrongTopic, match=f"{settings.events_topic}.* would not create it"):
        create_topics(settings, 4)


class Fenced:
    """An admin client of brokers that have come back just now, and are fenced so many times."""

    def __init__(self, times: int) -> None:
        self.left, self.made = times, list[str]()

    def create_topics(self, wanted: dict[str, Any]) -> None:
        self.left -= 1
        if self.left >= 0:
            raise InvalidReplicationFactorError("Unable: All brokers are currently fenced")
        self.made += wanted


def test_brokers_that_come_back_are_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(topics, "REST_SECONDS", 0.0)
    admin: Any = Fenced(3)
    topics._create(admin, "events", 4, 1, {})
    assert admin.made == ["events"]
    monkeypatch.setattr(topics, "FENCED_SECONDS", 0.0)
    with pytest.raises(LogError, match="events: Kafka would not create it.* fenced"):
        topics._create(Fenced(10**9), "events", 4, 1, {})  # type: ignore[arg-type]


def test_no_broker_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streamrec.transport.kafka.connecting.CONNECT_SECONDS", 0.3)
    with pytest.raises(BrokerUnavailable, match="127.0.0.1:1 "):
        check_topics(KafkaSettings(brokers="127.0.0.1:1"))
