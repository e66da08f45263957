"""Lists over HTTP, against a real Redis; what is said of bodies, and while Kafka is away."""

import asyncio
import json
import socket
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import msgspec
import pytest
import redis
from servers import RedisServer
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.testclient import TestClient

from streamrec.errors import ConfigurationError
from streamrec.growth.plan import Plan
from streamrec.http import rights, sender
from streamrec.http.asked import read_json
from streamrec.http.made_now import MadeNow
from streamrec.http.readers import Readers
from streamrec.http.rights import RateLimit
from streamrec.http.routes import application
from streamrec.http.sender import Sender
from streamrec.http.serve import listen, run
from streamrec.local.child import free_port
from streamrec.monitoring.metrics import Metrics
from streamrec.settings.load import load
from streamrec.settings.places import PlaceSettings
from streamrec.settings.sections import KafkaSettings, RedisSettings, Settings
from streamrec.settings.serve import ServeSettings
from streamrec.transport.redis.keys import GROWING
from streamrec.transport.redis.store import Store

POPULAR = {"user": "~popular", "at": 5, "model": "m", "items": [{"item": "i9", "score": 0.5}]}
OWN = {**POPULAR, "user": "ü 1", "at": 7}
OWN["items"] = [{"item": f"i{n}", "score": 1.0 / n, "because": ["x"]} for n in range(1, 5)]

LIKE = [{"item": f"i{n}", "score": 1.0 / n} for n in range(1, 5)]


@pytest.fixture(scope="module")
def redis_url() -> Iterator[str]:
    server = RedisServer(appendonly=False).start()
    store = Store(RedisSettings(url=server.url))
    store.run([("SET", "rec:~popular", json.dumps(POPULAR))])
    store.run([("SET", "rec:ü 1", json.dumps(OWN))])
    store.run([("SET", "rec:~popular:tea", json.dumps({**OWN, "user": "~popular:tea"}))])
    store.run([("SET", "sim:i9", json.dumps({"item": "i9", "at": 1, "follows": [], "like": LIKE}))])
    store.run([("SET", "rec:broken", b"\x01")])
    deals = {**OWN, "place": "deals", "items": OWN["items"][1:] + POPULAR["items"]}
    store.run([("SET", "rec:ü 1:deals", json.dumps(deals))])
    for item, names in (("i1", ("i2", "i3")), ("i5", ("i3", "i4", "i2"))):
        listed = [{"item": name, "score": 1.0, "source": "similarity"} for name in names]
        at_cart = {"item": item, "place": "cart", "at": 9, "model": "m", "items": listed}
        store.run([("SET", f"sim:{{{item}}}:cart", json.dumps(at_cart))])
        store.run([("SET", f"sim:{{{item}}}:product", json.dumps(at_cart))])
    at_cart = {**OWN, "place": "cart", "exclude": ["i4"]}
    store.run([("SET", "rec:ü 1:cart", json.dumps(at_cart))])
    stranger = {**POPULAR, "place": "deals", "items": OWN["items"]}
    store.run([("SET", "rec:~place:deals", json.dumps(stranger))])
    store.close()
    yield server.url
    server.stop()


@pytest.fixture
def asking() -> Iterator[Callable[..., TestClient]]:
    """Make clients of an application on a Redis; Kafka is where nobody listens."""
    senders: list[Sender] = []

    def make(
        url: str = "redis://127.0.0.1:1/0",
        brokers: str = "",
        metrics: Metrics | None = None,
        **serve: Any,
    ) -> TestClient:
        settings = Settings(
            places={
                "deals": PlaceSettings(),
                "product": PlaceSettings(context="item"),
                "cart": PlaceSettings(context="basket"),
            },
            kafka=KafkaSettings(brokers=brokers or f"127.0.0.1:{free_port()}"),
            redis=RedisSettings(url=url, timeout_seconds=0.5),
            serve=ServeSettings(**{"write_seconds": 0.3, **serve}),
        )
        senders.append(Sender(settings))
        parts = Readers(settings.redis), senders[-1], metrics or Metrics(), MadeNow(settings)
        return TestClient(
            application(settings, *parts), "http://localhost", raise_server_exceptions=False
        )

    yield make
    for each in senders:
        each.close()


