"""Redis is killed and started again under load, and may have lost what it wrote last."""

import os
import time
from pathlib import Path

import pytest
from recovery.installation import Site
from servers import RedisServer


@pytest.mark.parametrize(
    ("restarts", "events"),
    [
        pytest.param(3, 3_000),
        pytest.param(12, 10_000, marks=[pytest.mark.long, pytest.mark.timeout(900)]),
    ],
)
@pytest.mark.parametrize("lost_seconds", [0.0, 1.0], ids=["killed", "last second lost"])
def test_redis_restart(
    site: Site, clean_redis: RedisServer, restarts: int, events: int, lost_seconds: float
) -> None:
    site.fleet.add("learn")
    site.fleet.add("learn")
    feeder = site.feed(events, 150)
    site.warm()
    went_back = 0
    for _ in range(restarts):
        time.sleep(site.random.uniform(0.5, 2.0))
        log = _append_only_file(clean_redis)
        size = log.stat().st_size
        time.sleep(lost_seconds)
        before = site.learnt()
        clean_redis.kill()
        if lost_seconds:
            os.truncate(log, size)
        clean_redis.start()
        went_back += site.learnt() < before
        site.fleet.wait_for_more(site.learnt)
    assert bool(went_back) == bool(lost_seconds)
    feeder.hurry()
    site.check(feeder.finish())


def _append_only_file(server: RedisServer) -> Path:
    """Return the file that Redis appends to, and keep it from starting a new one."""
    client = server.client()
    client.config_set("auto-aof-rewrite-percentage", 0)
    where = client.config_get("dir") | client.config_get("appenddirname")
    found = Path(where["dir"], where["appenddirname"]).glob("*.incr.aof")
    return max(found, key=lambda path: path.stat().st_mtime)
