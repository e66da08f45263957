"""Answers: those that a client may have already, and errors as problem+json (RFC 9457)."""

import hashlib
from collections.abc import Mapping
from http import HTTPStatus

import msgspec
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from streamrec.errors import LogError, MessageRefused, StoreError, StreamrecError

RETRY = {"Retry-After": "2"}  # seconds


def answer_of(request: Request, body: bytes, kind: str, keep: str) -> Response:
    """Return 200 with the body, or 304 where the client has it."""
    etag = f'"{hashlib.sha256(body).hexdigest()[:24]}"'
    headers = {"ETag": etag, "Cache-Control": keep}
    known = request.headers.get("If-None-Match", "")
    if etag in [each.strip().removeprefix("W/") for each in known.split(",")]:
        return Response(status_code=304, headers=headers)
    return Response(body, headers=headers, media_type=kind)


def problem(
    status: int, detail: str, headers: Mapping[str, str] | None = None, **more: object
) -> Response:
    """Return the answer that says what went wrong and what to do."""
    body = {"title": HTTPStatus(status).phrase, "status": status, "detail": detail, **more}
    return Response(msgspec.json.encode(body), status, headers, "application/problem+json")


def not_acknowledged(**more: object) -> Response:
    """Return the answer while Kafka does not take messages."""
    text = "Kafka did not acknowledge it in time; it may have it or not: send it again, as it was"
    if "ids" in more:
        text = f"{text}, with these ids, and each event counts once"
    return problem(503, text, RETRY, **more)


def of_http(request: Request, error: Exception) -> Response:
    """Return the answer to a request that asks for what is not there or not allowed."""
    assert isinstance(error, HTTPException)
    return problem(error.status_code, error.detail, error.headers)


def of_streamrec(request: Request, error: Exception) -> Response:
    """Return 503 while Redis or Kafka is away, 500 for what waiting does not repair.

    The text of the error can name addresses and keys, so it goes to the log alone.
    """
    assert isinstance(error, StreamrecError)
    if isinstance(error, StoreError):
        return problem(503, "Redis does not answer, or holds no state yet: try again", RETRY)
    if isinstance(error, LogError) and not isinstance(error, MessageRefused):
        return not_acknowledged()
    text = "Kafka refuses it" if isinstance(error, LogError) else "What Redis holds cannot be read"
    return problem(500, f"{text}: the log of `streamrec serve` says why")


def of_anything(request: Request, error: Exception) -> Response:
    """Return 500 for a fault in this program; the server logs where it is."""
    return problem(500, "A fault in `streamrec serve`: its log says where")
