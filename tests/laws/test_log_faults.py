"""What a Log survives: a broker that is killed, and a pause longer than the session."""

import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from laws.members import Member
from laws.test_log import fill, partitions_of
from servers import KafkaServer, start_kafka

from streamrec.errors import DeliveryFailed, OffsetGone
from streamrec.settings.sections import KafkaSettings
from streamrec.transport.kafka.log import Log, Partition
from streamrec.transport.kafka.open_log import open_kafka
from streamrec.transport.kafka.topics import create_topics

MEMBERS = Path(__file__).with_name("members.py")


@pytest.fixture(scope="module")
def own_kafka(kafka: KafkaServer) -> Iterator[KafkaServer]:
    """A broker of the session's kind that no other test minds losing."""
    if not kafka.can_restart:
        pytest.skip(f"a broker of the kind {kafka.kind} cannot be restarted by a test")
    server = start_kafka("jars" if kafka.kind == "apache-jars" else kafka.kind)
    yield server
    server.close()


@pytest.fixture
def settings(own_kafka: KafkaServer, kafka_settings: KafkaSettings, client: str) -> KafkaSettings:
    settings = msgspec.structs.replace(kafka_settings, brokers=own_kafka.address, client=client)
    create_topics(settings, 4)
    return settings


@pytest.fixture
def log(settings: KafkaSettings) -> Iterator[Log]:
    log = open_kafka(settings, settings.group)
    yield log
    log.close()


def produce_again(log: Log, topic: str, value: bytes) -> int:
    """Put the value into partition 0, at the second try at the latest; return the failures."""
    for failures in range(2):
        log.produce(topic, value, partition=0)
        try:
            log.flush()
            return failures
        except DeliveryFailed:
            continue
    raise AssertionError("a fresh producer failed too")


def senders() -> list[str]:
    """Return the names of the threads that send."""
    return [thread.name for thread in threading.enumerate() if "producer" in thread.name]


def test_a_killed_broker_that_comes_back_is_survived(
    log: Log, own_kafka: KafkaServer, settings: KafkaSettings
) -> None:
    topic, others = settings.events_topic, set(senders())
    where = Partition(topic, 0)
    fill(log, topic, 100)
    member = Member(log, [topic])
    member.until(lambda: member.count == 400)
    member.resumes = True  # its session may end meanwhile
    own_kafka.kill()
    log.produce(topic, b"meanwhile", partition=0)
    with pytest.raises(DeliveryFailed, match="did not acknowledge"):
        log.flush(1.0)
    until = time.monotonic() + 3  # longer than the session
    while time.monotonic() < until:
        assert member.poll() == 0
    assert not set(senders()) - others  # a producer that was given up sends no more
    own_kafka.start()
    create_topics(settings, 4)  # the embedded broker has forgotten them
    produce_again(log, topic, b"after")
    if own_kafka.keeps_topics:
        member.until(lambda: any(message.value == b"after" for message in member.messages[where]))
        member.poll(1.0)
        after = member.messages[where][100:]
        assert [message.offset for message in after] == list(range(100, 100 + len(after)))
        # what failed may have arrived all the same, but is not sent behind our back
        values = [message.value for message in after]
        assert values[-1] == b"after" and values.count(b"meanwhile") <= 1
    else:
        with pytest.raises(OffsetGone, match=f"offset 100 of {topic}"):
            member.until(lambda: False)
        assert len(member.messages[where]) == 100


def test_a_paused_member_gives_up_its_partitions_and_gets_some_again(
    log: Log, own_kafka: KafkaServer, settings: KafkaSettings
) -> None:
    topic = settings.events_topic
    command = [sys.executable, str(MEMBERS), settings.client, own_kafka.address]
    sleeper = subprocess.Popen(
        [*command, settings.group, topic], stdout=subprocess.PIPE, text=True, bufsize=1
    )
    assert sleeper.stdout is not None
    try:
        assert json.loads(sleeper.stdout.readline()) == {"assigned": [0, 1, 2, 3]}
        sleeper.send_signal(signal.SIGSTOP)
        heir = Member(log, [topic])
        heir.join(4)
        fill(log, topic, 10)
        heir.until(lambda: heir.count == 40)
        sleeper.send_signal(signal.SIGCONT)
        heir.until(lambda: len(heir.owned) == 2)
        assert json.loads(sleeper.stdout.readline()) == {"revoked": [0, 1, 2, 3]}
        taken = json.loads(sleeper.stdout.readline())["assigned"]
        assert {Partition(topic, number) for number in taken} == (
            set(partitions_of(topic)) - heir.owned
        )
    finally:
        sleeper.kill()
        sleeper.wait()
        sleeper.stdout.close()


def test_a_killed_members_partitions_go_to_the_others(
    log: Log, own_kafka: KafkaServer, settings: KafkaSettings
) -> None:
    command = [sys.executable, str(MEMBERS), settings.client, own_kafka.address]
    victim = subprocess.Popen(
        [*command, settings.group, settings.events_topic], stdout=subprocess.PIPE, text=True
    )
    assert victim.stdout is not None
    assert json.loads(victim.stdout.readline()) == {"assigned": [0, 1, 2, 3]}
    victim.kill()
    victim.wait()
    victim.stdout.close()
    started = time.monotonic()
    heir = Member(log, [settings.events_topic])
    heir.join(4)
    assert time.monotonic() - started < 30  # brokers let a member be silent for 45 s by default
