"""Whether Kafka's topics are the ones that the state in Redis was learnt from.

Names and partition counts say little: a topic can be made anew, a second installation can be
pointed at the same Redis. The cluster's id and the topics' ids (KIP-516) tell.
"""

from typing import NamedTuple

from streamrec.errors import BrokerUnavailable, ConfigurationError, LogError, WrongTopic
from streamrec.settings.sections import KafkaSettings
from streamrec.transport.kafka.topics import admin_client, no_topic
from streamrec.transport.redis.keys import Shards

NO_ID = "00000000-0000-0000-0000-000000000000"
CLUSTER = "cluster"
UNKNOWN = {"error_code": 3}  # UNKNOWN_TOPIC_OR_PARTITION; others pass, or are a matter of rights


class LogIdentity(NamedTuple):
    """By topic name: partition counts, and ids, where also the cluster's is; "" is unknown."""

    counts: dict[str, int]
    ids: dict[str, str]


def log_identity(settings: KafkaSettings) -> LogIdentity:
    """Ask Kafka; raises WrongTopic where a topic is missing, BrokerUnavailable if it is silent."""
    topics = [settings.events_topic, settings.items_topic, settings.updates_topic]
    try:
        with admin_client(settings) as admin:
            described = {t["name"]: t for t in admin.describe_topics(topics)}
            cluster = admin.describe_cluster().get("cluster_id") or ""
    except WrongTopic:
        raise
    except LogError as error:
        raise BrokerUnavailable(str(error)) from error
    errors = {t: described.get(t, UNKNOWN)["error_code"] for t in topics}
    missing = [t for t in topics if errors[t] == UNKNOWN["error_code"]]
    if missing:
        raise no_topic(settings, missing)
    if any(errors.values()):
        raise BrokerUnavailable(f"Kafka does not describe its topics (error codes {errors}).")
    ids = {t: str(described[t].get("topic_id") or "").replace(NO_ID, "") for t in topics}
    counts = {t: len(described[t]["partitions"]) for t in topics}
    return LogIdentity(counts, {CLUSTER: cluster, **ids})


def differences(shards: Shards, now: LogIdentity, settings: KafkaSettings) -> list[str]:
    """Return what of the log is not what the state was learnt from; each a sentence."""
    found = []
    made_with = {
        "events": (settings.events_topic, shards.users),
        "updates": (settings.updates_topic, shards.items),
        "items": (settings.items_topic, shards.metadata),
    }
    for option, (topic, then) in made_with.items():
        count = now.counts[topic]
        if count != then:
            found.append(
                f"topic {topic} has {count} partitions, the state in Redis was made "
                f"with {then}: {_added(option, count, then)}"
            )
    for name, then_id in shards.log.items():
        now_id = now.ids.get(name, "gone")
        if then_id and now_id and then_id != now_id:
            what = "Kafka cluster" if name == CLUSTER else f"topic {name}"
            is_now = "has another name now" if now_id == "gone" else f"has the id {now_id} now"
            found.append(
                f"the state in Redis was learnt from another {what}: its id was {then_id}, it "
                f"{is_now}. Was it made anew, or is this the Redis of another installation? Set "
                "redis.url and kafka.brokers right, or start over (docs/guarantees.md)"
            )
    return found


def check_same(shards: Shards, settings: KafkaSettings) -> None:
    """Raise ConfigurationError unless the log is the one that the state was learnt from."""
    found = differences(shards, log_identity(settings), settings)
    if found:
        raise ConfigurationError("; ".join(found))


def _added(option: str, count: int, then: int) -> str:
    if count < then:
        return "restore it, or start over (docs/guarantees.md)"
    return (
        "users of added partitions would have two histories, and no lists. Nothing of them is "
        f"learnt. Stop all processes and run `streamrec grow` --{option} {count} "
        "(docs/operations.md, More partitions)"
    )
