"""The console's words, numbers and refusals; what needs no state."""

import socket
import threading
import time
from typing import Any

import httpx
import pytest
from prometheus_client import CollectorRegistry
from servers import RedisServer
from starlette.testclient import TestClient

from streamrec.blend.rules import ALL_EXTRAS
from streamrec.errors import ConfigurationError
from streamrec.events.event import click_type
from streamrec.http import serve
from streamrec.http.console.clicks import DAY_MS, STEP_MS, Clicks, PendingClick, event_time
from streamrec.http.console.routes import PAGE, Console
from streamrec.http.console.status import Line, Watch, lines, usual_addresses
from streamrec.http.console.words import MEANINGS, group, meaning, reason
from streamrec.http.made_now import MadeNow
from streamrec.http.readers import Readers
from streamrec.http.routes import application
from streamrec.http.sender import Sender
from streamrec.local.child import free_port
from streamrec.monitoring.health import HealthPort, serve_health
from streamrec.monitoring.metrics import Metrics
from streamrec.monitoring.numbers import Samples
from streamrec.settings.load import load
from streamrec.settings.sections import MetricsSettings, Settings
from streamrec.settings.serve import ServeSettings, has_console
from streamrec.sources.registry import SOURCES

HERE = "http://127.0.0.1:8080"
CLICK = {"user": "u1", "item": "i1"}


def asking(url: str = "redis://127.0.0.1:1/0", **flags: str) -> TestClient:
    settings = load(None, {}, {"redis.url": url, "redis.timeout_seconds": "0.5", **flags})
    readers = Readers(settings.redis)
    made_now = MadeNow(settings)
    sender = Sender(settings)
    console = Console(settings, readers, made_now, sender)
    parts = sender, Metrics(), made_now, console.routes()
    return TestClient(application(settings, readers, *parts), base_url=HERE)


def refused(answer: httpx.Response, status: int) -> str:
    assert answer.status_code == status, answer.text
    return str(answer.json()["detail"])


def test_it_is_there_only_where_this_machine_alone_can_click() -> None:
    assert has_console(ServeSettings())
    assert not has_console(ServeSettings(read_tokens=("t",)))
    assert not has_console(ServeSettings(host="0.0.0.0", without_tokens=True))
    assert has_console(ServeSettings(host="0.0.0.0", without_tokens=True, console="on"))
    assert not has_console(ServeSettings(console="off"))
    with pytest.raises(ConfigurationError, match="no token to show"):
        load(None, {}, {"serve.console": "on", "serve.read_tokens": '["t"]'})


def test_the_page_asks_nobody_else_and_runs_nothing_else() -> None:
    client = asking()
    assert client.get("/", follow_redirects=False).headers["location"] == "/console"
    page = client.get("/console")
    for name in PAGE:
        answer = client.get(f"/console/{name}")
        assert answer.status_code == 200 and len(answer.content) > 100
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy and "unsafe" not in policy and "http" not in policy
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert name == "icon.svg" or "https://" not in answer.text
    assert page.headers["content-type"].startswith("text/html")
    assert "style=" not in page.text and "onclick" not in page.text
    refused(client.get("/console/routes.py"), 404)
    pictures = asking(**{"serve.console_pictures": "image"}).get("/console")
    policy = pictures.headers["content-security-policy"]
    assert policy.endswith("img-src 'self' https: http:") and "script-src 'self';" in policy


def test_who_may_click() -> None:
    """Another site's page can neither send JSON nor choose the Origin, nor keep its own name."""
    client = asking()
    form = {"Content-Type": "text/plain"}
    refused(client.post("/console/api/click", content=b"{}", headers=form), 415)
    origin = {"Origin": "http://shop.example"}
    assert "own page" in refused(client.post("/console/api/click", json=CLICK, headers=origin), 403)
    refused(client.get("/console/api/status", headers={"Host": "["}), 421)
    host = {"Host": "shop.example:8080"}
    for path in ("people", "stream?user=u", "status"):
        assert "serve.names" in refused(client.get(f"/console/api/{path}", headers=host), 421)
    refused(client.post("/console/api/click", json=CLICK, headers=host), 421)
    assert "Not a click" in refused(client.post("/console/api/click", json={"user": "u"}), 400)
    long = {"user": "u" * 5000, "item": "i"}
    refused(client.post("/console/api/click", json=long), 413)
    own = {"Origin": HERE}
    assert "Redis" in refused(client.post("/console/api/click", json=CLICK, headers=own), 503)
    elsewhere = asking(**{"serve.names": '["shop.example"]'})
    assert elsewhere.get("/console/api/status", headers=host).status_code == 200


