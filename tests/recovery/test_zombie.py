"""A process that stops for longer than its session lasts, and then goes on, changes nothing."""

import time

import pytest
from recovery.installation import Site


@pytest.mark.parametrize(
    ("pauses", "events"),
    [
        pytest.param(2, 3_000),
        pytest.param(10, 8_000, marks=[pytest.mark.long, pytest.mark.timeout(600)]),
    ],
)
def test_a_zombie_changes_nothing(site: Site, pauses: int, events: int) -> None:
    learners = [site.fleet.add("learn"), site.fleet.add("learn")]
    feeder = site.feed(events, 130)
    site.warm()
    for number in range(pauses):
        victim = learners[number % 2]
        time.sleep(site.random.uniform(1.0, 2.0))
        victim.pause()
        time.sleep(site.kafka.session_timeout_seconds + site.random.uniform(1.5, 3.0))
        victim.resume()
    feeder.hurry()
    site.check(feeder.finish())
