"""The rights that docs/operations.md gives to each role in Redis: enough, and none too many."""

import re
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec
import pytest
import redis
from laws.spine import Spine
from laws.world import event, small
from servers import RedisServer
from typer.testing import CliRunner

from streamrec.cli import app
from streamrec.client import Client
from streamrec.inspection.known_user import known_of
from streamrec.inspection.stored_state import Stored, lines_of
from streamrec.roles.reports.state_report import StateReport
from streamrec.roles.score import Scorer
from streamrec.settings.load import load
from streamrec.settings.places import PlaceSettings
from streamrec.settings.sections import KafkaSettings, RedisSettings
from streamrec.transport.kafka.topics import create_topics
from streamrec.transport.redis.forgetting import delete_lists
from streamrec.transport.redis.stopped import Stopped, note_stopped
from streamrec.transport.redis.store import Store
from streamrec.transport.redis.versions import KEPT, Serving, Versions

PAGE = Path(__file__).resolve().parents[2] / "docs" / "operations.md"
LINES: dict[str, str] = {
    line.split()[2]: line.strip()
    for line in PAGE.read_text().splitlines()
    if line.strip().startswith("ACL SETUSER ")
}
OURS = {"acl|setuser", "acl|deluser", "config|resetstat", "auth", "client|setinfo"}
"""Of the test, or what every user may."""
RARE = {"ping", "unwatch", "hexists"}
"""Not in every run: checks of connections, a commit that finds another's, users of two keys."""


@pytest.fixture
def admin(clean_redis: RedisServer) -> Iterator[Any]:
    """A Redis with the users of the page, and no others than ours."""
    client = clean_redis.client()
    for line in LINES.values():
        client.execute_command(*line.split())
    client.config_resetstat()
    yield client
    for name in LINES:
        client.execute_command("ACL", "DELUSER", name)


def url_of(server: RedisServer, name: str) -> str:
    return server.url.replace("redis://", f"redis://{name}:secret@")


def used(admin: Any) -> set[str]:
    """Return the commands that were called since the last call, but for ours."""
    found = {name.removeprefix("cmdstat_") for name in admin.info("commandstats")}
    admin.config_resetstat()
    return found - OURS


def granted(name: str) -> set[str]:
    return set(re.findall(r"\+(\S+)", LINES[name]))


def clicks(first: int, count: int = 60) -> list[dict[str, Any]]:
    return [
        event(f"u{n % 4}", f"i{n * 7 % 11}", ts=first + n, id=f"e{first + n}") for n in range(count)
    ]


def learnt(url: str) -> Spine:
    """Learn as `learn` does: first start, users over the bound, one to forget, another start."""
    settings = small(users={"cached_users": 2, "max_users": 5}, items={"feed_entries": 2})
    spine = Spine(settings, url, 2)
    spine.describe(item="i1", title="Blue teapot")
    spine.learn(clicks(0), batch=10)
    spine.learn([event(f"v{n}", "i1") for n in range(9)], batch=3)
    spine.learn([{"user": "u3", "type": "forget"}])
    note_stopped(spine.store, {"u0": Stopped("user", "gap", "why", 1.0)})
    spine.start()
    spine.learner._forgetting._lease = 0.0
    for _ in range(3):
        spine.turn()
    spine.learn(clicks(100), batch=10)
    spine.users._report(1.0)
    return spine


def score(spine: Spine, url: str, admin: Any) -> set[str]:
    """Score as `score` does, with rotation; return the commands of its turns alone."""
    store = Store(RedisSettings(url=url))
    settings = small(lists={"rotation": 0.5, "length": 5}, blend={"sample": 1.0})
    place = PlaceSettings(exclude={"click": "session"})
    settings = msgspec.structs.replace(settings, places={"deals": place})
    scorer = Scorer(settings, store, spine.shards, spine.metrics)
    found = used(admin)
    for turn in range(3):
        spine.describe(item="i2", available=turn != 1)  # hidden, and shown again
        spine.learn(clicks(200 + 100 * turn, 20))
        used(admin)
        while scorer.step(10.0 * (turn + 1)):
            pass
        found |= used(admin)
    assert store.lists(["u1"]) != [None] and store.lists(["~popular"]) != [None]
    assert store.values(["rec:u1:deals", "rec:~place:deals", "rec:~places"]).count(None) == 0
    assert spine.value("lists_failed_total") == 0
    assert delete_lists(store, [("nobody", 1)], "online-a") == [
        True
    ]  # as of one forgotten meanwhile
    found |= used(admin)
    store.close()
    return found


def train(spine: Spine, url: str) -> None:
    """Read texts, store versions, move the pointer, as `train` does."""
    store = Store(RedisSettings(url=url))
    assert store.shards() is not None
    StateReport(store, spine.shards, spine.metrics).report(0.0)
    spine.new_feed(store=store).refresh(0.0, spine.metrics)
    versions = Versions(store)
    for _ in range(KEPT + 3):
        number = versions.add(b"network")
        versions.decide(number, b"{}")
    assert versions.move(versions.pointer(), Serving(number, True))
    assert versions.get(number) and versions.decision(number)
    store.close()


