"""The paths of `streamrec serve`; docs/http.md describes them."""

import inspect
import logging
from collections.abc import Awaitable, Callable

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from streamrec.errors import StreamrecError
from streamrec.http.problems import of_anything, of_http, of_streamrec
from streamrec.http.readers import Readers
from streamrec.http.reading import Reading
from streamrec.http.rights import Right, Rights
from streamrec.http.sender import Sender
from streamrec.http.watched import Watched
from streamrec.http.writing import Writing
from streamrec.monitoring.metrics import Metrics
from streamrec.settings.sections import Settings

logger = logging.getLogger(__name__)

Answer = Callable[[Request], Response] | Callable[[Request], Awaitable[Response]]
"""Answers a request; one that is not async runs in a thread, and may wait."""


def application(
    settings: Settings, readers: Readers, sender: Sender, metrics: Metrics
) -> Starlette:
    """Return the ASGI application."""
    rights = Rights(settings.serve)
    reading, writing = Reading(readers, metrics.http), Writing(settings, sender, metrics.http)

    def route(method: str, path: str, right: Right, answer: Answer) -> Route:
        async def checked(request: Request) -> Response:
            rights.check(request, right)
            try:
                if inspect.iscoroutinefunction(answer):
                    found: Response = await answer(request)
                    return found
                return await run_in_threadpool(answer, request)  # type: ignore[arg-type]
            except StreamrecError as error:
                logger.warning("a request failed", extra={"route": path, "cause": str(error)})
                raise

        return Route(path, checked, methods=[method])

    routes = [
        route("GET", "/v1/users/{user}/lists/{place}", "read", reading.list),
        route("GET", "/v1/items/{item}/similar", "read", reading.similar),
        route("GET", "/v1/popular", "read", reading.popular),
        route("POST", "/v1/events", "write", writing.events),
        route("PUT", "/v1/items/{item}", "write", writing.item),
    ]
    metrics.http.begin((each.path, method) for each in routes for method in each.methods or ())
    patterns = {each.endpoint: each.path for each in routes}
    return Starlette(
        routes=routes,
        middleware=[
            Middleware(Watched, metrics.http, patterns, settings.serve.access_log),
        ],
        exception_handlers={
            HTTPException: of_http,
            StreamrecError: of_streamrec,
            Exception: of_anything,
        },
    )