def test_what_is_missing_is_said(redis_server: RedisServer) -> None:
    client = asking(redis_server.start().url)
    for path in ("list", "shares", "explain?user=u", "similar", "search?q=%20", "stream"):
        assert "missing" in refused(client.get(f"/console/api/{path}"), 400)
    redis_server.client().flushall()
    assert "no state yet" in refused(client.get("/console/api/people"), 503)


def test_messages_of_another_shape_are_not_written(redis_server: RedisServer) -> None:
    client = asking(redis_server.start().url, **{"events.mapping.user": "visitor"})
    assert "another shape" in refused(client.post("/console/api/click", json=CLICK), 409)


def test_an_open_stream_does_not_keep_the_role_from_ending(
    redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serve, "GRACE_SECONDS", 600)  # what an open request would be waited for
    port = free_port()
    flags = {"redis.url": redis_server.start().url, "serve.port": str(port), "metrics.port": "0"}
    settings, stop, codes = load(None, {}, flags), threading.Event(), []
    role = threading.Thread(target=lambda: codes.append(serve.run(settings, stop)))
    role.start()
    try:
        transport = httpx.HTTPTransport(retries=8)
        with httpx.Client(transport=transport, base_url=f"http://127.0.0.1:{port}") as client:
            assert client.get("/console").status_code == 200
            with client.stream("GET", "/console/api/stream?user=u1") as stream:
                assert stream.headers["content-type"].startswith("text/event-stream")
                stop.set()
                role.join(60)
                assert codes == [0]
    finally:
        stop.set()


def test_reasons_in_words() -> None:
    assert reason("similarity", ["A", "B"]) == "Often follows “A” and “B”"
    assert reason("popularity_short", []) == "Popular right now"
    assert reason("factors", ["A"], again=True) == "Taken before, and people take it again"
    assert reason("factors", []) == "Fits all that was taken so far"
    assert (
        reason("of_my_own", ["A"]) == "Speaks for it: “A”" and meaning("of_my_own") == "of_my_own"
    )
    assert {*(source.name for source in SOURCES), *ALL_EXTRAS} <= set(MEANINGS)
    assert {group(name) for name in ("popularity_long", "takes", "content")} == {
        "popularity",
        "facts",
        "content",
    }


def test_the_time_of_a_click_in_old_events_is_their_end() -> None:
    now = 1_800_000_000_000
    assert event_time(now, 0) == event_time(now, now - 5) == event_time(now, now + 5) == now
    assert event_time(now, now - 2 * DAY_MS) == now - 2 * DAY_MS + STEP_MS


def test_the_type_of_a_click() -> None:
    assert click_type(Settings().events) == "click"
    settings = load(None, {}, {"events.weights": '{"buy": 3, "see": 0.5, "no": -1}'})
    assert click_type(settings.events) == "see"


def test_the_first_list_that_knows_of_a_click_has_its_milliseconds() -> None:
    clicks = Clicks(Settings(), Sender(Settings()))
    at = time.perf_counter() - 0.05
    clicks._wait("u", PendingClick(at, 7))
    assert clicks.is_waiting("u") and not clicks.is_waiting("v")
    assert clicks.milliseconds("u", 7) is None
    took = clicks.milliseconds("u", 8) or 0
    assert 50 <= took <= 1000 * (time.perf_counter() - at) + 1
    assert clicks.milliseconds("u", 9) is None and not clicks.is_waiting("u")
    clicks._wait("u", PendingClick(time.perf_counter() - 100, 7))
    assert not clicks.is_waiting("u")
    for n in range(1001):
        clicks._wait(f"u{n}", PendingClick(time.perf_counter(), -1))
    assert not clicks.is_waiting("u0") and clicks.is_waiting("u1000")


@pytest.fixture
def learn() -> Metrics:
    metrics = Metrics(CollectorRegistry(), "learn")
    metrics.begin(Settings(), ("factors", "content", "popularity_short"))
    return metrics


