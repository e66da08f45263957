"""The client, against a Redis and against a Redis Cluster of one node."""

import json
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import redis
from servers import RedisServer

from streamrec.client import Client
from streamrec.errors import StoreError, UnknownVersion
from streamrec.local.child import free_port
from streamrec.settings.sections import RedisSettings
from streamrec.sources.similarity import list_columns
from streamrec.state.keys import field_of, key_of, owner_of
from streamrec.state.schema import Arrays, Kind
from streamrec.transport.redis.keys import key
from streamrec.transport.redis.store import Store

SHARDS = 3


@pytest.fixture(scope="module", params=["redis", "cluster"])
def settings(request: pytest.FixtureRequest) -> Iterator[RedisSettings]:
    is_cluster = request.param == "cluster"
    options = {"cluster_enabled": "yes", "cluster_port": str(free_port())}  # one node has all slots
    server = RedisServer(appendonly=False, **(options if is_cluster else {})).start()
    if is_cluster:
        server.client().execute_command("CLUSTER ADDSLOTSRANGE 0 16383")
        while server.client().execute_command("CLUSTER INFO")["cluster_state"] != "ok":
            time.sleep(0.05)
    yield RedisSettings(url=server.url, cluster=is_cluster)
    server.stop()


@pytest.fixture
def store(settings: RedisSettings) -> Iterator[Store]:
    with redis.Redis.from_url(settings.url) as client:
        client.flushall()
    store = Store(settings)
    yield store
    store.close()


def neighbours(rows: dict[str, tuple[float, int]]) -> bytes:
    columns = list_columns("similarity", len(rows))
    a: Any = Arrays(columns, 1)
    a.similarity_size[0], a.similarity_keys[0] = len(rows), [key_of(item) for item in rows]
    a.similarity_weights[0], a.similarity_counts[0] = zip(*rows.values(), strict=True)
    return Kind("similarity", columns).pack(a, np.zeros(1, np.int64))[0]


def put(store: Store, kind: str, item: str, row: bytes) -> None:
    own = field_of(item)
    store.run([("HSET", key(f"i{owner_of(own, SHARDS)}", kind), own, row)])


def put_item(store: Store, item: str, **fields: object) -> None:
    put(store, "catalogue", item, json.dumps({"item": item, **fields}).encode())


def test_recommend(settings: RedisSettings, store: Store) -> None:
    with Client(settings) as client:
        found = client.recommend("u1")
        assert (found.user, found.items, found.personal) == ("u1", [], False)
        entry = {"item": "i9", "score": 0.5, "source": "similarity", "because": ["i1"], "new": 1}
        popular = {"user": "~popular", "at": 5, "model": "m", "offset": 0, "items": [entry]}
        store.run([("SET", "rec:~popular", json.dumps(popular))])
        found = client.recommend("u1")
        assert (found.user, found.personal, found.items[0].item) == ("u1", False, "i9")
        store.run([("SET", "rec:u1", json.dumps({**popular, "user": "u1", "at": 7}))])
        found = client.recommend("u1")
        assert (found.personal, found.at, found.items[0].because) == (True, 7, ["i1"])
        store.run([("SET", "rec:u1", json.dumps({"user": "u1", "at": 8, "items": []}))])
        found = client.recommend("u1")
        assert (found.user, found.personal, found.items[0].item) == ("u1", False, "i9")
        store.run([("SET", "rec:u1", b"\x01")])
        with pytest.raises(UnknownVersion):
            client.recommend("u1")


def test_hidden_items_are_left_out(settings: RedisSettings, store: Store) -> None:
    def published(user: str, *items: str) -> None:
        entries = [{"item": item, "score": 1.0} for item in items]
        store.run([("SET", f"rec:{user}", json.dumps({"user": user, "at": 1, "items": entries}))])

    published("~popular", "a", "b", "c")
    published("u1", "a", "b")
    published("u2", "a")
    with Client(settings) as client:
        assert [e.item for e in client.recommend("u1").items] == ["a", "b"]
        store.run([("SADD", "rec:~hidden", "a", "other")])
        assert [e.item for e in client.recommend("u1").items] == ["b"]
        found = client.recommend("u2")
        assert [e.item for e in found.items] == ["b", "c"] and not found.personal
        store.run([("SREM", "rec:~hidden", "a")])
        assert [e.item for e in client.recommend("u2").items] == ["a"]


def test_similar_and_titles(settings: RedisSettings, store: Store) -> None:
    with Client(settings) as client:
        with pytest.raises(StoreError, match="streamrec learn"):
            client.similar("a")
        store.declare(2, SHARDS, 1, 8)
        assert client.similar("a") == []
        known = {f"i{n}": (float(n), n) for n in range(1, 9)}
        put(store, "similarity", "a", neighbours({**known, "evicted": (9.0, 1)}))
        for item in known:
            put_item(store, item, title=f"title of {item}", available=item != "i8")
        put_item(store, "untitled")
        found = client.similar("a", 3)
        assert [entry.item for entry in found] == ["i7", "i6", "i5"]
        assert found[0].title == "title of i7" and found[0].count == 7
        assert found[0].share == pytest.approx(7 / (36 + 9))
        titles = client.titles(["i8", "i1", "untitled", "unknown"])
        assert titles == {"i8": "title of i8", "i1": "title of i1"}
        assert client.titles([]) == {}


def test_a_page_of_several_places(settings: RedisSettings, store: Store) -> None:
    """On one server and on a Cluster; a list says whose it is, and where it is shown."""

    def put_list(name: str, user: str, place: str, *items: str) -> None:
        entries = [{"item": item, "score": 1.0} for item in items]
        one = {"user": user, "at": 1, "place": place, "items": entries}
        store.run([("SET", name, json.dumps(one))])

    put_list("rec:u1", "u1", "home", "a", "b", "c")
    put_list("rec:u1:deals", "u1", "deals", "b", "d", "e", "f")
    put_list("rec:u1:deals:home", "u1:deals", "home", "z")
    put_list("rec:~popular", "~popular", "home", "p", "q")
    put_list("rec:~place:deals", "~popular", "deals", "q", "r")
    store.run([("SADD", "rec:~hidden", "c", "f")])
    with Client(settings) as client:
        page = client.page("u1", ["home", "deals"])
        assert [e.item for e in page["home"].items] == ["a", "b"]
        assert [e.item for e in page["deals"].items] == ["d", "e"]
        page = client.page("u1", ["deals", "home"])
        assert [[e.item for e in one.items] for one in page.values()] == [["b", "d", "e"], ["a"]]
        assert [e.item for e in client.recommend("u1:deals").items] == ["z"]
        assert client.recommend("u1:deals").personal
        for user in ("who", "who:deals"):
            page = client.page(user, ["home", "deals"])
            assert [[e.item for e in one.items] for one in page.values()] == [["p", "q"], ["r"]]
            assert [(one.user, one.personal) for one in page.values()] == [(user, False)] * 2
        assert client.recommend("u1", "nowhere").items == []
        assert client.recommend("~popular").items[0].item == "p"
