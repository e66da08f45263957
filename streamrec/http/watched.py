"""Counts and times every request, and writes the access log."""

import logging
import time
from collections.abc import Mapping
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from streamrec.monitoring.http_metrics import OTHER, HttpMetrics

logger = logging.getLogger(__name__)


class Watched:
    """An ASGI application around another one.

    `routes` has the pattern of the path by what answers there, which the router puts into the
    scope; neither metrics nor log name a user, as the path itself does.
    """

    def __init__(
        self, app: ASGIApp, metrics: HttpMetrics, routes: Mapping[Any, str], access_log: bool
    ) -> None:
        self._app, self._metrics, self._routes = app, metrics, routes
        self._log = logger.info if access_log else None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let the application answer."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began, status, length = time.perf_counter(), 500, 0

        async def watched(message: Message) -> None:
            nonlocal status, length
            if message["type"] == "http.response.start":
                status = message["status"]
            else:
                length += len(message.get("body", b""))
            await send(message)

        try:
            await self._app(scope, receive, watched)
        finally:
            seconds = time.perf_counter() - began
            route = self._routes.get(scope.get("endpoint"), OTHER)
            self._metrics.answered(route, scope["method"], status, seconds)
            if self._log:
                fields = {
                    "route": route,
                    "method": scope["method"],
                    "status": status,
                    "seconds": round(seconds, 6),
                    "bytes": length,
                }
                self._log("request", extra=fields)
