"""Bodies of requests: JSON, not too long, and not for ever."""

import asyncio

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request

BODY_SECONDS = 10.0
CLOSE = {"Connection": "close"}  # what is left of the body is not read


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
