"""The topics: created with the right settings, refused with the wrong ones."""

import time
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager

from kafka import KafkaAdminClient
from kafka.admin import ConfigResource
from kafka.errors import (
    InvalidReplicationFactorError,
    KafkaError,
    TopicAlreadyExistsError,
    UnknownTopicOrPartitionError,
)

from streamrec.errors import LogError, WrongTopic
from streamrec.settings.sections import KafkaSettings
from streamrec.transport.kafka.client_settings import (
    CONNECT_SECONDS,
    MAX_MESSAGE_BYTES,
)
from streamrec.transport.kafka.connecting import connected

CREATE_TIME = (
    "CreateTime: messages carry their sender's time, and are kept by it: a replay of old events is "
    "deleted as it arrives. LogAppendTime is safer"
)
FENCED_SECONDS, REST_SECONDS = 30.0, 0.5
"""How long a broker that has just (re)started may have no partitions yet; how often it is asked."""
RETENTION_MS = 7 * 24 * 3600 * 1000
SAMPLES_BYTES = 512 * 1024 * 1024
"""Of samples that a partition keeps: some 80,000."""


def wanted_configs(settings: KafkaSettings) -> dict[str, dict[str, str]]:
    """Return the settings each topic is created with.

    Messages get the broker's time (LogAppendTime): a replay of an old log whose messages kept
    their own old timestamps would be past its retention, and be deleted as it arrives.
    """
    common = {"min.insync.replicas": "2"} if settings.replication_factor >= 3 else {}
    kept = {
        **common,
        "cleanup.policy": "delete",
        "retention.ms": str(RETENTION_MS),
        "message.timestamp.type": "LogAppendTime",
    }
    # room for a long event with its reason, and for one batch's updates
    large = {**kept, "max.message.bytes": str(MAX_MESSAGE_BYTES)}
    hours = {"retention.ms": str(int(settings.samples_hours * 3_600_000))}
    return {
        settings.events_topic: kept,
        settings.items_topic: {**common, "cleanup.policy": "compact"},
        settings.updates_topic: large,
        settings.dead_letters_topic: large,
        settings.samples_topic: {**kept, **hours, "retention.bytes": str(SAMPLES_BYTES)},
    }


def create_topics(settings: KafkaSettings, partitions: int) -> list[str]:
    """Create the topics that are missing and return their names.

    Existing ones must fit; raises WrongTopic, before anything is created, where one does not.
    """
    if partitions < 1:
        raise WrongTopic(f"A topic cannot have {partitions} partitions: ask for at least 1.")
    wanted = wanted_configs(settings)
    with admin_client(settings) as admin:
        found = partition_counts(admin, wanted)
        for topic, count in ((t, found[t]) for t in wanted if t in found):
            if count != partitions:
                raise WrongTopic(
                    f"Topic {topic}: it has {count} partitions, wanted {partitions}. "
                    f"Ask for {count} partitions, or delete the topic."
                )
        _refuse_wrong_configs(admin, {topic: wanted[topic] for topic in found})
        missing = [topic for topic in wanted if topic not in found]
        for topic in missing:
            _create(admin, topic, partitions, settings.replication_factor, wanted[topic])
        if missing:
            admin.wait_for_topics(missing, timeout_ms=int(CONNECT_SECONDS * 1000))
        return missing


def check_topics(settings: KafkaSettings) -> dict[str, int]:
    """Return the partition count of each topic; raises WrongTopic for a missing or unfit one.

    That of samples may be missing: only `train` needs it.
    """
    wanted = wanted_configs(settings)
    with admin_client(settings) as admin:
        found = partition_counts(admin, wanted)
        missing = [t for t in wanted if t not in found and t != settings.samples_topic]
        if missing:
            raise no_topic(settings, missing)
        _refuse_wrong_configs(admin, {topic: wanted[topic] for topic in found})
        return found


def no_topic(settings: KafkaSettings, missing: Collection[str]) -> WrongTopic:
    """Return the error of topics that are missing."""
    return WrongTopic(
        f"Kafka at {settings.brokers} has no topic {', '.join(missing)}. "
        "Run: streamrec topics create --partitions N"
    )


