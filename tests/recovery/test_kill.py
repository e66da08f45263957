"""Kill -9 at random moments over two learn processes, with real rebalances, changes nothing."""

import pytest
from recovery.drive import kill_at_random
from recovery.installation import Site


@pytest.mark.parametrize(
    ("kills", "events"),
    [
        pytest.param(12, 6_000),
        pytest.param(60, 30_000, marks=[pytest.mark.long, pytest.mark.timeout(900)]),
    ],
)
def test_kill_9_changes_nothing(site: Site, kills: int, events: int) -> None:
    learners = [site.fleet.add("learn"), site.fleet.add("learn")]
    feeder = site.feed(events, 300)
    site.warm()
    kill_at_random(site.fleet, learners, kills, events, site.learnt, site.random)
    site.check(feeder.finish())
