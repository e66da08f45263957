"""Lists and explanations that are made for a request, from the state as it is now."""

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

from starlette.exceptions import HTTPException

from streamrec.http.answers import RETRY
from streamrec.inspection.lists_now import StateReader
from streamrec.settings.sections import Settings
from streamrec.transport.redis.store import Store

MOST_WAITING = 16
SECONDS = 10.0
"""For one answer: the first one compiles, and reads all items."""

Found = TypeVar("Found")


class MadeNow:
    """Asks a copy of all items, which is read at the first question and then kept up to date.

    One question at a time: each takes a processor for itself. What would wait too long is refused.
    """

    def __init__(self, settings: Settings, seconds: float = SECONDS) -> None:
        self._settings, self._seconds = settings, seconds
        self._thread = ThreadPoolExecutor(1, "made-now")
        self._state: StateReader | None = None
        self._store: Store | None = None
        self._waiting = 0
        self._lock = threading.Lock()

    async def ask(self, question: Callable[[StateReader], Found]) -> Found:
        """Return what the question returns. Raises HTTPException 503 where it takes too long."""
        try:
            asked = asyncio.wrap_future(self._submit(question))
            return await asyncio.wait_for(asked, self._seconds)
        except TimeoutError:
            raise self._too_long() from None

    def asked(self, question: Callable[[StateReader], Found]) -> Found:
        """Return what the question returns, to who waits in a thread. Raises as `ask`."""
        asked = self._submit(question)
        try:
            return asked.result(self._seconds)
        except TimeoutError:
            asked.cancel()
            raise self._too_long() from None

    def close(self) -> None:
        """Answer no more; what is being made comes to its end."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    def _submit(self, question: Callable[[StateReader], Found]) -> "Future[Found]":
        """Put a question behind the others; raises HTTPException 503 where too many wait."""
        with self._lock:
            if self._waiting >= MOST_WAITING:
                raise HTTPException(503, "Too many such requests wait: try again", RETRY)
            self._waiting += 1
        asked = self._thread.submit(self._answer, question)
        asked.add_done_callback(self._leave)
        return asked

    def _leave(self, asked: "Future[Any]") -> None:
        with self._lock:
            self._waiting -= 1

    def _too_long(self) -> HTTPException:
        return HTTPException(503, f"Not made within {self._seconds:g} s", RETRY)

    def _answer(self, question: Callable[[StateReader], Found]) -> Found:
        try:
            if self._state is None:
                self._store = self._store or Store(self._settings.redis)
                self._state = StateReader(self._settings, self._store)
            return question(self._state)
        except Exception:
            self._state = None  # the next question reads all items anew
            raise