Asking = Callable[..., TestClient]


def refused(answer: httpx.Response, status: int) -> str:
    assert answer.status_code == status == answer.json()["status"]
    assert answer.headers["content-type"] == "application/problem+json"
    return str(answer.json()["detail"])


def test_lists(asking: Asking, redis_url: str) -> None:
    client = asking(redis_url)
    own = client.get("/v1/users/%C3%BC%201/lists/home?n=2").json()
    assert (own["personal"], own["at"], len(own["items"])) == (True, 7, 2)
    assert own["items"][0] == {"item": "i1", "score": 1.0, "source": "", "because": ["x"]}
    stranger = client.get("/v1/users/nobody/lists/home").json()
    assert (stranger["personal"], stranger["user"]) == (False, "nobody")
    assert [entry["item"] for entry in stranger["items"]] == ["i9"]
    popular = client.get("/v1/popular").json()
    assert popular["items"] == stranger["items"] and set(popular) == {"at", "model", "items"}


def test_places_and_pages(asking: Asking, redis_url: str) -> None:
    metrics = Metrics()
    client = asking(redis_url, metrics=metrics)
    deals = client.get("/v1/users/%C3%BC%201/lists/deals?n=3").json()
    assert (deals["place"], deals["personal"]) == ("deals", True)
    assert [entry["item"] for entry in deals["items"]] == ["i2", "i3", "i4"]
    page = client.get("/v1/users/%C3%BC%201/lists?places=home,deals").json()
    assert page["user"] == "ü 1" and list(page["lists"]) == ["home", "deals"]
    shown = [[e["item"] for e in page["lists"][place]["items"]] for place in ("home", "deals")]
    assert shown == [["i1", "i2", "i3", "i4"], ["i9"]]
    other = client.get("/v1/users/%C3%BC%201/lists?places=deals,home").json()["lists"]
    assert [e["item"] for e in other["home"]["items"]] == ["i1"]
    stranger = client.get("/v1/users/nobody/lists?places=home,deals&n=1").json()["lists"]
    assert [e["item"] for e in stranger["home"]["items"]] == ["i9"]
    assert [e["item"] for e in stranger["deals"]["items"]] == ["i1"]
    assert not stranger["deals"]["personal"] and stranger["deals"]["user"] == "nobody"
    assert list(client.get("/v1/users/nobody/lists").json()["lists"]) == ["home"]
    assert "home, deals" in refused(client.get("/v1/users/u/lists?places=home,mail"), 404)
    assert "different names" in refused(client.get("/v1/users/u/lists?places=home,home"), 400)
    refused(client.get("/v1/users/u/lists?place=home"), 400)
    refused(client.get("/v1/users/broken/lists?places=deals,home"), 500)


def test_lists_of_a_category_and_of_an_item(asking: Asking, redis_url: str) -> None:
    client = asking(redis_url)
    tea = client.get("/v1/popular?of=tea&n=2").json()
    assert [entry["item"] for entry in tea["items"]] == ["i1", "i2"]
    unknown = client.get("/v1/popular", params={"of": "nobody has it"}).json()
    assert unknown == client.get("/v1/popular").json()
    store = Store(RedisSettings(url=redis_url))
    store.declare(1, 1, 1, 8)
    similar = client.get("/v1/items/i9/similar?n=3").json()
    assert similar == {"item": "i9", "items": [], "like": LIKE[:3]}
    store.run([("DEL", "sr:shards")])
    store.close()


