"""`streamrec grow` on real servers: more partitions, whatever kills it, change nothing learnt."""

import json
import os
import subprocess
import sys
from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import redis
from kafka import KafkaProducer
from kafka.consumer.fetcher import ConsumerRecord
from recovery.compare import read_topic
from recovery.installation import PARTITIONS, Site
from recovery.mutant_grow import ACTS
from recovery.recount import Raw, Recount
from servers import KafkaServer
from waiting import wait_until

from streamrec.inspection.growth_checks import living
from streamrec.settings.sections import RedisSettings
from streamrec.state.user_rows import decode_user
from streamrec.transport.kafka.log import partition_of
from streamrec.transport.redis.store import Store

MUTANT = Path(__file__).with_name("mutant_grow.py")
EVENTS, UPDATES, ITEMS = 6, 5, 6
GROW = ("grow", "--events", f"{EVENTS}", "--updates", f"{UPDATES}", "--items", f"{ITEMS}")
FIRST = ("marker:1:after", "create:1:before", "create:1:after")
"""Kills of the first growth: afterwards there are partitions."""
SHORT = ("users:7:after", "switch:3:before")
LONG = [f"{act}:1:{moment}" for act in ACTS for moment in ("before", "after")]
LONG += ["users:9:after", "items:3:before", "meta:7:after", "step:2:before", "step:2:after"]
LONG += [f"switch:{number}:before" for number in (2, 5, 6, 7, 11, 12, 17)]
EPOCH = "an epoch"


@pytest.fixture(autouse=True)
def adds_partitions(kafka: KafkaServer) -> None:
    if kafka.kind == "embedded":
        pytest.skip("the embedded broker adds no partitions")


@pytest.fixture(autouse=True)
def newcomers_teach(monkeypatch: pytest.MonkeyPatch) -> None:
    """The recount goes by today's partitions: who is held goes by the crowd of the former ones."""
    monkeypatch.setenv("STREAMREC_USERS_NEWCOMER_ITEMS", "0")


def grow(site: Site, kill: str = "") -> subprocess.CompletedProcess[str]:
    """Run the command to its end, or to where it is killed."""
    command = [sys.executable, str(MUTANT), "--config", str(site.directory / "streamrec.toml")]
    environment = {"STREAMREC_TEST_KILL": kill} if kill else {}
    return subprocess.run(
        [*command, *GROW], capture_output=True, text=True, timeout=180,
        env={**os.environ, **environment},
    )  # fmt: skip


def everything(site: Site) -> dict[str, Any]:
    """Return all of Redis that streamrec learns, but for the name of the state."""
    client = redis.Redis.from_url(site.redis_url)
    found: dict[str, Any] = {}
    for name in client.scan_iter("sr:*", count=1000):
        kind = client.type(name)
        if kind == b"hash":
            found[name.decode()] = client.hgetall(name)
        elif kind == b"zset":
            found[name.decode()] = client.zrange(name, 0, -1, withscores=True)
        elif kind == b"string":
            found[name.decode()] = client.get(name)
    found["sr:shards"] = json.loads(found["sr:shards"]) | {"epoch": EPOCH}
    return found


class Saved:
    """A copy of all of Redis, to begin again from."""

    def __init__(self, url: str) -> None:
        self._client = redis.Redis.from_url(url)
        names = list(self._client.scan_iter("*", count=1000))
        self._dumps = [(n, self._client.dump(n), self._client.pttl(n)) for n in names]

    def restore(self) -> None:
        self._client.flushall()
        for name, dump, ttl in self._dumps:
            self._client.restore(name, max(0, ttl), dump)


def describe(site: Site) -> None:
    """Tell of some items."""
    producer = KafkaProducer(bootstrap_servers=site.kafka.brokers)
    for n in range(30):
        entry = json.dumps({"item": f"i{n}", "title": f"Thing {n}"}).encode()
        producer.send(site.kafka.items_topic, entry, key=f"i{n}".encode())
    producer.flush()
    producer.close()


def learn(
    site: Site, count: int, seed: int, ends: dict[int, int], updates: int, *, lists: bool = True
) -> None:
    """Learn so many more events, make lists of them or leave users due, then stop everything."""
    started = [site.fleet.add("learn"), *([site.fleet.add("score")] if lists else [])]
    ends |= site.feed(count, 600, seed).finish()

    def left() -> list[str]:
        return site.state.unlearnt(ends, updates)

    site.fleet.wait_until(lambda: not left(), 120, left)
    audit = site.fleet.run("audit", "--wait", "60" if lists else "0", seconds=120)
    assert audit.returncode == (0 if lists else 2), audit.stdout + audit.stderr
    for child in started:
        site.fleet.children.remove(child)
        child.kill()
    unseen(site)


def unseen(site: Site) -> None:
    """Wait until what was killed or paused is seen nowhere any more: a session is 1.5 s."""
    with closing(Store(RedisSettings(url=site.redis_url))) as store:
        wait_until(lambda: not living(site.kafka, store), 60, "nobody is seen")


