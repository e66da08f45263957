"""SIGTERM ends a process within 10 s, whatever it waits for; a stage that hangs is seen."""

import json
import os
import re
import signal
import time
import urllib.request
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from threading import Thread

import pytest
from needs import needs
from recovery.drive import Child
from recovery.installation import PARTITIONS, Site
from servers import KafkaServer, RedisServer
from waiting import wait_until

from streamrec.local.child import free_port
from streamrec.roles.learning import oversee
from streamrec.settings.sections import RedisSettings, Settings
from streamrec.transport.redis.store import Store

GRACE_SECONDS = 10.0
SPIN = Path(__file__).with_name("mutant_spin.py")


@contextmanager
def frozen(pid: int | None) -> Iterator[None]:
    """Stop a server with SIGSTOP: no answer, no reset."""
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def seconds_to_leave(child: Child) -> float:
    """Send SIGTERM and return how long the process took; it must end with 0."""
    assert child._process is not None
    started = time.monotonic()
    child._signal(signal.SIGTERM)
    code = child._process.wait(60)
    assert code == 0, child.tail()
    return time.monotonic() - started


@pytest.mark.parametrize("server", ["kafka", "redis"])
def test_a_server_that_does_not_answer_does_not_hold_the_process(
    site: Site, server: str, kafka: KafkaServer, redis_server: RedisServer
) -> None:
    pid = kafka.pid if server == "kafka" else redis_server.pid
    if pid is None:
        pytest.skip(f"a broker of the kind {kafka.kind} cannot be frozen by a test")
    learner, scorer = site.fleet.add("learn"), site.fleet.add("score")
    feeder = site.feed(1_500, 300)
    site.warm()
    with frozen(pid):
        time.sleep(1.0)  # a batch is on its way
        assert seconds_to_leave(learner) < GRACE_SECONDS
        assert seconds_to_leave(scorer) < GRACE_SECONDS
    feeder.hurry()
    learner.start()
    scorer.start()
    site.check(feeder.finish())


@pytest.mark.parametrize(
    ("role", "moment"),
    [
        ("learn", "at the start"),
        ("train", "at the start"),
        ("train", "while it runs"),
        ("serve", "at the start"),
        ("serve", "while it runs"),
    ],
)
def test_a_broker_that_does_not_answer_holds_no_role(
    site: Site, role: str, moment: str, kafka: KafkaServer
) -> None:
    needs({"train": "torch", "serve": "uvicorn"}.get(role, "kafka"))
    if kafka.pid is None:
        pytest.skip(f"a broker of the kind {kafka.kind} cannot be frozen by a test")
    port = free_port()
    config = site.directory / "streamrec.toml"
    config.write_text(f"{config.read_text()}[serve]\nport = {port}\n")
    with closing(Store(RedisSettings(url=site.redis_url))) as store:
        store.declare(PARTITIONS, PARTITIONS, PARTITIONS, Settings().factors.size)
    if moment == "while it runs":
        child = site.fleet.add(role)
        wait_until(lambda: "ready seconds" in child.output(), 60, "it has begun")
    with frozen(kafka.pid):
        if moment == "at the start":
            child = site.fleet.add(role)
            wait_until(lambda: "starting" in child.output(), 60, "it starts")
        elif role == "serve":
            Thread(target=click, args=[port], daemon=True).start()
        time.sleep(1.0)
        assert seconds_to_leave(child) < GRACE_SECONDS


def click(port: int) -> None:
    """Send one event by HTTP; no answer is expected."""
    body = json.dumps({"user": "u1", "item": "i1", "type": "click"}).encode()
    address = f"http://127.0.0.1:{port}/v1/events"
    asked = urllib.request.Request(address, body, {"Content-Type": "application/json"})
    with suppress(OSError):
        urllib.request.urlopen(asked)


def test_a_stage_that_does_not_come_back_is_seen(site: Site) -> None:
    """Its lag comes from the broker, its log says so, and SIGTERM ends it all the same."""
    config = site.directory / "streamrec.toml"
    config.write_text(config.read_text().replace("port = 0", "port = 19464"))
    learner = site.fleet.add("learn", script=SPIN)
    feeder = site.feed(600, 100)
    site.fleet.wait_until(lambda: "metrics and health" in learner.output(), 60, "its port")
    [url] = re.findall(r'url="?(http://[^ "]+)/metrics', learner.output())
    site.fleet.wait_until(
        lambda: "stands still" in learner.output(), oversee.STILL_SECONDS + 60, "said"
    )
    feeder.finish()

    def lag() -> float:
        text = urllib.request.urlopen(f"{url}/metrics").read().decode()
        found = re.findall(r'streamrec_lag_messages{.*topic="events".*} (\S+)', text)
        return sum(map(float, found))

    site.fleet.wait_until(lambda: lag() > 100, 20, "the lag is shown")
    assert seconds_to_leave(learner) < GRACE_SECONDS