def test_lists_of_items_and_baskets(asking: Asking, redis_url: str) -> None:
    client = asking(redis_url)

    def items(path: str, **query: Any) -> list[str]:
        answer = client.get(f"/v1/{path}", params=query).json()
        assert "exclude" not in answer
        return [entry["item"] for entry in answer["items"]]

    both = client.get("/v1/baskets/lists/cart?item=i1&item=i5").json()
    assert [(e["item"], e["because"]) for e in both["items"]] == [
        ("i3", ["i1", "i5"]), ("i2", ["i1", "i5"]), ("i4", ["i5"]),
    ]  # fmt: skip
    assert both["items"][0]["score"] == pytest.approx(1 / 62 + 1 / 61)
    assert (both["place"], both["user"], both["at"], both["personal"]) == ("cart", "", 9, False)
    assert items("baskets/lists/cart", item=["i1", "i5"], user="ü 1") == ["i3", "i2"]
    assert items("baskets/lists/cart", item=["i2", "i5"], n=1) == ["i3"]
    assert items("baskets/lists/cart", item=["none"], user="ü 1") == ["i1", "i2", "i3"]
    assert items("baskets/lists/cart", user="ü 1") == ["i1", "i2", "i3"]
    assert items("items/i5/lists/product") == ["i3", "i4", "i2"]
    assert items("items/i5/lists/cart", user="ü 1") == ["i3", "i2"]
    page = client.get("/v1/items/i5/lists/product")
    again = client.get(
        "/v1/items/i5/lists/product", headers={"If-None-Match": page.headers["etag"]}
    )
    assert again.status_code == 304
    said = refused(client.get("/v1/items/i5/lists/deals"), 400)
    assert "deals is asked for with the user alone" in said and 'context = "basket"' in said
    assert "not 2" in refused(client.get("/v1/baskets/lists/product?item=a&item=b"), 400)
    many = "&".join(f"item={n}" for n in range(101))
    assert "at most 100" in refused(client.get(f"/v1/baskets/lists/cart?{many}"), 400)
    refused(client.get("/v1/baskets/lists/mail?item=a"), 404)
    assert "'items'" in refused(client.get("/v1/baskets/lists/cart?items=a"), 400)


def test_what_is_not_there_is_said(asking: Asking, redis_url: str) -> None:
    client = asking(redis_url)
    assert "home" in refused(client.get("/v1/users/u/lists/mail"), 404)
    refused(client.get("/v1/nothing"), 404)
    refused(client.post("/v1/popular"), 405)
    assert "'filter'" in refused(client.get("/v1/popular?filter=x"), 400)
    assert "'m'" in refused(client.get("/v1/users/u/lists/home?m=x"), 400)
    for wrong in ("0", "-1", "x", "1001", "٣", "", "9" * 5000):
        refused(client.get("/v1/popular", params={"n": wrong}), 400)
    refused(client.get("/v1/users/broken/lists/home"), 500)


def test_etag(asking: Asking, redis_url: str) -> None:
    client = asking(redis_url)
    etag = client.get("/v1/popular").headers["etag"]
    again = client.get("/v1/popular", headers={"If-None-Match": f'"other", W/{etag}'})
    assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", etag)
    assert client.get("/v1/popular?n=1", headers={"If-None-Match": '"x"'}).status_code == 200


def test_tokens(asking: Asking, redis_url: str) -> None:
    client = asking(redis_url, read_tokens=("one", "two"))
    for wrong in ({}, {"Authorization": "Bearer three"}, {"Authorization": "Basic one"}):
        answer = client.get("/v1/popular", headers=wrong)
        refused(answer, 401)
        assert answer.headers["www-authenticate"] == "Bearer"
    right = client.get("/v1/popular", headers={"Authorization": "bearer two"})
    assert right.status_code == 200


