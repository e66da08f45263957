"""The rights that docs/operations.md gives in Kafka are enough for what they are for."""

import json
import re
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, Literal

import msgspec
import pytest
import typer
from kafka.admin import (
    ACL,
    ACLOperation,
    ACLPermissionType,
    ACLResourcePatternType,
    ResourcePattern,
    ResourceType,
)
from laws.live import learning
from make import context
from needs import needs_server
from servers import KafkaServer, RedisServer, start_apache

from streamrec.commands.doctor import doctor
from streamrec.commands.forget import forget
from streamrec.errors import DeliveryFailed, StreamrecError, WriteRefused
from streamrec.inspection.accounts import Ends, take
from streamrec.inspection.sent_items import sent_until_now, unlearnt
from streamrec.inspection.stored_state import Stored
from streamrec.settings.sections import KafkaSettings, ListSettings, RedisSettings, Settings
from streamrec.state.user_rows import decode_user
from streamrec.transport.kafka.open_log import open_kafka
from streamrec.transport.kafka.topics import admin_client, create_topics
from streamrec.transport.redis.store import Store

PAGE = Path(__file__).resolve().parents[2] / "docs" / "operations.md"
LINES = [
    line.split()[1:]
    for line in PAGE.read_text().splitlines()
    if line.startswith("    acls --allow-principal ")
]
USERS = ("admin", "learn", "train", "shop", "operator", "nobody")


def login(user: str) -> dict[str, str]:
    return {
        "security.protocol": "SASL_PLAINTEXT",
        "sasl.mechanism": "PLAIN",
        "sasl.username": user,
        "sasl.password": f"{user}-secret",
    }


@pytest.fixture(scope="module")
def guarded() -> Iterator[KafkaServer]:
    """A real broker that refuses what no line of the page allows; the topics are made."""
    jaas = "org.apache.kafka.common.security.plain.PlainLoginModule required"
    known = " ".join(f'user_{user}="{user}-secret"' for user in USERS)
    server = needs_server(
        lambda: start_apache(
            {
                "listener.security.protocol.map": "SASL_PLAINTEXT:SASL_PLAINTEXT,"
                "CONTROLLER:PLAINTEXT",
                "inter.broker.listener.name": "SASL_PLAINTEXT",
                "sasl.enabled.mechanisms": "PLAIN",
                "sasl.mechanism.inter.broker.protocol": "PLAIN",
                "listener.name.sasl_plaintext.plain.sasl.jaas.config": f'{jaas} username="admin" '
                f'password="admin-secret" {known};',
                "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
                "super.users": "User:admin;User:ANONYMOUS",  # the controller's own listener
            },
            listener="SASL_PLAINTEXT",
        )
    )
    create_topics(settings_of("admin", server), 2)
    with admin_client(settings_of("admin", server)) as admin:
        made = admin.create_acls([acl for line in LINES for acl in acls_of(line)])
    assert not made["failed"]
    yield server
    server.close()


def acls_of(line: list[str]) -> Iterator[ACL]:
    """Yield what `kafka-acls.sh --add` makes of its arguments: each operation on each resource."""
    given = list(zip(line[::2], line[1::2], strict=True))
    prefixed = ("--resource-pattern-type", "prefixed") in given
    kind = ACLResourcePatternType.PREFIXED if prefixed else ACLResourcePatternType.LITERAL
    [principal] = [value for name, value in given if name == "--allow-principal"]
    [operation] = [value for name, value in given if name == "--operation"]
    does = ACLOperation[re.sub(r"(?<!^)(?=[A-Z])", "_", operation).upper()]
    for name, value in given:
        if name in ("--topic", "--group"):
            resource = ResourcePattern(ResourceType[name.strip("-").upper()], value, kind)
            yield ACL(principal, "*", does, ACLPermissionType.ALLOW, resource)


def settings_of(user: str, server: KafkaServer) -> KafkaSettings:
    return KafkaSettings(
        brokers=server.address,
        client_settings=login(user),
        session_timeout_seconds=6.0,
        fetch_wait_seconds=0.02,
    )


def test_each_principal_can_do_its_work(
    guarded: KafkaServer, clean_redis: RedisServer, capsys: pytest.CaptureFixture[str]
) -> None:
    base = Settings(redis=RedisSettings(url=clean_redis.url), lists=ListSettings(lease_seconds=1.0))

    def of(user: str) -> Settings:
        return msgspec.structs.replace(base, kafka=settings_of(user, guarded))

    with learning(of("learn")) as learner, closing(open_kafka(of("shop").kafka)) as shop:
        for n in range(20):
            value = {"user": f"u{n % 4}", "item": f"i{n}", "type": "click"}
            shop.produce("streamrec.events", json.dumps(value).encode(), key=b"u%d" % (n % 4))
        shop.produce("streamrec.events", b"no event", key=b"u1")
        merge = b'{"user": "u2", "type": "merge", "from": "u3"}'
        shop.produce("streamrec.events", merge, key=b"u2")
        shop.produce("streamrec.items", b'{"item": "i1", "title": "Pot"}', key=b"i1")
        shop.flush()
        learner.until(lambda: learner.value("dead_letters_total") == 1)
        forget(context(of("operator")), "u1", timeout=60.0, as_json=True)
        receipt = json.loads(capsys.readouterr().out)
        assert receipt["removed"]["events"] == 5
        operator = of("operator")
        with closing(Stored(operator.redis)) as stored, closing(Ends(operator.kafka)) as ends:
            found: Any = take(operator.kafka, stored, ends)
            assert unlearnt(stored, sent_until_now(operator.kafka, stored)) == 0
        assert found.broken == []
        assert sum(shard.counters.get("control", 0) for shard in found.shards) == 6


