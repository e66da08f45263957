"""`streamrec forget` beside kill -9 of `learn` and a running scorer: gone everywhere, for good."""

import json
import time
from pathlib import Path

import msgspec
import pytest
import redis
from kafka import KafkaProducer
from recovery.installation import PARTITIONS, Site

from streamrec.transport.kafka.topics import create_topics

KILLS = 3
HEAVY = "ü-0"
"""The user with the most events of the stream: somebody to forget again and again."""


def places(url: str, user: str) -> list[str]:
    """Return the keys, fields and members of all of Redis that are the user's."""
    client = redis.Redis.from_url(url)
    found, id_ = [], user.encode()
    for name in client.scan_iter("*", count=1000):
        kind = client.type(name)
        fields: list[bytes] = [name.rpartition(b":")[2]]
        if kind == b"hash":
            fields += client.hkeys(name)
        elif kind == b"zset":
            fields += client.zrange(name, 0, -1)
        found += [name.decode() for field in fields if field == id_]
    return found


def ask(site: Site, user: str) -> None:
    """Send the message as a producer of events would: to the user's own partition alone."""
    producer = KafkaProducer(bootstrap_servers=site.kafka.brokers)
    value = json.dumps({"user": user, "type": "forget"}).encode()
    producer.send(site.kafka.events_topic, value, key=user.encode()).get(timeout=30)
    producer.close()


@pytest.mark.timeout(300)
def test_kill_9_around_forgetting(site: Site) -> None:
    learners = [site.fleet.add("learn"), site.fleet.add("learn")]
    site.fleet.add("score")
    ends = site.feed(200, 400).finish()
    site.warm()
    feeder = site.feed(1500, 150, seed=2)
    for kill in range(KILLS):
        ask(site, HEAVY)
        ask(site, f"u{3 + kill}")
        time.sleep(site.random.uniform(0, 0.3))
        victim = learners[kill % 2]
        victim.kill()
        victim.start()
        time.sleep(2.0)
    ends |= feeder.finish()
    done = site.fleet.run("forget", HEAVY, "--timeout", "60", "--json", seconds=90)
    assert done.returncode == 0, done.stderr
    receipt = json.loads(done.stdout)
    assert places(site.redis_url, HEAVY) == []
    assert len(receipt["messages"]) == PARTITIONS
    assert receipt["removed"]["events"] > 0
    for place in receipt["messages"]:
        assert place["offset"] >= ends.get(place["partition"], 0)
        ends[place["partition"]] = place["offset"] + 1
    site.check(ends)  # the recount forgets too
    assert places(site.redis_url, HEAVY) == []


@pytest.mark.timeout(300)
def test_a_new_redis_learns_the_log_and_ends_without_the_user(site: Site, tmp_path: Path) -> None:
    learner = site.fleet.add("learn")
    ends = site.feed(400, 400).finish()
    site.warm()
    done = site.fleet.run("forget", HEAVY, "--json", seconds=90)
    assert done.returncode == 0, done.stderr
    for place in json.loads(done.stdout)["messages"]:
        ends[place["partition"]] = place["offset"] + 1
    site.drain(ends)
    learner.kill()
    redis.Redis.from_url(site.redis_url).flushall()
    other = {name: f"{site.kafka.group}.{name}2" for name in ("updates_topic", "group")}
    kafka = msgspec.structs.replace(site.kafka, **other)
    create_topics(kafka, PARTITIONS)
    folder = tmp_path / "again"
    folder.mkdir()
    again = Site(kafka, site.redis_url, folder)
    with again.fleet:
        again.fleet.add("learn")
        again.check(ends)
    assert places(site.redis_url, HEAVY) == []


@pytest.mark.timeout(120)
def test_without_learn_there_is_no_receipt(site: Site) -> None:
    learner = site.fleet.add("learn")
    ends = site.feed(200, 400).finish()
    site.warm()
    site.drain(ends)
    learner.kill()
    done = site.fleet.run("forget", HEAVY, "--timeout", "3", seconds=60)
    assert done.returncode == 75
    assert "stand still: does `streamrec learn` run?" in done.stderr
    assert places(site.redis_url, HEAVY)
    learner.start()
    again = site.fleet.run("forget", HEAVY, seconds=90)  # the first message is applied too
    assert again.returncode == 0, again.stderr
    assert "forgotten: " in again.stdout
    assert places(site.redis_url, HEAVY) == []
