"""What a user fold takes and what it gives."""

from typing import NamedTuple

import msgspec

from streamrec.events.event import Event, Message, Rejected
from streamrec.events.merging import Ask, Give
from streamrec.state import updates

Decoded = tuple[int, int, Message]  # offset, log time in ms, what was decoded


class Counters(msgspec.Struct):
    """The conservation law: consumed = accepted + duplicate + suppressed + rejected + control."""

    consumed: int = 0
    accepted: int = 0
    duplicate: int = 0
    suppressed: int = 0
    rejected: int = 0
    control: int = 0

    @property
    def explained(self) -> int:
        """The right-hand side of the law."""
        return self.accepted + self.duplicate + self.suppressed + self.rejected + self.control


class Admitted(NamedTuple):
    """An accepted event; `row` is its user's when it came, another one if they were forgotten."""

    offset: int
    time: int  # the log's, ms
    event: Event
    row: int


class Forgotten(msgspec.Struct):
    """What a forget message dropped, as it is stored until nothing is left in other slots."""

    offset: int
    time: int  # the log's, ms
    events: int = 0  # accepted, of this user
    recent: int = 0  # entries of the history
    ids: int = 0  # in the duplicate window


class UserFold(NamedTuple):
    """What one batch did; the caller sends `records`, then stores `UserShard.changes`."""

    records: list[updates.Updates]  # one for each item partition
    rejected: list[tuple[int, Rejected]]
    accepted: list[tuple[int, Event]]  # log time, event
    scorable: list[bool]  # for each accepted event: belongs in the live metrics
    held: list[bool]  # for each accepted event: it teaches nobody but its user
    kept: list[bool]  # for each accepted event: it is part of its user's row
    forgotten: dict[str, Forgotten]
    counts: Counters  # of this batch alone
    merged: dict[str, int] = {}  # users who were given a visitor's row, and when, log time in ms
    moves: list[tuple[int | None, Ask | Give]] = []  # to send: to a partition, None: to all
    arrived: int = 0  # visitors' rows that came to users