def test_rights(asking: Asking, redis_url: str) -> None:
    def status(client: TestClient, token: str) -> tuple[int, int]:
        """Return what reading and writing an empty array are answered with."""
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        written = client.post("/v1/events", json=[], headers=headers)
        return client.get("/v1/popular", headers=headers).status_code, written.status_code

    open_to_all = asking(redis_url)
    assert status(open_to_all, "") == status(open_to_all, "any") == (200, 400)
    readers = asking(redis_url, read_tokens=("r",))
    assert status(readers, "r") == (200, 403) and status(readers, "") == (401, 401)
    writers = asking(redis_url, write_tokens=("w",))
    assert status(writers, "") == (200, 401) and status(writers, "w") == (200, 400)
    assert status(asking(redis_url, events_tokens=("e",)), "e") == (200, 400)
    assert status(asking(redis_url, events_tokens=("e",)), "") == (200, 401)
    page = asking(redis_url, read_tokens=("r",), events_tokens=("e",))
    assert status(page, "e") == (403, 400)
    item = page.put("/v1/items/i1", json={}, headers={"Authorization": "Bearer e"})
    assert item.status_code == 403
    both = asking(redis_url, read_tokens=("r", "rw"), write_tokens=("w", "rw"))
    assert status(both, "r") == (200, 403)
    assert status(both, "w") == (403, 400)
    assert status(both, "rw") == (200, 400)
    assert status(both, "x") == status(both, "") == (401, 401)


def forgets(client: TestClient, token: str = "") -> httpx.Response:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    return client.delete("/v1/users/u1", headers=headers)


def test_only_an_admin_forgets(asking: Asking, redis_url: str) -> None:
    """Also where all else is open to everybody."""
    for client in (asking(redis_url), asking(redis_url, write_tokens=("w",))):
        for token in ("", "w", "x"):
            assert "serve.admin_tokens" in refused(forgets(client, token), 403)
    client = asking(redis_url, admin_tokens=("a",), events_tokens=("e",))
    assert "serve.admin_tokens" in refused(forgets(client), 401)
    refused(forgets(client, "e"), 403)
    assert "no state" in refused(forgets(client, "a"), 503)
    headers = {"Authorization": "Bearer a"}
    assert client.post("/v1/events", json=[], headers=headers).status_code == 403
    assert client.get("/v1/popular").status_code == 200
    alone = asking(redis_url, admin_tokens=("a",))  # it closes nothing else
    assert alone.post("/v1/events", json=[]).status_code == 400
    long = client.delete(f"/v1/users/{'u' * 600}", headers=headers)
    assert refused(long, 422) and long.json()["reason"] == "bad_id"


@pytest.mark.parametrize(
    "tokens", [{}, {"read_tokens": ("r",)}, {"write_tokens": ("w",)}, {"events_tokens": ("e",)}]
)
def test_openapi_says_which_paths_need_a_token(
    asking: Asking, redis_url: str, tokens: dict[str, Any]
) -> None:
    client = asking(redis_url, admin_tokens=("a",), **tokens)
    described = client.get("/v1/openapi.json").json()
    assert "security" not in described and described["components"]["securitySchemes"]["token"]
    for path, methods in described["paths"].items():
        for method, said in methods.items():
            named = {p["name"]: p["example"] for p in said["parameters"] if p["in"] == "path"}
            answer = client.request(method, path.format(**named))
            assert (answer.status_code in (401, 403)) == bool(said["security"]), (method, path)
            assert ("401" in said["responses"]) == bool(said["security"])


def test_a_name_of_another_site_is_refused(asking: Asking, redis_url: str) -> None:
    """Its page may have this machine's address, but it cannot choose the name it asks by."""

    def status(client: TestClient, host: str, method: str = "GET", path: str = "popular") -> int:
        json = [] if method == "POST" else None
        return client.request(method, f"/v1/{path}", json=json, headers={"Host": host}).status_code

    client, taken = asking(redis_url), ("shop.example", "localhost.shop.example:8080", "", "[")
    for host in taken:
        assert status(client, host) == status(client, host, "POST", "events") == 421
        assert status(client, host, path="users/u/lists/home") == 421
    answer = client.get("/v1/popular", headers={"Host": "shop.example"})
    assert "serve.names" in refused(answer, 421)
    for host in ("localhost:8080", "LOCALHOST.", "127.0.0.1", "10.1.2.3:80", "[::1]:8080"):
        assert status(client, host) == 200
    assert status(client, socket.gethostname()) == 200
    assert status(asking(redis_url, names=("shop.example",)), "Shop.example:80") == 200
    assert status(asking(redis_url, names=("*",)), "any.example") == 200
    tokens = asking(redis_url, read_tokens=("r",))  # a page has none
    assert status(tokens, "shop.example") == 401
    half = asking(redis_url, write_tokens=("w",))
    assert status(half, "shop.example") == 421
    assert status(half, "shop.example", "POST", "events") == 401


