"""The port with /metrics, /health/live and /health/ready: a small threaded HTTP server."""

import errno
import json
import logging
import socket
import sys
import threading
import time
from collections.abc import Callable, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import TCPServer

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

from streamrec.errors import ConfigurationError
from streamrec.monitoring.metrics import Metrics
from streamrec.settings.ports import BETWEEN, ROLES, ports_of
from streamrec.settings.sections import MetricsSettings

logger = logging.getLogger(__name__)

Check = Callable[[], Sequence[str]]
"""Returns why something is not well; nothing when it is. Called from the server's threads."""

SLOW_CLIENT_SECONDS = 5.0
LOOK_SECONDS = 0.2


class HealthPort:
    """The running server; `port` is the one it got, 0 when there is none.

    Says once in the log that the process is ready.
    """

    def __init__(self, server: ThreadingHTTPServer | None, ready: Check) -> None:
        self._closed = threading.Event()
        threading.Thread(target=self._announce, args=(ready,), name="ready", daemon=True).start()
        self.port: int = server.server_address[1] if server else 0
        self._server = server
        if server is not None:
            self._thread = threading.Thread(
                target=server.serve_forever, args=(0.1,), name="health", daemon=True
            )
            self._thread.start()

    def close(self) -> None:
        """Stop listening."""
        self._closed.set()
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._thread.join()
            self._server = None

    def _announce(self, ready: Check) -> None:
        began = time.monotonic()
        while not self._closed.is_set():
            if not _reasons(ready):
                logger.info("ready", extra={"seconds": round(time.monotonic() - began, 1)})
                return
            self._closed.wait(LOOK_SECONDS)


def serve_health(
    settings: MetricsSettings, metrics: Metrics, live: Check, ready: Check
) -> HealthPort:
    """Serve on the first free port of the role `metrics.role`; nothing when metrics are off.

    Raises ConfigurationError when there is no such address or no free port.
    """
    ports = ports_of(settings, metrics.role or ROLES[0])
    if not ports:
        return HealthPort(None, ready)
    answers = _answers(metrics.registry, live, ready)
    server_class = _Server6 if ":" in settings.host else _Server
    for port in ports:
        try:
            server = server_class((settings.host, port), answers)
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                text = f"metrics.host {settings.host} port {port}: {error.strerror}"
                raise ConfigurationError(text) from None
            continue
        host = f"[{settings.host}]" if ":" in settings.host else settings.host
        url = f"http://{host}:{port}/metrics"
        if port != ports[0]:
            logger.warning("metrics port is taken", extra={"port": ports[0], "instead": port})
        logger.info("metrics and health", extra={"url": url})
        return HealthPort(server, ready)
    taken = f"{ports[0]} to {ports[-1]}, every {BETWEEN}th"
    raise ConfigurationError(f"metrics.port: {taken}, are all taken")


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def server_bind(self) -> None:
        """Bind, without the reverse name look-up of the base class, which can take seconds."""
        TCPServer.server_bind(self)

    def handle_error(self, request: object, client_address: object) -> None:
        """Log what failed in a line, where the base class prints a traceback.

        A caller who did not wait for the answer is no fault: a process that was frozen finds many.
        """
        if not isinstance(sys.exception(), ConnectionError | TimeoutError):
            logger.warning("metrics or health cannot be told", exc_info=True)


class _Server6(_Server):
    address_family = socket.AF_INET6


def _answers(
    registry: CollectorRegistry, live: Check, ready: Check
) -> type[BaseHTTPRequestHandler]:
    """Return the class that answers requests."""

    class Answers(BaseHTTPRequestHandler):
        timeout = SLOW_CLIENT_SECONDS
        server_version = "streamrec"
        sys_version = ""

        def do_GET(self) -> None:  # the base class asks for this name
            """Answer one of the three paths."""
            path = self.path.partition("?")[0]
            if path == "/metrics":
                encode, content_type = choose_encoder(self.headers.get("Accept", ""))
                self._send(200, content_type, encode(registry))
            elif path in ("/health/live", "/health/ready"):
                reasons = _reasons(live if path == "/health/live" else ready)
                body = {"status": "failing" if reasons else "ok", "reasons": reasons}
                self._send(503 if reasons else 200, "application/json", json.dumps(body).encode())
            else:
                body = {"paths": ["/metrics", "/health/live", "/health/ready"]}
                self._send(404, "application/json", json.dumps(body).encode())

        do_HEAD = do_GET

        def _send(self, status: int, content_type: str, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", content_type)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Keep one line for each scrape out of the logs."""

    return Answers


def _reasons(check: Check) -> list[str]:
    try:
        return list(check())
    except Exception as error:  # a broken check is a reason, not a dead port
        return [f"the check failed: {type(error).__name__}"]
