"""Writes openapi.json (3.1) from the table of paths."""

from collections.abc import Callable, Sequence
from http import HTTPStatus
from typing import Any

import msgspec

from streamrec import __version__
from streamrec.http.endpoints import Endpoint
from streamrec.http.rights import Right
from streamrec.http.shapes import Problem

OF_ALL = (429, 500, 503)
WITH_TOKEN, WITHOUT = (401, 403), (421,)
REFERENCES = "#/components/schemas/{name}"

Json = dict[str, Any]


def openapi(endpoints: Sequence[Endpoint], is_open: Callable[[Right], bool]) -> Json:
    """Return the description of all paths; `is_open` says whether a right needs no token."""
    shapes = [Problem, *(e.answer for e in endpoints), *(e.body for e in endpoints if e.body)]
    schemas, components = msgspec.json.schema_components(shapes, ref_template=REFERENCES)
    by_shape = dict(zip(map(str, shapes), schemas, strict=True))
    paths: Json = {}
    for each in endpoints:
        paths.setdefault(each.path, {})[each.method.lower()] = _operation(
            each, by_shape, is_open(each.right)
        )
    described: Json = {
        "openapi": "3.1.0",
        "info": {
            "title": "streamrec",
            "version": __version__,
            "summary": "Recommendations that follow every click.",
            "license": {"name": "Apache 2.0", "identifier": "Apache-2.0"},
        },
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    }
    return described


def _operation(endpoint: Endpoint, schemas: Json, is_open: bool) -> Json:
    good = {"application/json": {"schema": schemas[str(endpoint.answer)]}}
    answers: Json = {
        str(endpoint.status): {
            "description": HTTPStatus(endpoint.status).phrase,
            "content": good,
        }
    }
    if endpoint.method == "GET":
        answers["304"] = {"description": "As it was (If-None-Match)"}
    problem = {"application/problem+json": {"schema": schemas[str(Problem)]}}
    for status in sorted({*endpoint.problems, *OF_ALL, *(WITHOUT if is_open else WITH_TOKEN)}):
        answers[str(status)] = {"description": HTTPStatus(status).phrase, "content": problem}
    found: Json = {
        "operationId": endpoint.name,
        "summary": endpoint.meaning,
        "tags": [endpoint.right],
        "security": [] if is_open else [{"token": []}],
        "parameters": [
            {
                "name": each.name,
                "in": each.place,
                "required": each.place == "path",
                "description": each.meaning,
                "schema": each.schema,
                "example": each.example,
            }
            for each in endpoint.parameters
        ],
        "responses": answers,
    }
    if endpoint.body:
        content = {"schema": schemas[str(endpoint.body)], "example": endpoint.example}
        found["requestBody"] = {"required": True, "content": {"application/json": content}}
    return found