def counted(metrics: Metrics, name: str) -> dict[tuple[str, ...], float]:
    """Return the values of a metric that are not 0, by the values of their labels."""
    found = (s for family in metrics.registry.collect() for s in family.samples)
    named = [s for s in found if s.name == f"streamrec_http_{name}" and s.value]
    return {tuple(s.labels[label] for label in sorted(s.labels)): s.value for s in named}


def test_every_request_is_counted_by_its_pattern(asking: Asking, redis_url: str) -> None:
    metrics = Metrics(role="serve")
    client = asking(redis_url, metrics=metrics)
    zero = metrics.registry.get_sample_value
    labels = {"route": "/v1/popular", "method": "GET", "status": "5xx"}
    assert zero("streamrec_http_requests_total", labels) == 0
    etag = client.get("/v1/popular").headers["etag"]
    client.get("/v1/popular", headers={"If-None-Match": etag})
    for user in ("%C3%BC%201", "nobody", "broken"):
        client.get(f"/v1/users/{user}/lists/home")
    client.request("BREW", "/v1/popular")
    client.get("/nothing")
    client.post("/v1/events", json=[CLICK, {}])
    home = "/v1/users/{user}/lists/{place}"
    assert counted(metrics, "requests_total") == {  # method, route, status
        ("GET", "/v1/popular", "2xx"): 1,
        ("GET", "/v1/popular", "3xx"): 1,
        ("GET", home, "2xx"): 2,
        ("GET", home, "5xx"): 1,
        ("other", "/v1/popular", "4xx"): 1,
        ("GET", "other", "4xx"): 1,
        ("POST", "/v1/events", "5xx"): 1,
    }
    assert counted(metrics, "request_seconds_count")[(home,)] == 3
    assert counted(metrics, "lists_total") == {("own",): 1, ("popular",): 1}
    assert counted(metrics, "events_total") == {("refused",): 1, ("unacknowledged",): 1}


def test_the_access_log_names_no_user(
    asking: Asking, redis_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "streamrec.http")
    asking(redis_url).get("/v1/popular")
    assert "request" not in caplog.messages
    asking(redis_url, access_log=True).get("/v1/users/somebody/lists/home")
    [line] = [vars(record) for record in caplog.records if record.getMessage() == "request"]
    assert (line["message"], line["levelname"]) == ("request", "INFO")
    assert line["route"] == "/v1/users/{user}/lists/{place}"
    assert (line["method"], line["status"]) == ("GET", 200) and line["bytes"] > 20
    assert "somebody" not in str(line)


