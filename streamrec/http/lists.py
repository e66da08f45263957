"""Reads the lists of all requests that wait in one round trip."""

import asyncio
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

from streamrec.client import (
    Recommendations,
    decoded,
    found_in,
    hidden_in,
    keys_of,
    without_repeats,
)
from streamrec.errors import StoreError, StreamrecError
from streamrec.http.readers import redis_of
from streamrec.settings.places import HOME
from streamrec.settings.sections import Settings
from streamrec.transport.redis.store import Store

Page = dict[str, Recommendations]
Found = Page | StreamrecError
Asked = tuple[str, tuple[str, ...]]
"""A user, and the places."""
Question = tuple[Asked, "asyncio.Future[Page]"]


class Lists:
    """Asks Redis from one thread; what comes meanwhile is asked for together afterwards.

    So the more requests there are, the less each of them costs.
    """

    def __init__(self, settings: Settings) -> None:
        self._redis, self._seconds = redis_of(settings), settings.serve.read_seconds
        self._store: Store | None = None
        self._thread = ThreadPoolExecutor(1, "lists")
        self._waiting: list[Question] = []
        self._asking: asyncio.Task[None] | None = None

    async def of(self, user: str, place: str = HOME) -> Recommendations:
        """Return a user's list at a place, or that for strangers. Raises StreamrecError."""
        return (await self.page(user, (place,)))[place]

    async def page(self, user: str, places: tuple[str, ...]) -> Page:
        """Return a user's lists by place, no item in two of them. Raises StreamrecError."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Page] = loop.create_future()
        self._waiting.append(((user, places), future))
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
            wanted = [(each, future) for each, future in asked if not future.done()]
            pages = [each for each, _ in wanted]
            try:
                found = await loop.run_in_executor(self._thread, self._read, pages)
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

    def _read(self, pages: Sequence[Asked]) -> list[Found]:
        wanted = {(user, place): keys_of(user, place) for user, places in pages for place in places}
        try:
            if self._store is None:
                self._store = Store(self._redis)
            names = list(dict.fromkeys(name for keys in wanted.values() for name in keys))
            blobs = self._store.values_or_errors(names)
            read = {name: _decoded(blob) for name, blob in zip(names, blobs, strict=True)}
            there = [each for each in read.values() if isinstance(each, Recommendations)]
            hidden = hidden_in(self._store, there)
        except StreamrecError as error:
            return [error] * len(pages)
        return [_page(page, wanted, read, hidden) for page in pages]


def _give_up(future: "asyncio.Future[Page]") -> None:
    if not future.done():
        future.set_exception(StoreError("Redis did not answer in time"))


def _decoded(blob: bytes | None | StoreError) -> Recommendations | None | StreamrecError:
    if blob is None or isinstance(blob, StoreError):
        return blob
    try:
        return decoded(blob)
    except StreamrecError as error:
        return error


def _page(
    asked: Asked,
    wanted: Mapping[tuple[str, str], Sequence[str]],
    read: Mapping[str, Recommendations | None | StreamrecError],
    hidden: set[str],
) -> Found:
    """Return the lists of one page, or why they cannot be told."""
    user, places = asked
    try:
        each = {p: _chosen(user, p, [read[n] for n in wanted[user, p]], hidden) for p in places}
    except StreamrecError as error:
        return error
    return without_repeats(each)


def _chosen(
    user: str,
    place: str,
    read: Sequence[Recommendations | None | StreamrecError],
    hidden: set[str],
) -> Recommendations:
    """Return the list; raises why it cannot be told. A failed popular one spoils no other."""
    *own, popular = read
    for each in own:
        if isinstance(each, StreamrecError):
            raise each
    there = [None if isinstance(each, StreamrecError) else each for each in read]
    found = found_in(user, place, there, hidden)
    if isinstance(popular, StreamrecError) and not found.items:
        raise popular
    return found
