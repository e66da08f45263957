"""One batch of users, as a scorer goes through it."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from streamrec.ranking.lists import UserList
from streamrec.state.user_rows import UserRow

Due = Mapping[str, Sequence[tuple[str, float]]]
"""Users and since when they wait, by shard."""


class DueUser(NamedTuple):
    """A user who is due a new list, as read from Redis; one who was evicted is not."""

    name: str
    since: float  # epoch ms
    row: UserRow
    before: Mapping[int, int]  # of the last list, by item key how often in a row; where it is asked
    types: Sequence[str]  # names of the event types in the row, where rules ask


class Encoded(NamedTuple):
    """A list as it is published."""

    user: str
    offset: int  # of the user's last event that it knows; of the popular list, when it was made
    json: bytes
    shown: bytes  # for the learners
    reading: bytes  # for the trainer; of most lists none


class Made(NamedTuple):
    """The lists of a batch of users, in their order: of home, and of the other places by name."""

    home: list[UserList]
    others: Mapping[str, Sequence[UserList]]
