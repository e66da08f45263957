"""What requests bring: parameters, and a body of JSON, not too long, and not for ever."""

import asyncio
from collections.abc import Collection

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request

from streamrec.expressions.filters import make_rules
from streamrec.expressions.syntax import ExpressionError

MOST_ITEMS = 1000
MOST_FILTERS = 10
FILTER_CHARACTERS = 1000
BODY_SECONDS = 10.0
CLOSE = {"Connection": "close"}  # what is left of the body is not read


def check_names(request: Request, known: Collection[str]) -> None:
    """Refuse a misspelt parameter, so that nobody believes it did something."""
    unknown = sorted(set(request.query_params) - set(known))
    if unknown:
        text = f"Unknown parameter {unknown[0]!r}. Parameters: {', '.join(known) or 'none'}"
        raise HTTPException(400, text)


def number(request: Request) -> int | None:
    """Return `n`, if it is given."""
    text = request.query_params.get("n")
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and len(text) < 6 and 1 <= int(text) <= MOST_ITEMS):
        raise HTTPException(400, f"n must be a whole number from 1 to {MOST_ITEMS}")
    return int(text)


def flag(request: Request, name: str) -> bool:
    """Return a parameter that is true or false; false, if it is not given."""
    text = request.query_params.get(name, "false")
    if text.lower() not in ("true", "false"):
        raise HTTPException(400, f"{name} must be true or false")
    return text.lower() == "true"


def filters(request: Request) -> list[str]:
    """Return the expressions of all `filter`; raises HTTPException 400 where one is none."""
    texts = request.query_params.getlist("filter")
    if not texts:
        return []
    if len(texts) > MOST_FILTERS or sum(map(len, texts)) > FILTER_CHARACTERS:
        text = f"At most {MOST_FILTERS} filters with {FILTER_CHARACTERS} characters in all"
        raise HTTPException(400, text)
    try:
        make_rules(texts, {})
    except ExpressionError as error:
        raise HTTPException(400, f"filter: {error}") from None
    return texts


async def read_json(request: Request, most_bytes: int, seconds: float = BODY_SECONDS) -> bytes:
    """Return the body. Raises HTTPException 415, 413, 408.

    Other types are refused also because a web page may send those anywhere without asking (CORS).
    """
    kind = request.headers.get("Content-Type", "").partition(";")[0]
    if kind.strip().lower() != "application/json":
        raise HTTPException(415, "Send JSON, with Content-Type: application/json", CLOSE)
    body = bytearray()
    try:
        async with asyncio.timeout(seconds):
            async for chunk in request.stream():
                body += chunk
                if len(body) > most_bytes:
                    text = f"The body has more than {most_bytes} bytes (serve.body_bytes)"
                    raise HTTPException(413, text, CLOSE)
    except TimeoutError:
        raise HTTPException(408, f"The body did not come within {seconds:g} s", CLOSE) from None
    except ClientDisconnect:
        raise HTTPException(400, "The connection was closed within the body") from None
    return bytes(body)