def read(url: str) -> None:
    """Read as `serve` does, and a web site in Python."""
    with Client(RedisSettings(url=url)) as client:
        assert client.recommend("u1").items
        assert client.titles(["i1"]) == {"i1": "Blue teapot"}
        assert client.similar("i1")
        assert client.item_list("i1").follows


def test_each_role_has_enough_rights_and_none_too_many(
    clean_redis: RedisServer, admin: Any
) -> None:
    found = {}
    spine = learnt(url_of(clean_redis, "learn"))
    found["learn"] = used(admin)
    found["score"] = score(spine, url_of(clean_redis, "score"), admin)
    admin.config_resetstat()
    train(spine, url_of(clean_redis, "train"))
    found["train"] = used(admin)
    read(url_of(clean_redis, "serve"))
    found["serve"] = used(admin)
    assert spine.value("redis_errors_total", op="report") == 0
    spine.close()
    with closing(Stored(RedisSettings(url=url_of(clean_redis, "operator")))) as stored:
        assert known_of(stored, spine.settings, "u1")["list"]
        assert {name for name, lines in lines_of(stored, spine.settings) if list(lines)}
    for name, commands in found.items():
        print(name, " ".join(sorted(commands)))
    for name, commands in found.items():
        assert granted(name) - RARE == commands - RARE, name
        assert commands <= granted(name), name


@pytest.fixture
def common(kafka_settings: KafkaSettings, nothing_configured: None) -> list[str]:
    """Options of every command: this test's own topics, of one partition each."""
    create_topics(kafka_settings, 1)
    given = ["--kafka", kafka_settings.brokers, "--set", "text.model=hashed"]
    topics = [f"{kind}_topic" for kind in ("events", "items", "updates", "samples", "dead_letters")]
    for name in ("group", *topics):
        given += ["--set", f"kafka.{name}={getattr(kafka_settings, name)}"]
    return given


def run(*arguments: str) -> str:
    result = CliRunner().invoke(app, list(arguments))
    assert result.exit_code in (0, 2) and "ermission" not in result.output, result.output
    return result.output


def test_the_commands_of_an_operator_have_their_rights(
    clean_redis: RedisServer, admin: Any, common: list[str]
) -> None:
    spine = Spine(load(None, {}, {"text.model": "hashed"}), url_of(clean_redis, "learn"), 1)
    spine.describe(item="i1", title="Blue teapot")
    spine.learn(clicks(0, 200), batch=20)
    settings = msgspec.structs.replace(
        spine.settings, redis=RedisSettings(url=url_of(clean_redis, "score"))
    )
    with closing(Store(settings.redis)) as store:
        Scorer(settings, store, spine.shards, spine.metrics).step(10.0)
    spine.close()
    Path("items.csv").write_text("id,title\ni1,Red teapot\n")
    common += ["--redis", url_of(clean_redis, "operator")]
    for command in (
        "recommend u1", "recommend u1 --filter price<20", "similar i1", "explain u1 i1", "weights",
        "model list", "export --user u1", "export --state out", "lists export --out lists.jsonl",
        "items load items.csv --dry-run", "doctor",
    ):  # fmt: skip
        run(*common, *command.split())


def test_a_bootstrap_has_its_rights(
    clean_redis: RedisServer, admin: Any, common: list[str]
) -> None:
    Path("log.csv").write_text("".join(f"u{n % 9},i{n % 7},{n}\n" for n in range(99)))
    columns = ["--no-header", "--columns", "user=1,item=2,ts=3", "--time-format", "s"]
    own = ["--redis", url_of(clean_redis, "bootstrap"), "bootstrap", "log.csv", *columns]
    own += ["--neural", "off"]
    assert "99 events of 9 users are learnt" in run(*common, *own)
    admin.delete("sr:shards")
    admin.set("sr:bootstrap", '["cut off", "sr:{u0}:users"]')
    assert "99 events of 9 users are learnt" in run(*common, *own, "--again")


@pytest.mark.parametrize("name", ["score", "train", "serve", "operator"])
def test_a_role_cannot_do_what_is_not_its_own(
    clean_redis: RedisServer, admin: Any, name: str
) -> None:
    client = redis.Redis.from_url(url_of(clean_redis, name))
    for refused in (
        ("HSET", "sr:{u0}:users", "u1", "row"),
        ("HDEL", "sr:{i0}:items", "i1"),
        ("SET", "sr:shards", "{}"),
        ("GET", "other"),
        ("FLUSHALL",),
        ("KEYS", "*"),
        ("CONFIG", "GET", "*"),
        ("ACL", "LIST"),
        ("EVAL", "return redis.call('FLUSHALL')", "0"),
    ):
        with pytest.raises(redis.ResponseError, match="(?i)permission"):
            client.execute_command(*refused)
    client.close()