def recounted(site: Site, grown_at: dict[int, int]) -> Recount:
    """Count again, partition by partition as they are now: first what came before the growth.

    Offsets are those of that order: a user's events are in it as they were learnt.
    """
    before: dict[int, list[ConsumerRecord]] = {n: [] for n in range(EVENTS)}
    after: dict[int, list[ConsumerRecord]] = {n: [] for n in range(EVENTS)}
    for number, messages in read_topic(site.kafka.brokers, site.kafka.events_topic).items():
        for message in messages:
            home = partition_of(message.key, EVENTS)
            early = message.offset < grown_at.get(number, 0)
            assert early or home == number
            (before if early else after)[home].append(message)
    count = Recount(newcomer_items=0)
    for number in range(EVENTS):
        each = enumerate([*before[number], *after[number]])
        count.partition(number, [Raw(n, m.timestamp, m.value) for n, m in each])
    return count


def differences(counted: Recount, stored: Recount) -> list[str]:
    """Return what differs; of partitions and dead letters the sums, for they lie elsewhere."""
    sums = []
    for one in (counted, stored):
        total: Counter[str] = Counter()
        for partition in one.partitions.values():
            total.update(partition)
        total["letters"] = hash(tuple(sorted(Counter(one.rejected.values()).items())))
        sums.append(total)
        one.partitions.clear()
        one.rejected.clear()
    found = counted.difference(stored)
    return found + ([f"sums: {sums}"] if sums[0] != sums[1] else [])


def check(site: Site, grown_at: dict[int, int]) -> None:
    """The state is what the log comes to; nobody is in two shards; lists know all of it."""
    found = differences(recounted(site, grown_at), site.export())
    assert not found, f"{len(found)} differences: " + "\n".join(found[:20])
    client = redis.Redis.from_url(site.redis_url)
    users = [user for n in range(EVENTS) for user in client.hkeys(f"sr:{{u{n}}}:users")]
    assert len(set(users)) == len(users)
    model, made_since = f"online-{json.loads(client.get('sr:shards'))['epoch']}", 0
    for number in range(EVENTS):
        for user, row in client.hgetall(f"sr:{{u{number}}}:users").items():
            assert partition_of(user, EVENTS) == number
            found = json.loads(client.get(b"rec:" + user) or "{}")
            if found.get("model", "").partition("+")[0] == model:
                made_since += 1
                assert found["offset"] == decode_user(row).offset, user
    assert made_since > 50


def killed_and_done(site: Site, kill: str) -> None:
    """Kill it there; nothing starts until it has been run again."""
    first = grow(site, kill)
    assert first.returncode == -9, (kill, first.stdout, first.stderr)
    if kill not in ("marker:1:before", "done:1:after"):
        learner = site.fleet.run("learn", seconds=60)
        assert learner.returncode == 78 and "streamrec grow --events 6" in learner.stderr, kill
    again = grow(site)
    if kill == "done:1:after":
        assert again.returncode == 78 and "already" in again.stderr, again.stderr
    else:
        assert again.returncode == 0, (kill, again.stdout, again.stderr)
        assert "warning" not in again.stderr


@pytest.mark.parametrize(
    ("count", "kills"),
    [
        pytest.param(1_200, SHORT, marks=[pytest.mark.timeout(580)]),
        pytest.param(3_000, LONG, marks=[pytest.mark.long, pytest.mark.timeout(3600)]),
    ],
)
def test_kill_9_at_each_step_changes_nothing(
    site: Site, count: int, kills: tuple[str, ...]
) -> None:
    ends: dict[int, int] = {}
    describe(site)
    learn(site, count, 1, ends, 4)
    learn(site, 100, 3, ends, 4, lists=False)
    grown_at, saved = dict(ends), Saved(site.redis_url)
    for kill in FIRST[-1:] if kills is SHORT else FIRST:
        assert grow(site, kill).returncode == -9, kill
    done = grow(site)
    assert done.returncode == 0, done.stderr
    assert "events 4 -> 6, updates 4 -> 5, items 4 -> 6" in done.stdout
    wanted = everything(site)
    for kill in kills:
        saved.restore()
        killed_and_done(site, kill)
        found = everything(site)
        assert found.keys() == wanted.keys(), kill
        assert {name for name in found if found[name] != wanted[name]} == set(), kill
    learn(site, count, 1, ends, UPDATES)  # the same again: every event with an id is a duplicate
    learn(site, count, 2, ends, UPDATES)
    check(site, grown_at)


@pytest.mark.timeout(300)
def test_who_lives_on_unseen_commits_nothing_and_ends(site: Site) -> None:
    """Two are stopped, as by a frozen machine, and wake when the partitions are more."""
    ends: dict[int, int] = {}
    zombies = [site.fleet.add("learn"), site.fleet.add("score")]
    ends |= site.feed(600, 600).finish()
    site.fleet.wait_until(lambda: not site.state.unlearnt(ends, PARTITIONS), 120, "all is learnt")
    assert site.fleet.run("audit", "--wait", "60", seconds=120).returncode == 0
    refused = grow(site)
    assert refused.returncode == 78 and "stop all processes first" in refused.stderr
    for zombie in zombies:
        zombie.pause()
    unseen(site)
    grown_at = dict(ends)
    done = grow(site)
    assert done.returncode == 0, done.stderr
    grown = everything(site)
    for zombie in zombies:
        zombie.resume()
        site.fleet.children.remove(zombie)
    ends |= site.feed(300, 600, seed=2).finish()
    wait_until(lambda: not any(z.running for z in zombies), 60, "both have ended")
    assert [zombie.exit_code for zombie in zombies] == [78, 78]
    found = everything(site)
    rows = {name for name in grown if name.startswith("sr:{") and ":due" not in name}
    assert not {name for name in rows if found[name] != grown[name]}
    learn(site, 300, 3, ends, UPDATES)
    check(site, grown_at)
