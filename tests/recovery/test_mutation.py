"""The recovery tests must be able to fail: with a guard switched off, the recount differs.

Each fault is forced, not left to chance, and without the mutation the same fault changes nothing.
"""

import re
from pathlib import Path

import pytest
from recovery.drive import Child
from recovery.installation import Site
from waiting import wait_until

MUTANT = Path(__file__).with_name("mutant_learn.py")


def _faulty_place(child: Child) -> tuple[str, int]:
    """Wait for the fault; return the user shard and the offset that it has stored."""
    pattern = re.compile(r"FAULT before the commit of (u\d+) (\d+)")
    wait_until(lambda: pattern.search(child.output()) is not None, 120, "the fault")
    found = pattern.search(child.output())
    assert found is not None
    return found[1], int(found[2])


@pytest.mark.parametrize("switched_off", ["", "commit_offset_check"])
def test_a_zombie_commits_late(site: Site, switched_off: str) -> None:
    """It stops right before a commit, another takes over, it wakes and commits."""
    guard = {"STREAMREC_TEST_SWITCH_OFF": switched_off}
    zombie = site.fleet.add("learn", MUTANT, STREAMREC_TEST_FAULT="pause", **guard)
    feeder = site.feed(2_000, 150)
    shard, offset = _faulty_place(zombie)
    site.fleet.add("learn")
    site.fleet.wait_until(
        lambda: site.state.offset(shard) > offset + 50, 60, "the other takes over"
    )
    zombie.resume()
    feeder.hurry()
    _expect(site, feeder.finish(), switched_off)


@pytest.mark.parametrize("switched_off", ["", "high_water_check"])
def test_updates_are_sent_twice(site: Site, switched_off: str) -> None:
    """It is killed after its updates are in Kafka and before its offset is stored."""
    guard = {"STREAMREC_TEST_SWITCH_OFF": switched_off}
    learner = site.fleet.add("learn", MUTANT, STREAMREC_TEST_FAULT="kill", **guard)
    feeder = site.feed(2_000, 150)  # so many batches that the fault comes, however late it starts
    _faulty_place(learner)
    learner.kill()
    learner.start(**guard)
    site.warm()
    feeder.hurry()
    _expect(site, feeder.finish(), switched_off)


def _expect(site: Site, ends: dict[int, int], switched_off: str) -> None:
    difference = site.difference(ends)
    if switched_off:
        assert difference, f"nobody noticed that {switched_off} was switched off"
    else:
        assert not difference, "\n".join(difference[:20])
