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
from starlette.routing import BaseRoute, Route

from streamrec.errors import StreamrecError
from streamrec.http.answers import of_anything, of_http, of_streamrec
from streamrec.http.asked import check_names
from streamrec.http.endpoints import ENDPOINTS, Endpoint
from streamrec.http.files import file_routes
from streamrec.http.lists import Lists
from streamrec.http.made_now import MadeNow
from streamrec.http.own_names import OwnNames
from streamrec.http.readers import Readers
from streamrec.http.reading import Reading
from streamrec.http.rights import RateLimit, Rights
from streamrec.http.sender import Sender
from streamrec.http.watched import Watched
from streamrec.http.writing import Writing
from streamrec.monitoring.metrics import Metrics
from streamrec.settings.place_rules import place_names, place_of
from streamrec.settings.sections import Settings
from streamrec.settings.serve import ServeSettings

logger = logging.getLogger(__name__)

Answer = Callable[[Request], Awaitable[Response]]


def application(
    settings: Settings,
    readers: Readers,
    sender: Sender,
    metrics: Metrics,
    made_now: MadeNow,
    more: Sequence[BaseRoute] = (),
) -> Starlette:
    """Return the ASGI application; `more` are paths that need no token."""
    rights, lists = Rights(settings.serve), Lists(settings)
    places = {name: place_of(settings, name) for name in place_names(settings)}
    reading = Reading(lists, readers, made_now, metrics.http, places)
    writing = Writing(settings, sender, readers, metrics.http, rights)
    answers: dict[str, Answer] = {
        "getList": reading.home,
        "getPage": reading.page,
        "explain": reading.explain,
        "getSimilar": reading.similar,
        "getItemList": reading.of_item,
        "getBasketList": reading.of_basket,
        "getPopular": reading.popular,
        "sendEvents": writing.events,
        "putItem": writing.item,
        "forgetUser": writing.forget,
    }

    door = _Door(settings.serve, rights)
    ours = [door.route(endpoint, answers[endpoint.name]) for endpoint in ENDPOINTS]
    routes: list[BaseRoute] = [*ours, *file_routes(rights), *more]

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        yield
        lists.close()

    named = [each for each in routes if isinstance(each, Route)]
    metrics.http.begin((each.path, method) for each in named for method in each.methods or ())
    patterns = {each.endpoint: each.path for each in named}
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


class _Door:
    """What a request has to pass before it is answered: names, a rate, a right, parameters."""

    def __init__(self, settings: ServeSettings, rights: Rights) -> None:
        self._names, self._rights = OwnNames(settings), rights
        self._limit = RateLimit(settings.requests_per_second)

    def route(self, endpoint: Endpoint, answer: Answer) -> Route:
        """Return the route of an endpoint."""
        known = [each.name for each in endpoint.parameters if each.place == "query"]

        async def checked(request: Request) -> Response:
            self._check(request, endpoint)
            if endpoint.method == "GET":
                check_names(request, known)
            try:
                return await answer(request)
            except StreamrecError as error:
                fields = {"route": endpoint.path, "cause": str(error)}
                logger.warning("a request failed", extra=fields)
                raise

        return Route(endpoint.path, checked, methods=[endpoint.method])

    def _check(self, request: Request, endpoint: Endpoint) -> None:
        if self._rights.is_open(endpoint.right):
            self._names.check(request)
        token = self._rights.token(request)
        self._limit.check(token or (request.client and request.client.host))
        self._rights.check(token, endpoint.right)


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