@contextmanager
def admin_client(settings: KafkaSettings) -> Iterator[KafkaAdminClient]:
    """Yield an admin client; Kafka's own errors leave the block as streamrec's."""
    admin = connected(KafkaAdminClient, settings)
    try:
        yield admin
    except KafkaError as error:
        raise LogError(f"Kafka at {settings.brokers} refused: {error}") from error
    finally:
        admin.close()


def partition_counts(admin: KafkaAdminClient, topics: Collection[str]) -> dict[str, int]:
    """Return the partition counts of those of the topics that exist."""
    described = admin.describe_topics(list(topics))
    # a list of no topics means all of them, and an unknown one comes back with an error code
    return {
        topic["name"]: len(topic["partitions"])
        for topic in described
        if topic["error_code"] == 0 and topic["name"] in topics
    }


def _create(
    admin: KafkaAdminClient, topic: str, partitions: int, replicas: int, configs: dict[str, str]
) -> None:
    wanted = {"num_partitions": partitions, "replication_factor": replicas, "configs": configs}
    deadline = time.monotonic() + FENCED_SECONDS
    while True:
        try:
            admin.create_topics({topic: wanted})
            return
        except TopicAlreadyExistsError:
            return  # another process was a moment faster, with the same settings
        except KafkaError as error:
            # the same error says that brokers are too few: that is for a person
            fenced = isinstance(error, InvalidReplicationFactorError) and "fenced" in str(error)
            if not fenced or time.monotonic() > deadline:
                kind = LogError if fenced else WrongTopic
                raise kind(f"Topic {topic}: Kafka would not create it: {error}") from None
        time.sleep(REST_SECONDS)


def _refuse_wrong_configs(admin: KafkaAdminClient, wanted: Mapping[str, Mapping[str, str]]) -> None:
    if not wanted:
        return
    for topic, reported in describe_configs(admin, wanted).items():
        for key, found in reported.items():
            reason = _mismatch(key, found, wanted[topic].get(key))
            if reason:
                raise WrongTopic(
                    f"Topic {topic}: {key} is {found}, wanted {reason}. Change it with: "
                    f"kafka-configs.sh --alter --entity-type topics --entity-name {topic} "
                    f"--add-config {key}={wanted[topic][key]}"
                )


def remarks(settings: KafkaSettings) -> dict[str, str]:
    """Return what is worth knowing of topics that are as they may be, by topic."""
    wanted = wanted_configs(settings)
    with admin_client(settings) as admin:
        found = describe_configs(admin, wanted)
    return {
        topic: CREATE_TIME
        for topic, reported in found.items()
        if reported.get("message.timestamp.type") == "CreateTime"
        and "message.timestamp.type" in wanted[topic]
    }


def may_write(settings: KafkaSettings, topic: str) -> bool | None:
    """Return whether the principal of these settings may write to a topic; None: not told."""
    with admin_client(settings) as admin:
        [described] = admin.describe_topics([topic])
    allowed = described.get("authorized_operations")
    return "WRITE" in allowed if allowed else None


def describe_configs(admin: KafkaAdminClient, topics: Collection[str]) -> dict[str, dict[str, str]]:
    """Return what the broker reports of each topic's settings; a lesser broker reports few."""
    resources = [ConfigResource("topic", topic) for topic in topics]
    try:
        answer = admin.describe_configs(resources, config_filter="all").get("topic", {})
    except UnknownTopicOrPartitionError:
        return {}
    return {
        topic: {key: entry["value"] for key, entry in answer.get(topic, {}).items()}
        for topic in topics
    }


def _mismatch(key: str, found: str | None, wanted: str | None) -> str:
    """Return what would be right, or "" when the value found will do.

    How long a topic is kept, how many replicas must answer and whose time messages carry are the
    operator's to choose; `remarks` says what the last means.
    """
    if wanted is None or found is None:
        return ""
    if key == "max.message.bytes":
        return f"at least {wanted}" if int(found) < int(wanted) else ""
    if key == "cleanup.policy":
        return wanted if found != wanted else ""
    return ""