@pytest.mark.parametrize("client", ["kafka-python", "confluent"])
def test_a_topic_that_may_not_be_written_to_is_named(
    guarded: KafkaServer, client: Literal["kafka-python", "confluent"]
) -> None:
    topics = msgspec.structs.replace(settings_of("learn", guarded), client=client)
    with closing(open_kafka(topics)) as log, pytest.raises(WriteRefused) as refused:
        log.produce("streamrec.items", b"{}", key=b"u1", partition=0)
        log.flush(10.0)
    assert refused.value.topic == "streamrec.items"
    assert "takes no message of this program for streamrec.items" in str(refused.value)


@pytest.mark.parametrize("client", ["kafka-python", "confluent"])
def test_who_may_write_nowhere_is_told(
    guarded: KafkaServer, client: Literal["kafka-python", "confluent"]
) -> None:
    topics = msgspec.structs.replace(settings_of("train", guarded), client=client)
    with (
        closing(open_kafka(topics)) as log,
        pytest.raises(DeliveryFailed, match=r"(?i)cluster.?authorization.?failed"),
    ):
        log.produce("streamrec.samples", b"{}", key=b"u1", partition=0)
        log.flush(10.0)


def test_what_no_line_allows_is_refused(guarded: KafkaServer) -> None:
    for user, topic in (("shop", "streamrec.updates"), ("nobody", "streamrec.events")):
        with (
            closing(open_kafka(settings_of(user, guarded))) as log,
            pytest.raises(StreamrecError),
        ):
            log.produce(topic, b"{}", key=b"u1", partition=0)
            log.flush(10.0)


@pytest.mark.parametrize("client", ["kafka-python", "confluent"])
def test_without_the_right_to_write_events_merges_are_dead_letters(
    guarded: KafkaServer,
    clean_redis: RedisServer,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
    client: Literal["kafka-python", "confluent"],
) -> None:
    """One message must not stop its partition; what it needs is told."""

    def of(user: str, topics: KafkaSettings) -> Settings:
        kafka = msgspec.structs.replace(
            topics, client=client, brokers=guarded.address, client_settings=login(user),
        )  # fmt: skip
        return Settings(kafka=kafka, redis=RedisSettings(url=clean_redis.url))

    topics = msgspec.structs.replace(
        settings_of("admin", guarded), events_topic=f"events.{client}", group=client
    )
    create_topics(topics, 2)
    given, event_right = rights_of("learn", topics), rights_of("learn", topics, write=True)
    with admin_client(topics) as admin:
        admin.create_acls(given)
    learn, shop = of("learn", topics), of("admin", topics)
    with learning(learn) as learner, closing(open_kafka(shop.kafka)) as log:

        def send(*values: dict[str, str]) -> None:
            for value in values:
                log.produce(topics.events_topic, json.dumps(value).encode(), partition=0)
            log.flush()

        merge = {"user": "u1", "type": "merge", "from": "anon-9"}
        clicks = [{"user": "anon-9", "item": f"i{n}", "type": "click"} for n in range(5)]
        send(*clicks, merge, {"user": "u1", "item": "i9", "type": "click"})
        learner.until(lambda: learner.offset("u0") == 7)
        assert learner.value("events_rejected_total", reason="no_right") == 1
        assert learner.value("dead_letters_total") == 1
        told = [line for line in caplog.records if "no right Write" in line.message]
        assert len(told) == 1 and topics.events_topic in told[0].topic  # type: ignore[attr-defined]
        assert found_by_doctor(learn, capsys) == ("warn", "no right Write with these settings")

        with admin_client(topics) as admin:
            admin.create_acls(event_right)
        for stage in learner.stages:
            moving = getattr(stage._learner, "_moving", None)  # noqa: SLF001
            if moving is not None:
                moving._refused_until = 0.0  # noqa: SLF001
        send(merge)
        row = Store(learn.redis)
        learner.until(lambda: row.rows("u0", "users", ["anon-9"]) == [None])
        learner.until(lambda: decode_user(row.rows("u0", "users", ["u1"])[0] or b"").events == 6)
        assert learner.value("events_rejected_total", reason="no_right") == 1
        assert found_by_doctor(learn, capsys) == ("ok", "may be written to")


def rights_of(user: str, topics: KafkaSettings, *, write: bool = False) -> list[ACL]:
    """Return what a principal needs of topics and groups of other names; write: of events."""
    kind, principal = ACLResourcePatternType.LITERAL, f"User:{user}"
    topic = ResourcePattern(ResourceType.TOPIC, topics.events_topic, kind)
    if write:
        return [ACL(principal, "*", ACLOperation.WRITE, ACLPermissionType.ALLOW, topic)]
    groups = [
        ResourcePattern(ResourceType.GROUP, f"{topics.group}-{stage}", kind)
        for stage in ("users", "items")
    ]
    reads = [
        ACL(principal, "*", ACLOperation.READ, ACLPermissionType.ALLOW, one)
        for one in (topic, *groups)
    ]
    describes = ACL(principal, "*", ACLOperation.DESCRIBE_CONFIGS, ACLPermissionType.ALLOW, topic)
    return [*reads, describes]


def found_by_doctor(settings: Settings, capsys: pytest.CaptureFixture[str]) -> tuple[str, str]:
    """Return what `doctor` says of the right to write to the topic of events."""
    with pytest.raises(typer.Exit):
        doctor(context(settings), as_json=True)
    [(state, text)] = [
        (one["state"], one["text"])
        for one in json.loads(capsys.readouterr().out)
        if one["subject"] == f"topic {settings.kafka.events_topic}" and "rit" in one["text"]
    ]
    return state, re.split("[:,]", text)[0]
