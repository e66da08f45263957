"""Kill -9 at random moments over two learn processes, with real rebalances, changes nothing."""

import pytest
from recovery.drive import kill_at_random
from recovery.installation import Site


@pytest.mark.parametrize(
    ("kills", "events", "per_second"),
    [
        pytest.param(12, 6_000, 150),
        pytest.param(60, 30_000, 140, marks=[pytest.mark.long, pytest.mark.timeout(900)]),
    ],
)
def test_kill_9_changes_nothing(site: Site, kills: int, events: int, per_second: int) -> None:
    learners = [site.fleet.add("learn"), site.fleet.add("learn")]
    feeder = site.feed(events, per_second)
    site.warm()
    kill_at_random(site.fleet, learners, kills, site.random, site.learnt)
    assert feeder.is_alive(), "the kills must happen while events arrive: feed for longer"
    feeder.hurry()
    site.check(feeder.finish())
