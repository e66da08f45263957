"""The requests that read Redis."""

import hashlib

import msgspec
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from streamrec.http.readers import Readers
from streamrec.monitoring.http_metrics import HttpMetrics
from streamrec.transport.redis_keys import POPULAR

PLACES = ("home",)
MOST = 1000


class Reading:
    """Answers from what Redis holds; its functions wait, and run in threads."""

    def __init__(self, readers: Readers, metrics: HttpMetrics) -> None:
        self._readers, self._metrics = readers, metrics

    def list(self, request: Request) -> Response:
        """Answer with the list of a user for a place."""
        number, place = _number(request), request.path_params["place"]
        if place not in PLACES:
            raise HTTPException(404, f"There is no place of that name. Places: {', '.join(PLACES)}")
        with self._readers.one() as client:
            found = client.recommend(request.path_params["user"])
        whose = "own" if found.personal else "popular" if found.items else "none"
        self._metrics.lists.labels(whose).inc()
        found.items = found.items[:number]
        return _answer(request, found)

    def popular(self, request: Request) -> Response:
        """Answer with the list for strangers."""
        number = _number(request)
        with self._readers.one() as client:
            found = client.recommend(POPULAR)
        fields = {"at": found.at, "model": found.model, "items": found.items[:number]}
        return _answer(request, fields)

    def similar(self, request: Request) -> Response:
        """Answer with the items most often taken after an item."""
        number, item = _number(request), request.path_params["item"]
        with self._readers.one() as client:
            found = client.similar(item) if number is None else client.similar(item, number)
        return _answer(request, {"item": item, "items": found})


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


def _answer(request: Request, found: object) -> Response:
    body = msgspec.json.encode(found)
    etag = f'"{hashlib.sha256(body).hexdigest()[:24]}"'
    headers = {"ETag": etag, "Cache-Control": "private, no-cache"}
    known = request.headers.get("If-None-Match", "")
    if etag in [each.strip().removeprefix("W/") for each in known.split(",")]:
        return Response(status_code=304, headers=headers)
    return Response(body, headers=headers, media_type="application/json")