def test_a_fault_is_a_problem_too(asking: Asking, monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken(self: object, user: str) -> None:
        raise ZeroDivisionError

    metrics = Metrics()
    monkeypatch.setattr("streamrec.http.lists.Lists.of", broken)
    assert "log" in refused(asking(metrics=metrics).get("/v1/popular"), 500)
    assert counted(metrics, "requests_total") == {("GET", "/v1/popular", "5xx"): 1}


def test_a_token_or_an_address_may_ask_so_often(asking: Asking, redis_url: str) -> None:
    client = asking(redis_url, requests_per_second=0.5, read_tokens=("one", "two"))

    def ask(token: str) -> httpx.Response:
        return client.get("/v1/popular", headers={"Authorization": f"Bearer {token}"})

    assert ask("one").status_code == 200
    again = ask("one")
    assert "requests_per_second" in refused(again, 429) and again.headers["retry-after"] == "2"
    assert ask("two").status_code == 200
    assert [ask(wrong).status_code for wrong in ("a", "b")] == [401, 429]  # one address


def test_a_bucket_fills_again() -> None:
    clock = [100.0]
    limit = RateLimit(2.0, lambda: clock[0])
    for wait in (0.0, 0.0, 0.0, 0.0, 0.5, 0.5, 60.0, 0.0, 0.0, 0.0):
        clock[0] += wait
        limit.check("who")
    with pytest.raises(HTTPException):
        limit.check("who")
    limit.check("another")


def test_buckets_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rights, "MOST_BUCKETS", 2)
    limit = RateLimit(0.5, lambda: 0.0)
    for who in "aba"[:2] + "c":
        limit.check(who)
    limit.check("a")  # was forgotten, and is full again
    with pytest.raises(HTTPException):
        limit.check("c")


def test_web_pages_of_the_list_may_ask(asking: Asking, redis_url: str) -> None:
    page = {"Origin": "https://shop.example"}
    ask = {
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "content-type",
    }
    client = asking(redis_url, cors_origins=("https://shop.example",), read_tokens=("t",))
    allowed = client.options("/v1/events", headers={**page, **ask})
    assert allowed.status_code == 200
    assert allowed.headers["access-control-allow-origin"] == page["Origin"]
    for answer in (
        client.get("/v1/popular", headers={**page, "Authorization": "Bearer t"}),
        client.get("/v1/popular", headers=page),  # 401: the page may read that too
    ):
        assert answer.headers["access-control-allow-origin"] == page["Origin"]
    other = client.options("/v1/events", headers={"Origin": "https://other.example", **ask})
    assert other.status_code == 400
    none = asking(redis_url)
    assert "access-control-allow-origin" not in none.get("/v1/popular", headers=page).headers


CLICK = {"user": "u1", "item": "i1", "type": "click"}


def test_bodies_that_are_no_events(asking: Asking) -> None:
    client = asking(body_bytes=2000, events_per_request=3)
    refused(client.post("/v1/events", content=b"[]", headers={"Content-Type": "text/plain"}), 415)
    for wrong in (b"[", b"[]", b"[1 2]"):
        kind = {"Content-Type": "application/json; charset=utf-8"}
        refused(client.post("/v1/events", content=wrong, headers=kind), 400)
    assert "events_per_request" in refused(client.post("/v1/events", json=[CLICK] * 4), 413)
    long = client.post("/v1/events", json=[{**CLICK, "more": "x" * 2000}])
    assert "body_bytes" in refused(long, 413) and long.headers["connection"] == "close"
    none = client.post("/v1/events", json=[{"user": "u"}, {**CLICK, "type": "x"}])
    refused(none, 422)
    assert [(each["index"], each["reason"]) for each in none.json()["refused"]] == [
        (0, "schema"),
        (1, "unknown_type"),
    ]
    assert refused(client.post("/v1/events", json=5), 422)


def test_items_that_are_none(asking: Asking) -> None:
    client = asking()
    assert client.put("/v1/items/i1", json={"item": "i2"}).json()["reason"] == "bad_id"
    assert client.put("/v1/items/i1", json={"title": 5}).json()["reason"] == "schema"
    assert client.put("/v1/items/i1", json=[]).json()["reason"] == "malformed"
    refused(client.put("/v1/items/%7B", json={}), 422)


def test_a_body_that_does_not_come_is_not_waited_for() -> None:
    async def never() -> Any:
        await asyncio.sleep(60)

    async def gone() -> Any:
        return {"type": "http.disconnect"}

    scope = {"type": "http", "headers": [(b"content-type", b"application/json")]}
    for receive, status in ((never, 408), (gone, 400)):
        with pytest.raises(HTTPException) as error:
            asyncio.run(read_json(Request(scope, receive), 100, seconds=0.05))
        assert error.value.status_code == status


