"""`streamrec lists export`: every user's list once, from one Redis and from a Cluster."""

import csv
import json
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from laws.redis_kinds import redis_cluster
from needs import needs, needs_server
from servers import RedisServer
from typer.testing import CliRunner, Result

from streamrec.cli import app
from streamrec.inspection.stored_lists import SCAN_KEYS, stored_lists
from streamrec.settings.sections import RedisSettings
from streamrec.state.keys import field_of, owner_of
from streamrec.transport.redis.hidden import hide
from streamrec.transport.redis.keys import key
from streamrec.transport.redis.store import Store

parquet = needs("pyarrow.parquet")
USERS = 2 * SCAN_KEYS + 7  # more than one look of a scan finds
HEAD = ["user", "rank", "item", "score", "title", "because", "at", "model"]

pytestmark = pytest.mark.usefixtures("nothing_configured")


@pytest.fixture(scope="module", params=["redis", "cluster"])
def settings(request: pytest.FixtureRequest) -> Iterator[RedisSettings]:
    """A Redis, or a Redis Cluster, with two items, the lists of some users, and other keys."""
    with ExitStack() as servers:
        if request.param == "redis":
            server = RedisServer(appendonly=False).start()
            servers.callback(server.stop)
            yield fill(RedisSettings(url=server.url))
        else:
            cluster = needs_server(lambda: servers.enter_context(redis_cluster()))
            yield fill(RedisSettings(url=cluster.url, cluster=True))


def fill(settings: RedisSettings) -> RedisSettings:
    store = Store(settings)
    store.declare(2, 2, 1, 8)
    for item, more in (("i1", {"title": 'A "pot", blue'}), ("i2", {})):
        own, row = field_of(item), json.dumps({"item": item, **more})
        store.run([("HSET", key(f"i{owner_of(own, 2)}", "catalogue"), own, row)])
    names = ["rec:~popular", *(f"rec:u{n}" for n in range(USERS))]
    calls: list[tuple[Any, ...]] = [("SET", name, published(name[4:])) for name in names]
    calls += [("SET", "rec:none", published("none", [])), ("SET", "sr:shown:u1", b"x")]
    store.run(calls)
    store.close()
    return settings


def published(user: str, items: list[Any] | None = None) -> bytes:
    two = [
        {"item": "i1", "score": 0.5, "source": "factors", "because": ["i7", "i8"]},
        {"item": "i2", "score": -1.25, "source": "factors", "because": []},
    ]
    items = two if items is None else items
    one = {"user": user, "at": 5, "model": "m+n1", "offset": 0, "items": items, "new": 1}
    return json.dumps(one).encode()


def export(settings: RedisSettings, out: Path) -> Result:
    cluster = str(settings.cluster).lower()
    common = ["--redis", settings.url, "--set", f"redis.cluster={cluster}"]
    return CliRunner().invoke(app, [*common, "lists", "export", "--out", str(out)])


def test_parquet_has_every_list_once(settings: RedisSettings, tmp_path: Path) -> None:
    done = export(settings, tmp_path / "lists.parquet")
    assert done.exit_code == 0, done.output
    assert done.stdout.startswith(f"{USERS + 1:,} lists, {2 * USERS:,} rows, to ")
    assert done.stderr == "1 lists are empty: their users have no row.\n"
    table = parquet.read_table(tmp_path / "lists.parquet")
    assert table.column_names == HEAD
    rows = table.to_pylist()
    assert sorted(row["user"] for row in rows[::2]) == sorted(f"u{n}" for n in range(USERS))
    one = {"rank": 1, "item": "i1", "score": 0.5, "title": 'A "pot", blue', "because": ["i7", "i8"]}
    two = {"rank": 2, "item": "i2", "score": -1.25, "title": "", "because": []}
    for first, second in zip(rows[::2], rows[1::2], strict=True):
        assert first == {"user": first["user"], "at": 5, "model": "m+n1"} | one
        assert second == {"user": first["user"], "at": 5, "model": "m+n1"} | two
    assert [file.name for file in tmp_path.iterdir()] == ["lists.parquet"]


def test_json_lines_and_csv(settings: RedisSettings, tmp_path: Path) -> None:
    assert export(settings, tmp_path / "lists.jsonl").exit_code == 0
    lines = [json.loads(line) for line in (tmp_path / "lists.jsonl").open()]
    assert (
        len(lines) == 2 * USERS and list(lines[0]) == HEAD and lines[0]["because"] == ["i7", "i8"]
    )
    assert export(settings, tmp_path / "lists.csv").exit_code == 0
    with (tmp_path / "lists.csv").open(newline="") as file:
        head, first, second, *others = csv.reader(file)
    assert head == HEAD and len(others) == 2 * USERS - 2
    assert first[1:] == ["1", "i1", "0.5", 'A "pot", blue', "i7|i8", "5", "m+n1"]
    assert second == [first[0], "2", "i2", "-1.25", "", "", "5", "m+n1"]


def test_hidden_items_have_no_row(settings: RedisSettings, tmp_path: Path) -> None:
    store = Store(settings)
    hide(store, ["i1"], [])
    try:
        assert export(settings, tmp_path / "lists.jsonl").exit_code == 0
    finally:
        hide(store, [], ["i1"])
        store.close()
    lines = [json.loads(line) for line in (tmp_path / "lists.jsonl").open()]
    assert len(lines) == USERS and {(line["item"], line["rank"]) for line in lines} == {("i2", 1)}


def test_a_list_that_cannot_be_read_leaves_the_old_file(
    settings: RedisSettings, tmp_path: Path
) -> None:
    store, out = Store(settings), tmp_path / "lists.csv"
    out.write_text("old")
    store.run([("SET", "rec:bad", b"\x01")])
    try:
        found = export(settings, out)
        assert found.exit_code == 65 and "rec:bad" in found.stderr
    finally:
        store.run([("DEL", "rec:bad")])
        store.close()
    assert out.read_text() == "old" and len(list(tmp_path.iterdir())) == 1


def test_a_name_that_a_scan_returns_twice_counts_once(
    settings: RedisSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(settings)
    names = list(store.names("rec:*", SCAN_KEYS))
    monkeypatch.setattr(store, "names", lambda *_: [*names, *names])
    assert len(list(stored_lists(store))) == USERS + 1
    store.close()


def test_another_suffix_or_folder_is_refused(settings: RedisSettings, tmp_path: Path) -> None:
    assert export(settings, tmp_path / "lists.xlsx").exit_code == 78
    assert export(settings, tmp_path / "none" / "lists.csv").exit_code == 78
