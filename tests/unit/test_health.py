"""The health port over real sockets."""

import json
import socket
import struct
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator

import pytest
from prometheus_client import CollectorRegistry, Metric
from prometheus_client.registry import Collector
from waiting import wait_until

from streamrec.errors import ConfigurationError
from streamrec.monitoring.health import serve_health
from streamrec.monitoring.metrics import Metrics
from streamrec.settings.ports import ROLES, ports_of, setting_for
from streamrec.settings.sections import MetricsSettings


def get(port: int, path: str, method: str = "GET") -> tuple[int, str]:
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", method=method)
    try:
        with urllib.request.urlopen(request, timeout=5) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


@pytest.fixture
def taken() -> Iterator[int]:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener.getsockname()[1]


def test_paths(taken: int) -> None:
    reasons: list[str] = []
    metrics = Metrics(CollectorRegistry())
    port = serve_health(MetricsSettings(port=taken), metrics, lambda: [], lambda: reasons)
    assert port.port > taken and (port.port - taken) % 10 == 0
    try:
        assert get(port.port, "/health/live") == (200, '{"status": "ok", "reasons": []}')
        assert get(port.port, "/health/ready?full=1")[0] == 200
        reasons.append("no partitions yet")
        status, body = get(port.port, "/health/ready")
        assert status == 503
        assert json.loads(body) == {"status": "failing", "reasons": ["no partitions yet"]}
        status, text = get(port.port, "/metrics")
        assert status == 200 and "streamrec_dead_letters_total 0.0" in text
        assert get(port.port, "/metrics", "HEAD") == (200, "")
        assert get(port.port, "/else")[0] == 404
        assert get(port.port, "/metrics", "POST")[0] == 501
    finally:
        port.close()
    with pytest.raises(urllib.error.URLError):
        get(port.port, "/metrics")


def test_a_check_that_raises_is_a_reason(taken: int) -> None:
    def broken() -> list[str]:
        raise RuntimeError("with a secret")

    port = serve_health(
        MetricsSettings(port=taken), Metrics(CollectorRegistry()), broken, lambda: []
    )
    try:
        status, body = get(port.port, "/health/live")
        assert status == 503 and "RuntimeError" in body and "secret" not in body
    finally:
        port.close()


def test_no_port() -> None:
    port = serve_health(MetricsSettings(port=0), Metrics(CollectorRegistry()), list, list)
    assert port.port == 0
    port.close()


def test_each_role_has_a_port_of_its_own() -> None:
    settings = MetricsSettings()
    first = {role: ports_of(settings, role)[0] for role in ROLES}
    assert first == {"learn": 9464, "score": 9465, "train": 9466, "serve": 9467}
    assert [*ports_of(settings, "score")][:3] == [9465, 9475, 9485]
    assert all(setting_for(role, port) == 9464 for role, port in first.items())
    assert len(ports_of(MetricsSettings(port=65_530), "learn")) == 1


def test_bad_host() -> None:
    with pytest.raises(ConfigurationError, match="metrics.host"):
        serve_health(MetricsSettings(host="host.invalid"), Metrics(CollectorRegistry()), list, list)


def test_the_log_says_once_that_it_is_ready(taken: int, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", logger="streamrec")
    reasons = ["not yet"]
    port = serve_health(
        MetricsSettings(port=0), Metrics(CollectorRegistry()), list, lambda: reasons
    )
    assert "ready" not in [record.getMessage() for record in caplog.records]
    reasons.clear()
    wait_until(lambda: "ready" in [record.getMessage() for record in caplog.records])
    time.sleep(0.3)
    assert [record.getMessage() for record in caplog.records].count("ready") == 1
    port.close()


def test_a_caller_who_went_away_is_no_line_and_another_fault_is_one(
    taken: int, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    """Prometheus does not wait for a process that was frozen; the base class prints a traceback."""
    gone = threading.Event()
    asked: list[str] = []

    def live() -> list[str]:
        asked.append("live")
        assert gone.wait(60)
        return []

    metrics = Metrics(CollectorRegistry())
    port = serve_health(MetricsSettings(port=taken), metrics, live, lambda: [])
    caplog.clear()
    try:
        with socket.create_connection(("127.0.0.1", port.port)) as caller:
            caller.sendall(b"GET /health/live HTTP/1.0\r\n\r\n")
            while not asked:
                time.sleep(0.01)
            caller.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        answering = [one for one in threading.enumerate() if "process_request" in one.name]
        gone.set()
        for one in answering:
            one.join(60)
        assert answering and not caplog.records and capfd.readouterr().err == ""
        metrics.registry.register(Broken())
        with pytest.raises(OSError):
            get(port.port, "/metrics")
        while not caplog.records:
            time.sleep(0.01)
    finally:
        port.close()
    [line] = caplog.records
    assert line.message == "metrics or health cannot be told" and line.exc_info
    assert "Traceback" not in capfd.readouterr().err


class Broken(Collector):
    def collect(self) -> Iterator[Metric]:
        raise RuntimeError("no gauge")
        yield
