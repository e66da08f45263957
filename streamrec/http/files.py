"""What is served as it is: the description of the paths, and the script for pages."""

from importlib.resources import files

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from streamrec.http.answers import answer_of
from streamrec.http.endpoints import ENDPOINTS
from streamrec.http.openapi import openapi
from streamrec.http.rights import Rights

AN_HOUR = "public, max-age=3600"


def file_routes(rights: Rights) -> list[Route]:
    """Return the paths of both; they need no token."""
    described = msgspec.json.encode(openapi(ENDPOINTS, rights.is_open))
    beacon = files("streamrec.http").joinpath("beacon.js").read_bytes()
    return [
        _file("/v1/openapi.json", described, "application/json", "no-cache"),
        _file("/beacon.js", beacon, "text/javascript", AN_HOUR),
    ]


def _file(path: str, body: bytes, kind: str, keep: str) -> Route:
    async def answer(request: Request) -> Response:
        return answer_of(request, body, kind, keep)

    return Route(path, answer, methods=["GET"])
