"""`streamrec audit` and `export`: exit codes, and what a state that cannot be makes them say."""

import json
from typing import Any

import redis
from recovery.installation import Site


def _audit(site: Site, *arguments: str) -> tuple[int, dict[str, Any]]:
    done = site.fleet.run("audit", "--json", *arguments)
    assert done.stdout, done.stderr
    return done.returncode, json.loads(done.stdout)


def test_audit_and_export(site: Site) -> None:
    nothing = site.fleet.run("audit")
    assert nothing.returncode == 69
    assert "no streamrec state" in nothing.stderr
    learner = site.fleet.add("learn")
    ends = site.feed(800, 2_000).finish()
    assert site.difference(ends) == []
    code, report = _audit(site)
    assert code == report["exit_code"] == 2
    assert report["due"] > 0
    scorer = site.fleet.add("score")
    done = site.fleet.run("audit", "--wait", "30")
    assert done.returncode == 0, done.stdout
    assert "Every event is accounted for and no work is left." in done.stdout
    learner.kill()
    scorer.kill()
    _break(site)
    code, report = _audit(site)
    assert code == 3
    broken = "\n".join(report["broken"])
    assert "events/0: consumed" in broken and "is not accepted + duplicate" in broken
    assert "events/1: consumed" in broken and "messages in" in broken
    assert "events/2: offset" in broken and "after the log's end" in broken
    assert "updates/1: 1 events of u3 missing" in broken
    assert "events/3" not in broken and "items/" not in broken


def _break(site: Site) -> None:
    """Make the state one that cannot be, in four ways."""
    client = redis.Redis.from_url(site.redis_url)
    for shard, field, change in (
        ("u0", "counters", {"accepted": 1}),
        ("u1", "counters", {"accepted": 9, "consumed": 9}),
        ("u2", "offset", {"": 5}),
        ("i1", "marks", {"u3": -1}),
    ):
        key = f"sr:{{{shard}}}:meta"
        text = client.hget(key, field)
        assert text is not None
        old = json.loads(text)
        if isinstance(old, int):
            client.hset(key, field, old + change[""])
        else:
            new = {name: number + change.get(name, 0) for name, number in old.items()}
            client.hset(key, field, json.dumps(new))


def test_audit_sees_lag(site: Site) -> None:
    learner = site.fleet.add("learn")
    feeder = site.feed(400, 1_000)
    site.drain(feeder.finish())
    learner.kill()
    site.feed(300, 2_000, seed=2).finish()
    code, report = _audit(site, "--wait", "1")
    assert code == 2
    lags = {s["topic"].rpartition(".")[2]: 0 for s in report["shards"]}
    for shard in report["shards"]:
        lags[shard["topic"].rpartition(".")[2]] += shard["lag"]
    assert lags == {"events": 300, "items": 0, "updates": 0}
    assert report["broken"] == []
