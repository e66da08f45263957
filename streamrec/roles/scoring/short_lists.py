"""Users whose list could not be full because few items were known: the first of a new system."""

from collections import defaultdict
from typing import NamedTuple

MOST = 10_000
"""Users that are kept; the latest."""


class Short(NamedTuple):
    """Where a user's row is, and how many items could be listed when their list was made."""

    shard: str
    servable: int


class ShortLists:
    """Tells whose list is worth making again, each time the items have doubled.

    In memory only: after a restart such a user has to wait for their own next event.
    """

    def __init__(self) -> None:
        self._users: dict[str, Short] = {}

    def note(self, user: str, shard: str, servable: int, full: bool) -> None:
        """Take in that a list was made, and whether it is as long as lists may be."""
        self._users.pop(user, None)
        if not full:
            self._users[user] = Short(shard, servable)
            if len(self._users) > MOST:
                del self._users[next(iter(self._users))]

    def take(self, servable: int) -> dict[str, list[str]]:
        """Return whose list to make again, by shard, now that so many items can be listed."""
        due: dict[str, list[str]] = defaultdict(list)
        for user, short in list(self._users.items()):
            if servable >= 2 * short.servable:
                due[short.shard].append(user)
                del self._users[user]
        return due
