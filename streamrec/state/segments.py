"""Which of the names that events give as a segment are taken for one: those of several users.

A segment is a row beside the items, so a name that somebody made up must not be one.
"""

import json
from collections.abc import Iterable
from typing import Self

MOST = 256
"""Names that a partition knows; of more the one that is no segment goes first, last named last."""
BITS = 64
"""Users are told apart by so many bits, and not remembered otherwise."""


class Segments:
    """The names that events of one partition give, and by how many users. Bound: MOST."""

    def __init__(self, least: int) -> None:
        self._least = least
        self._users: dict[int, int] = {}  # by key: a bit for each user; the last named comes last

    def admits(self, segment: int, user: int) -> bool:
        """Take in that a user (key) names a segment (key); say whether it is one from now on."""
        users = self._users.pop(segment, 0)
        if not users and len(self._users) >= MOST:
            idle = (key for key, users in self._users.items() if not self._enough(users))
            del self._users[next(idle, next(iter(self._users)))]
        if not self._enough(users):
            users |= 1 << user % BITS
        self._users[segment] = users
        return self._enough(users)

    def stored(self) -> str:
        """Return the meta field."""
        return json.dumps(list(self._users.items()))

    @classmethod
    def restore(cls, least: int, field: bytes | None) -> Self:
        """Return what a meta field holds; without one nothing is known."""
        made = cls(least)
        made._users = dict(json.loads(field or b"[]"))
        return made

    def _enough(self, users: int) -> bool:
        return users.bit_count() >= self._least


def joined(fields: Iterable[bytes | None]) -> bytes:
    """Return the meta field of a shard that has users of all of these."""
    users: dict[int, int] = {}
    for field in fields:
        for segment, some in json.loads(field or b"[]"):
            users[segment] = users.get(segment, 0) | some
    return json.dumps(list(users.items())[-MOST:]).encode()
