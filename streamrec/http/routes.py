"""The paths of `streamrec serve`; docs/http.md describes them."""

import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from streamrec.errors import StreamrecError
from streamrec.http.made_now import MadeNow
from streamrec.http.problems import of_anything, of_http, of_streamrec
from streamrec.http.readers import Readers
from streamrec.http.reading import Reading
from streamrec.http.rights import RateLimit, Right, Rights
from streamrec.http.sender import Sender
from streamrec.http.watched import Watched
from streamrec.http.writing import Writing
from streamrec.monitoring.metrics import Metrics
from streamrec.settings.sections import Settings

logger = logging.getLogger(__name__)

Answer = Callable[[Request], Awaitable[Response]]


def application(
    settings: Settings, readers: Readers, sender: Sender, metrics: Metrics
) -> Starlette:
    """Return the ASGI application."""
    rights, limit = Rights(settings.serve), RateLimit(settings.serve.requests_per_second)
    made_now = MadeNow(settings)
    reading = Reading(readers, made_now, metrics.http)
    writing = Writing(settings, sender, metrics.http)

    def route(method: str, path: str, right: Right, answer: Answer) -> Route:
        async def checked(request: Request) -> Response:
            token = rights.token(request)
            limit.check(token or (request.client and request.client.host))
            rights.check(token, right)
            try:
                return await answer(request)
            except StreamrecError as error:
                logger.warning("a request failed", extra={"route": path, "cause": str(error)})
                raise

        return Route(path, checked, methods=[method])

    routes = [
        route("GET", "/v1/users/{user}/lists/{place}", "read", reading.home),
        route("GET", "/v1/items/{item}/similar", "read", reading.similar),
        route("GET", "/v1/popular", "read", reading.popular),
        route("GET", "/v1/users/{user}/explain/{item}", "read", reading.explain),
        route("POST", "/v1/events", "write", writing.events),
        route("PUT", "/v1/items/{item}", "write", writing.item),
    ]

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        yield
        made_now.close()

    metrics.http.begin((each.path, method) for each in routes for method in each.methods or ())
    patterns = {each.endpoint: each.path for each in routes}
    return Starlette(
        routes=routes,
        middleware=[
            Middleware(Watched, metrics.http, patterns, settings.serve.access_log),
            *_cors(settings.serve.cors_origins),
        ],
        lifespan=lifespan,
        exception_handlers={
            HTTPException: of_http,
            StreamrecError: of_streamrec,
            Exception: of_anything,
        },
    )


def _cors(origins: Sequence[str]) -> list[Middleware]:
    """Return what lets web pages of these origins ask, if any."""
    if not origins:
        return []
    cors = Middleware(
        CORSMiddleware,
        allow_origins=origins,
        allow_methods=["GET", "POST", "PUT"],
        allow_headers=["Authorization", "Content-Type", "If-None-Match"],
        expose_headers=["ETag", "Retry-After"],
    )
    return [cors]
