"""Clients of Redis for the threads that answer requests."""

from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

import msgspec

from streamrec.client import Client
from streamrec.settings.sections import RedisSettings, Settings


def redis_of(settings: Settings) -> RedisSettings:
    """Return how Redis is asked for a request.

    For half of the time that one may wait: of a Cluster another node can then still be asked.
    """
    seconds = min(settings.redis.timeout_seconds, settings.serve.read_seconds / 2)
    return msgspec.structs.replace(settings.redis, timeout_seconds=seconds)


class Readers:
    """Lends a client to one thread at a time; as many as threads that ever read at once."""

    def __init__(self, settings: RedisSettings) -> None:
        self._settings = settings
        self._idle: deque[Client] = deque()

    @contextmanager
    def one(self) -> Iterator[Client]:
        """Lend a client until the block ends."""
        try:
            client = self._idle.pop()
        except IndexError:
            client = Client(self._settings)
        try:
            yield client
        finally:
            self._idle.append(client)

    def close(self) -> None:
        """Close those that are not lent."""
        while self._idle:
            self._idle.pop().close()