def test_kafka_away_is_said_in_time(asking: Asking) -> None:
    """Whether nobody listens or nobody answers; what can be sent again has the ids for it."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        for brokers in ("", f"127.0.0.1:{silent.getsockname()[1]}"):
            client = asking(brokers=brokers)
            began = time.monotonic()
            answer = client.post("/v1/events", json=[CLICK, {**CLICK, "id": "mine"}, {}])
            refused(answer, 503)
            assert answer.headers["retry-after"]
            [made, given, none] = answer.json()["ids"]
            assert made and (given, none) == ("mine", None)
            assert [each["index"] for each in answer.json()["refused"]] == [2]
            refused(client.put("/v1/items/i1", json={"title": "One"}), 503)
            assert time.monotonic() - began < 30  # not the producer's own minutes


def test_what_waits_for_kafka_is_bounded(asking: Asking, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sender, "MOST_WAITING_BYTES", 100)
    client = asking(write_seconds=60.0)
    began = time.monotonic()
    refused(client.post("/v1/events", json=[CLICK] * 3), 503)
    assert time.monotonic() - began < 30


def test_redis_away_is_said_at_once(asking: Asking) -> None:
    client = asking(f"redis://127.0.0.1:{free_port()}/0")
    began = time.monotonic()
    answer = client.get("/v1/popular")
    assert "try again" in refused(answer, 503) and answer.headers["retry-after"]
    assert time.monotonic() - began < 30


def test_a_redis_that_never_replies_is_not_waited_for(asking: Asking) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        answer = asking(f"redis://127.0.0.1:{silent.getsockname()[1]}/0").get("/v1/popular")
    refused(answer, 503)


def test_other_addresses_need_tokens() -> None:
    with pytest.raises(ConfigurationError, match="read_tokens"):
        listen(ServeSettings(host="0.0.0.0", port=free_port()))
    for allowed in ({"read_tokens": ("t",)}, {"without_tokens": True}):
        listen(ServeSettings(host="0.0.0.0", port=free_port(), **allowed)).close()  # type: ignore


def answered(port: int) -> httpx.Response:
    """Return the popular list of a role that may still be starting."""
    asked = httpx.Request("GET", f"http://127.0.0.1:{port}/v1/popular")
    return httpx.HTTPTransport(retries=8).handle_request(asked)  # for a minute


def test_the_role_ends_when_the_partitions_grow(redis_url: str) -> None:
    """It sends events to partitions: one that lived on would send them to former ones."""
    port = free_port()
    flags = {"redis.url": redis_url, "serve.port": str(port)}
    settings = load(None, {}, flags | {"metrics.port": str(free_port() - 3)})
    codes: list[int] = []
    role = threading.Thread(target=lambda: codes.append(run(settings, threading.Event())))
    role.start()
    plan = Plan(8, 4, 4, epoch="e", growth=1)
    client = redis.Redis.from_url(redis_url)
    try:
        assert answered(port).status_code == 200
        client.set(GROWING, msgspec.json.encode(plan))
        role.join(20)
        assert codes == [78]
        with pytest.raises(ConfigurationError, match="streamrec grow"):
            run(settings, threading.Event())
    finally:
        client.delete(GROWING)


def test_the_role_answers_and_ends(redis_url: str) -> None:
    port, health = free_port(), free_port()
    flags = {"redis.url": redis_url, "serve.port": str(port), "metrics.port": str(health - 3)}
    settings, stop, codes = load(None, {}, flags), threading.Event(), []
    role = threading.Thread(target=lambda: codes.append(run(settings, stop)))
    role.start()
    try:
        assert answered(port).status_code == 200
        with urllib.request.urlopen(f"http://127.0.0.1:{health}/health/ready") as ready:
            assert json.load(ready)["status"] == "ok"
        with pytest.raises(ConfigurationError, match="in use"):
            listen(settings.serve)
    finally:
        stop.set()
        role.join(20)
    assert codes == [0]
