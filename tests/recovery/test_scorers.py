"""Scorers are killed at random; no user who is due is lost, and no list goes backwards."""

import json
import threading
from collections import defaultdict

import pytest
import redis
from recovery.compare import recount_topic
from recovery.drive import kill_at_random
from recovery.installation import PARTITIONS, Site
from recovery.recount import Recount


class Watcher(threading.Thread):
    """Reads the published lists again and again and keeps the offsets that it saw of each."""

    def __init__(self, url: str) -> None:
        super().__init__(daemon=True)
        self._redis = redis.Redis.from_url(url)
        self.end = threading.Event()
        self.offsets: dict[str, list[int]] = defaultdict(list)
        self.start()

    def run(self) -> None:
        """Watch until `end` is set."""
        while not self.end.wait(0.02):
            for user, found in self.lists().items():
                if self.offsets[user][-1:] != [found["offset"]]:
                    self.offsets[user].append(found["offset"])

    def lists(self) -> dict[str, dict[str, object]]:
        """Return all personal lists by user."""
        keys = [key for key in self._redis.scan_iter("rec:*", count=1000) if key != b"rec:~popular"]
        values = self._redis.mget(keys) if keys else []
        found = [json.loads(value) for value in values if value is not None]
        return {one["user"]: one for one in found}


@pytest.mark.parametrize(
    ("kills", "events"),
    [
        pytest.param(5, 2_400),
        pytest.param(40, 15_000, marks=[pytest.mark.long, pytest.mark.timeout(900)]),
    ],
)
def test_killed_scorers_lose_no_user(site: Site, kills: int, events: int) -> None:
    site.fleet.add("learn")
    scorers = [site.fleet.add("score"), site.fleet.add("score")]
    watcher = Watcher(site.redis_url)
    feeder = site.feed(events, 250)
    site.warm()
    kill_at_random(site.fleet, scorers, kills, events, site.learnt, site.random)
    site.check(feeder.finish())
    watcher.end.set()
    watcher.join()
    assert site.state.due(PARTITIONS) == 0
    for user, seen in watcher.offsets.items():
        assert seen == sorted(seen), f"the list of {user} went backwards: {seen}"
    counted = recount_topic(site.kafka.brokers, site.kafka.events_topic)
    wrong = _wrong_lists(counted, watcher.lists())
    assert not wrong, "\n".join(wrong[:20])


def _wrong_lists(counted: Recount, lists: dict[str, dict[str, object]]) -> list[str]:
    """Return what is wrong with the lists of users who did more than look."""
    wrong = []
    for name, user in counted.users.items():
        if user.last_offset < 0:
            continue
        found = lists.get(name)
        if found is None:
            wrong.append(f"{name} has no list")
            continue
        if found["offset"] != user.last_offset:
            wrong.append(f"{name}: list of {found['offset']}, last click {user.last_offset}")
        items = {entry["item"] for entry in found["items"]}  # type: ignore[attr-defined]
        if items & user.seen:
            wrong.append(f"{name} is shown what it has seen: {items & user.seen}")
    return wrong
