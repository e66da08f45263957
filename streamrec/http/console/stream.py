"""Server-sent events: one user's list, each time that it changes."""

import asyncio
import logging
import threading
import time
from collections.abc import AsyncIterator

import msgspec
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.responses import StreamingResponse

from streamrec.client import Recommendations
from streamrec.errors import StoreError
from streamrec.http.console.clicks import Clicks
from streamrec.http.console.lists import Shown, shown
from streamrec.http.readers import Readers

logger = logging.getLogger(__name__)
MOST = 100
LOOK_SECONDS = 0.5
WAITING_SECONDS = 0.01
"""How often Redis is asked, without and with a click that waits for its list."""
PING_SECONDS = 15.0
REST_SECONDS = 1.0
HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}


class Streams:
    """The open streams. Bound: MOST; one more is refused."""

    def __init__(
        self, readers: Readers, clicks: Clicks, stop: threading.Event, pictures: str
    ) -> None:
        self._readers, self._clicks, self._stop = readers, clicks, stop
        self._pictures = pictures
        self._open = 0

    def of(self, user: str) -> StreamingResponse:
        """Return the answer that goes on until the page leaves; raises HTTPException."""
        if self._open >= MOST:
            raise HTTPException(503, f"{MOST} pages are being told of their lists: try later")
        return StreamingResponse(self._events(user), 200, HEADERS, "text/event-stream")

    async def _events(self, user: str) -> AsyncIterator[bytes]:
        known: Recommendations | None = None
        looked = said = -PING_SECONDS
        self._open += 1
        try:
            while not self._stop.is_set():
                now = time.monotonic()
                if self._clicks.is_waiting(user) or now - looked >= LOOK_SECONDS:
                    looked = now
                    known, told = await run_in_threadpool(self._look, user, known)
                    if told is not None:
                        said = now
                        yield b"event: list\ndata: " + msgspec.json.encode(told) + b"\n\n"
                if now - said >= PING_SECONDS:
                    said = now
                    yield b": still here\n\n"
                await asyncio.sleep(WAITING_SECONDS)
        finally:
            self._open -= 1

    def _look(
        self, user: str, known: Recommendations | None
    ) -> tuple[Recommendations | None, Shown | None]:
        """Return the list that is served now, and how to show it where it is another one."""
        try:
            with self._readers.one() as client:
                found = client.recommend(user)
                spent = self._clicks.milliseconds(user, found.offset) if found.personal else None
                if known is not None and spent is None and _same(known, found):
                    return known, None
                told = shown(client, user, found, self._pictures)
        except StoreError as error:
            logger.warning("a stream waits for Redis", extra={"cause": str(error)})
            time.sleep(REST_SECONDS)
            return known, None
        told.milliseconds = spent
        return found, told


def _same(known: Recommendations, found: Recommendations) -> bool:
    """Return whether two lists show the same; the popular one is made anew each second."""
    if (known.personal, known.items) != (found.personal, found.items):
        return False
    return not found.personal or known.offset == found.offset
