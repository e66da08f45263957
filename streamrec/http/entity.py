"""Answers that a client may have already."""

import hashlib

from starlette.requests import Request
from starlette.responses import Response


def answer_of(request: Request, body: bytes, kind: str, keep: str) -> Response:
    """Return 200 with the body, or 304 where the client has it."""
    etag = f'"{hashlib.sha256(body).hexdigest()[:24]}"'
    headers = {"ETag": etag, "Cache-Control": keep}
    known = request.headers.get("If-None-Match", "")
    if etag in [each.strip().removeprefix("W/") for each in known.split(",")]:
        return Response(status_code=304, headers=headers)
    return Response(body, headers=headers, media_type=kind)
