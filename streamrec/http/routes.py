"""The paths of `streamrec serve`; docs/http.md describes them."""

import hashlib
import hmac
import logging
from collections.abc import Callable

import msgspec
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from streamrec.client import Client
from streamrec.errors import StreamrecError
from streamrec.http.problems import of_http, of_streamrec
from streamrec.http.readers import Readers
from streamrec.settings.serve import ServeSettings
from streamrec.transport.redis_keys import POPULAR

logger = logging.getLogger(__name__)

PLACES = ("home",)
MOST = 1000

Read = Callable[[Client, Request, int | None], object]
"""Returns what answers a request, cut to so many items when a number is given."""


def application(settings: ServeSettings, readers: Readers) -> Starlette:
    """Return the ASGI application."""
    tokens = [token.encode() for token in settings.read_tokens]

    def route(path: str, read: Read) -> Route:
        def answer(request: Request) -> Response:  # not async: runs in a thread, and may wait
            _check_token(request, tokens)
            number = _number(request)
            try:
                with readers.one() as client:
                    found = read(client, request, number)
            except StreamrecError as error:
                logger.warning("a request failed", extra={"route": path, "cause": str(error)})
                raise
            return _answer(request, msgspec.json.encode(found))

        return Route(path, answer, methods=["GET"])

    return Starlette(
        routes=[
            route("/v1/users/{user}/lists/{place}", _list),
            route("/v1/items/{item}/similar", _similar),
            route("/v1/popular", _popular),
        ],
        exception_handlers={HTTPException: of_http, StreamrecError: of_streamrec},
    )


def _list(client: Client, request: Request, number: int | None) -> object:
    place = request.path_params["place"]
    if place not in PLACES:
        raise HTTPException(404, f"There is no place of that name. Places: {', '.join(PLACES)}")
    found = client.recommend(request.path_params["user"])
    found.items = found.items[:number]
    return found


def _popular(client: Client, request: Request, number: int | None) -> object:
    found = client.recommend(POPULAR)
    found.items = found.items[:number]
    return {"at": found.at, "model": found.model, "items": found.items}


def _similar(client: Client, request: Request, number: int | None) -> object:
    item = request.path_params["item"]
    found = client.similar(item) if number is None else client.similar(item, number)
    return {"item": item, "items": found}


def _number(request: Request) -> int | None:
    """Return `n`; a misspelt parameter is refused, so that nobody believes it did something."""
    unknown = sorted(set(request.query_params) - {"n"})
    if unknown:
        raise HTTPException(400, f"Unknown parameter {unknown[0]!r}. Parameters: n")
    text = request.query_params.get("n")
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and len(text) < 6 and 1 <= int(text) <= MOST):
        raise HTTPException(400, f"n must be a whole number from 1 to {MOST}")
    return int(text)


def _check_token(request: Request, tokens: list[bytes]) -> None:
    if not tokens:
        return
    scheme, _, given = request.headers.get("Authorization", "").partition(" ")
    sent = given.strip().encode()
    if scheme.lower() != "bearer" or not any([hmac.compare_digest(sent, t) for t in tokens]):
        text = "Send the header `Authorization: Bearer TOKEN` with one of serve.read_tokens"
        raise HTTPException(401, text, {"WWW-Authenticate": "Bearer"})


def _answer(request: Request, body: bytes) -> Response:
    etag = f'"{hashlib.sha256(body).hexdigest()[:24]}"'
    headers = {"ETag": etag, "Cache-Control": "private, no-cache"}
    known = request.headers.get("If-None-Match", "")
    if etag in [each.strip().removeprefix("W/") for each in known.split(",")]:
        return Response(status_code=304, headers=headers)
    return Response(body, headers=headers, media_type="application/json")
