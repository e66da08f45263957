"""Errors as application/problem+json (RFC 9457)."""

from collections.abc import Mapping
from http import HTTPStatus

import msgspec
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from streamrec.errors import StoreError, StreamrecError

RETRY_SECONDS = "2"


def problem(status: int, detail: str, headers: Mapping[str, str] | None = None) -> Response:
    """Return the answer that says what went wrong and what to do."""
    body = {"title": HTTPStatus(status).phrase, "status": status, "detail": detail}
    return Response(msgspec.json.encode(body), status, headers, "application/problem+json")


def of_http(request: Request, error: Exception) -> Response:
    """Return the answer to a request that asks for what is not there or not allowed."""
    assert isinstance(error, HTTPException)
    return problem(error.status_code, error.detail, error.headers)


def of_streamrec(request: Request, error: Exception) -> Response:
    """Return 503 while Redis is away, 500 for what waiting does not repair.

    The text of the error can name addresses and keys, so it goes to the log alone.
    """
    assert isinstance(error, StreamrecError)
    if isinstance(error, StoreError):
        return problem(
            503,
            "Redis does not answer, or holds no state yet: try again",
            {"Retry-After": RETRY_SECONDS},
        )
    return problem(500, "What Redis holds cannot be read: the log of `streamrec serve` says why")