def happened(metrics: Metrics, events: int, **hits: int) -> None:
    metrics.prequential_events.labels("own").inc(events)
    for source, count in hits.items():
        metrics.prequential_hits.labels(source, "20").inc(count)


def served(metrics: Metrics) -> HealthPort:
    return serve_health(MetricsSettings(port=free_port()), metrics, list, list)


def test_status_of_what_answers(learn: Metrics) -> None:
    port = served(learn)
    url, away = f"http://127.0.0.1:{port.port}/metrics", f"http://127.0.0.1:{free_port()}/metrics"
    watch = Watch(load(None, {}, {"serve.metrics_of": f'["{url}", "{away}"]'}))
    assert watch.status().roles == {}
    try:
        watch.look(100.0)
        learn.events_consumed.labels("0").inc(20)
        learn.lag_messages.labels("events", "0").set(3)
        learn.due_users.set(2)
        happened(learn, 200, blend=30, factors=20, content=1, popularity_short=10)
        watch.look(110.0)
        happened(learn, 200, blend=50, factors=20)
        watch.look(112.0)
        happened(learn, 10, blend=10)  # too few for a point
        watch.look(114.0)
    finally:
        port.close()
    told = watch.status()
    assert told.roles == {"learn": True, away: False}
    assert (told.events, told.events_per_second, told.lag, told.waiting) == (20, 1.4, 3, 2)
    assert told.p50_ms is None and told.stopped == told.network == 0
    blend, best, popular = told.recall
    assert blend == Line("blend", blend.meaning, round(90 / 410, 4), [0.15, 0.2])
    assert (best.source, best.points) == ("factors", [0.1, 0.1])
    assert (popular.source, popular.points) == ("popularity_short", [0.05, 0.025])


def test_what_all_roles_say_of_the_whole_is_not_added_up(learn: Metrics) -> None:
    score = Metrics(CollectorRegistry(), "score")
    ports = [served(metrics) for metrics in (learn, score)]
    urls = ", ".join(f'"http://127.0.0.1:{port.port}/metrics"' for port in ports)
    for metrics in (learn, score):
        metrics.due_users.set(5)
    score.click_to_list_seconds.observe(0.055)
    watch = Watch(load(None, {}, {"serve.metrics_of": f"[{urls}]"}))
    try:
        watch.look(1.0)
    finally:
        for port in ports:
            port.close()
    told = watch.status()
    assert told.waiting == 5 and 50 <= (told.p50_ms or 0) <= 60


def test_a_name_that_stands_for_several_processes_is_asked_at_each(
    learn: Metrics, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the name of a service with replicas: lag adds up, who waits does not."""
    away = socket.getaddrinfo

    def resolver(name: str, port: int, *more: Any) -> Any:
        hosts = {"learn": ["127.0.0.1", "127.0.0.2"], "gone": []}.get(name)
        if hosts is None:
            return away(name, port, *more)
        if not hosts:
            raise socket.gaierror("no such name")
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (host, port)) for host in hosts]

    monkeypatch.setattr(socket, "getaddrinfo", resolver)
    learn.lag_messages.labels("events", "0").set(3)
    learn.due_users.set(2)
    port = serve_health(MetricsSettings(host="0.0.0.0", port=free_port()), learn, list, list)
    urls = f'["http://learn:{port.port}/metrics", "http://gone:{port.port}/metrics"]'
    watch = Watch(load(None, {}, {"serve.metrics_of": urls}))
    try:
        watch.look(1.0)
    finally:
        port.close()
    told = watch.status()
    assert told.roles == {"learn": True, f"http://gone:{port.port}/metrics": False}
    assert (told.lag, told.waiting) == (6, 2)


def test_a_process_that_starts_anew_starts_the_picture_anew() -> None:
    watch = Watch(load(None, {}, {"serve.metrics_of": '["http://127.0.0.1:1/metrics"]'}))
    watch.look(1.0)
    assert watch.status().events is None and watch.status().recall == []
    nothing: Samples = {}
    assert lines(nothing, []) == []


def test_metrics_are_looked_for_where_the_roles_are_by_default() -> None:
    ports = [9464, 9465, 9466]
    assert usual_addresses(Settings()) == [f"http://127.0.0.1:{port}/metrics" for port in ports]
    assert usual_addresses(load(None, {}, {"metrics.port": "0"})) == []
