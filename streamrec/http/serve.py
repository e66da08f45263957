"""The role: listens until it is told to stop."""

import logging
import socket
import threading
import time
from contextlib import suppress

import uvicorn

from streamrec.errors import ConfigurationError, StoreError, StreamrecError
from streamrec.http.console.routes import Console
from streamrec.http.made_now import MadeNow
from streamrec.http.readers import Readers, redis_of
from streamrec.http.routes import application
from streamrec.http.sender import Sender
from streamrec.monitoring.health import serve_health
from streamrec.monitoring.metrics import Metrics
from streamrec.monitoring.starting import calm_collector, starting
from streamrec.settings.sections import Settings
from streamrec.settings.serve import OWN_ADDRESSES, ServeSettings, has_console
from streamrec.transport.redis.declared import Unchanged
from streamrec.transport.redis.keys import Shards

logger = logging.getLogger(__name__)
GRACE_SECONDS = 5


def run(settings: Settings, stop: threading.Event) -> int:
    """Answer requests until `stop`; return the exit code."""
    starting(settings, "serve")
    readers = Readers(redis_of(settings))
    unchanged = Unchanged(lambda: _shards(readers))
    with suppress(StoreError):  # requests say so
        unchanged.check()
    door = listen(settings.serve)
    sender = Sender(settings)
    metrics = Metrics(role="serve")
    metrics.begin(settings, ())
    made_now = MadeNow(settings)
    console = Console(settings, readers, made_now, sender) if has_console(settings.serve) else None
    more = console.routes() if console else ()
    config = uvicorn.Config(
        application(settings, readers, sender, metrics, made_now, more),
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=GRACE_SECONDS,
    )
    server = uvicorn.Server(config)
    # not in the main thread, where uvicorn would take the signals and end by them
    thread = threading.Thread(target=server.run, args=([door],), name="http", daemon=True)
    health = serve_health(
        settings.metrics,
        metrics,
        live=lambda: [] if thread.is_alive() else ["the HTTP server has ended"],
        ready=lambda: _reasons(readers),
    )
    calm_collector()
    thread.start()
    if console is not None:
        console.start()
    grown = False
    while thread.is_alive() and not grown and not stop.wait(0.2):
        grown = _grown(unchanged)
    code = 0 if stop.is_set() else ConfigurationError.exit_code if grown else 1
    server.should_exit = True
    if console is not None:
        console.close()
    thread.join(GRACE_SECONDS + 2)
    health.close()
    made_now.close()
    sender.close()
    readers.close()
    return code


def _grown(unchanged: Unchanged) -> bool:
    """Say whether the partitions are, or have been, made more: events would go to wrong ones."""
    try:
        unchanged.look(time.monotonic())
    except ConfigurationError as error:
        logger.error("stopping", extra={"cause": str(error)})
        return True
    except StoreError:
        return False
    return False


def _shards(readers: Readers) -> Shards | None:
    with readers.one() as client:
        return client.store.shards()


def listen(settings: ServeSettings) -> socket.socket:
    """Return the listening socket. Raises ConfigurationError when it is not allowed or taken."""
    if not (settings.host in OWN_ADDRESSES or settings.read_tokens or settings.without_tokens):
        raise ConfigurationError(
            f"serve.host {settings.host}: set serve.read_tokens, or serve.without_tokens=true"
            " where something before it asks for them"
        )
    try:
        family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
        return socket.create_server((settings.host, settings.port), family=family, backlog=2048)
    except OSError as error:
        text = f"serve.host {settings.host} port {settings.port}: {error.strerror}"
        raise ConfigurationError(text) from None


def _reasons(readers: Readers) -> list[str]:
    try:
        with readers.one() as client:
            client.recommend("")
    except StreamrecError as error:
        return [str(error)]
    return []
