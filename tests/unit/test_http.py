"""Lists over HTTP, against a real Redis."""

import json
import socket
import threading
import time
import urllib.request
from collections.abc import Iterator

import pytest
from servers import RedisServer

pytest.importorskip("starlette")

import httpx
from starlette.testclient import TestClient

from streamrec.errors import ConfigurationError
from streamrec.http.readers import Readers
from streamrec.http.routes import application
from streamrec.http.serve import listen, run
from streamrec.local.child import free_port
from streamrec.settings.load import load
from streamrec.settings.sections import RedisSettings
from streamrec.settings.serve import ServeSettings
from streamrec.transport.redis_store import Store

POPULAR = {"user": "~popular", "at": 5, "model": "m", "items": [{"item": "i9", "score": 0.5}]}
OWN = {**POPULAR, "user": "ü 1", "at": 7}
OWN["items"] = [{"item": f"i{n}", "score": 1.0 / n, "because": ["x"]} for n in range(1, 5)]


@pytest.fixture(scope="module")
def redis_url() -> Iterator[str]:
    server = RedisServer(appendonly=False).start()
    store = Store(RedisSettings(url=server.url))
    store.run([("SET", "rec:~popular", json.dumps(POPULAR))])
    store.run([("SET", "rec:ü 1", json.dumps(OWN))])
    store.run([("SET", "rec:broken", b"\x01")])
    store.close()
    yield server.url
    server.stop()


def asking(url: str, **settings: object) -> TestClient:
    readers = Readers(RedisSettings(url=url, timeout_seconds=0.5))
    return TestClient(application(ServeSettings(**settings), readers))  # type: ignore[arg-type]


def refused(answer: httpx.Response, status: int) -> str:
    assert answer.status_code == status == answer.json()["status"]
    assert answer.headers["content-type"] == "application/problem+json"
    return str(answer.json()["detail"])


def test_lists(redis_url: str) -> None:
    client = asking(redis_url)
    own = client.get("/v1/users/%C3%BC%201/lists/home?n=2").json()
    assert (own["personal"], own["at"], len(own["items"])) == (True, 7, 2)
    assert own["items"][0] == {"item": "i1", "score": 1.0, "source": "", "because": ["x"]}
    stranger = client.get("/v1/users/nobody/lists/home").json()
    assert (stranger["personal"], stranger["user"]) == (False, "nobody")
    assert [entry["item"] for entry in stranger["items"]] == ["i9"]
    popular = client.get("/v1/popular").json()
    assert popular["items"] == stranger["items"] and set(popular) == {"at", "model", "items"}


def test_what_is_not_there_is_said(redis_url: str) -> None:
    client = asking(redis_url)
    assert "home" in refused(client.get("/v1/users/u/lists/cart"), 404)
    refused(client.get("/v1/nothing"), 404)
    refused(client.post("/v1/popular"), 405)
    assert "'filter'" in refused(client.get("/v1/popular?filter=x"), 400)
    for wrong in ("0", "-1", "x", "1001", "٣", "", "9" * 5000):
        refused(client.get("/v1/popular", params={"n": wrong}), 400)
    refused(client.get("/v1/users/broken/lists/home"), 500)


def test_etag(redis_url: str) -> None:
    client = asking(redis_url)
    etag = client.get("/v1/popular").headers["etag"]
    again = client.get("/v1/popular", headers={"If-None-Match": f'"other", W/{etag}'})
    assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", etag)
    assert client.get("/v1/popular?n=1", headers={"If-None-Match": '"x"'}).status_code == 200


def test_tokens(redis_url: str) -> None:
    client = asking(redis_url, read_tokens=("one", "two"))
    for wrong in ({}, {"Authorization": "Bearer three"}, {"Authorization": "Basic one"}):
        answer = client.get("/v1/popular", headers=wrong)
        refused(answer, 401)
        assert answer.headers["www-authenticate"] == "Bearer"
    right = client.get("/v1/popular", headers={"Authorization": "bearer two"})
    assert right.status_code == 200


def test_redis_away_is_said_at_once() -> None:
    client = asking(f"redis://127.0.0.1:{free_port()}/0")
    began = time.monotonic()
    answer = client.get("/v1/popular")
    assert "try again" in refused(answer, 503) and answer.headers["retry-after"]
    assert time.monotonic() - began < 5


def test_a_redis_that_never_replies_is_not_waited_for() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        answer = asking(f"redis://127.0.0.1:{silent.getsockname()[1]}/0").get("/v1/popular")
    refused(answer, 503)


def test_other_addresses_need_tokens() -> None:
    with pytest.raises(ConfigurationError, match="read_tokens"):
        listen(ServeSettings(host="0.0.0.0", port=free_port()))
    for allowed in ({"read_tokens": ("t",)}, {"without_tokens": True}):
        listen(ServeSettings(host="0.0.0.0", port=free_port(), **allowed)).close()  # type: ignore


def test_the_role_answers_and_ends(redis_url: str) -> None:
    port, health = free_port(), free_port()
    flags = {"redis.url": redis_url, "serve.port": str(port), "metrics.port": str(health - 3)}
    settings, stop, codes = load(None, {}, flags), threading.Event(), []
    role = threading.Thread(target=lambda: codes.append(run(settings, stop)))
    role.start()
    try:
        url = f"http://127.0.0.1:{port}/v1/popular"
        answer = httpx.HTTPTransport(retries=5).handle_request(httpx.Request("GET", url))
        assert answer.status_code == 200
        with urllib.request.urlopen(f"http://127.0.0.1:{health}/health/ready") as ready:
            assert json.load(ready)["status"] == "ok"
        with pytest.raises(ConfigurationError, match="in use"):
            listen(settings.serve)
    finally:
        stop.set()
        role.join(20)
    assert codes == [0]
