"""Reads the lists of all requests that wait in one round trip."""

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from streamrec.client import Recommendations, chosen, decoded, hidden_in
from streamrec.errors import StoreError, StreamrecError
from streamrec.http.readers import redis_of
from streamrec.settings.sections import Settings
from streamrec.transport.redis_keys import POPULAR
from streamrec.transport.redis_store import Store

Found = Recommendations | StreamrecError
Waiting = tuple[str, "asyncio.Future[Recommendations]"]


class Lists:
    """Asks Redis from one thread; what comes meanwhile is asked for together afterwards.

    So the more requests there are, the less each of them costs.
    """

    def __init__(self, settings: Settings) -> None:
        self._redis, self._seconds = redis_of(settings), settings.serve.read_seconds
        self._store: Store | None = None
        self._thread = ThreadPoolExecutor(1, "lists")
        self._waiting: list[Waiting] = []
        self._asking: asyncio.Task[None] | None = None

    async def of(self, user: str) -> Recommendations:
        """Return a user's list, or the popular one. Raises StreamrecError."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Recommendations] = loop.create_future()
        self._waiting.append((user, future))
        if self._asking is None or self._asking.done():
            self._asking = loop.create_task(self._ask())
        end = loop.call_later(self._seconds, _give_up, future)
        try:
            return await future
        finally:
            end.cancel()

    def close(self) -> None:
        """Ask no more."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    async def _ask(self) -> None:
        """Ask for all that wait, until nobody does."""
        loop = asyncio.get_running_loop()
        while self._waiting:
            asked, self._waiting = self._waiting, []
            wanted = [(user, future) for user, future in asked if not future.done()]
            users = [user for user, _ in wanted]
            try:
                found = await loop.run_in_executor(self._thread, self._read, users)
            except Exception as error:  # a fault of ours: each of them is to hear of it
                for _, future in wanted:
                    if not future.done():
                        future.set_exception(error)
                continue
            for (_, future), each in zip(wanted, found, strict=True):
                if future.done():  # waited too long
                    continue
                if isinstance(each, StreamrecError):
                    future.set_exception(each)
                else:
                    future.set_result(each)

    def _read(self, users: Sequence[str]) -> list[Found]:
        try:
            if self._store is None:
                self._store = Store(self._redis)
            blobs = self._store.lists_or_errors([*users, POPULAR])
            *own, popular = [_decoded(blob) for blob in blobs]
            there = [each for each in (*own, popular) if isinstance(each, Recommendations)]
            hidden = hidden_in(self._store, there)
        except StreamrecError as error:
            return [error] * len(users)
        return [_chosen(user, mine, popular, hidden) for user, mine in zip(users, own, strict=True)]


def _give_up(future: "asyncio.Future[Recommendations]") -> None:
    if not future.done():
        future.set_exception(StoreError("Redis did not answer in time"))


def _decoded(blob: bytes | None | StoreError) -> Recommendations | None | StreamrecError:
    if blob is None or isinstance(blob, StoreError):
        return blob
    try:
        return decoded(blob)
    except StreamrecError as error:
        return error


def _chosen(
    user: str,
    own: Recommendations | None | StreamrecError,
    popular: Recommendations | None | StreamrecError,
    hidden: set[str],
) -> Found:
    """Return the list, or why it cannot be told; a failed popular one spoils no other."""
    if isinstance(own, StreamrecError):
        return own
    if not isinstance(popular, StreamrecError):
        return chosen(user, own, popular, hidden)
    found = chosen(user, own, None, hidden)
    return found if found.items else popular
