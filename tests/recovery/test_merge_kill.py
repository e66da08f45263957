"""Visitors become users beside kill -9 of `learn`: each history moves once, to the right place."""

import json
import time

import pytest
from recovery.compare import read_topic
from recovery.drive import Feeder, kill_at_random
from recovery.events import Sent, stream, user_name
from recovery.installation import Site

EVERY = 12
"""Messages between two merges."""


def with_merges(site: Site, count: int) -> list[Sent]:
    """Return a stream in which now and then one user is another, and is forgotten at times."""
    sent: list[Sent] = []
    for number, one in enumerate(stream(5, count, int(time.time() * 1000))):
        sent.append(one)
        if number % EVERY == 0:
            user, visitor = (user_name(site.random.randrange(60)) for _ in range(2))
            value = json.dumps({"user": user, "type": "merge", "from": visitor}).encode()
            sent += [Sent(user.encode(), value, "merge")] * site.random.choice((1, 1, 2))
            if site.random.random() < 0.1:  # the visitor's history may be on its way
                value = json.dumps({"user": user, "type": "forget"}).encode()
                sent.append(Sent(user.encode(), value, "forget"))
    return sent


def settled(site: Site, ends: dict[int, int]) -> dict[int, int]:
    """Return where the partitions end when the shards have nothing to send each other any more."""
    while True:
        site.drain(ends)
        found = read_topic(site.kafka.brokers, site.kafka.events_topic)
        now = {n: messages[-1].offset + 1 for n, messages in found.items() if messages}
        if now == ends:
            return ends
        ends = now


@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    "kills", [4, pytest.param(20, marks=[pytest.mark.long, pytest.mark.timeout(1200)])]
)
def test_kill_9_around_merges(site: Site, kills: int) -> None:
    learners = [site.fleet.add("learn"), site.fleet.add("learn")]
    sent = with_merges(site, 450 * kills)
    feeder = Feeder(site.kafka.brokers, site.kafka.events_topic, sent, 250)
    site.warm()
    kill_at_random(site.fleet, learners, kills, len(sent) // 2, site.learnt, site.random)
    feeder.hurry()
    site.check(settled(site, feeder.finish()))
    moved = read_topic(site.kafka.brokers, site.kafka.events_topic).values()
    assert sum(b'"given"' in (m.value or b"") for messages in moved for m in messages) > 10
