"""What moves between user shards: a visitor's row, taken where it was and added to the user's.

The row moves as it is, with what is held of it (newcomers.py): nothing is taught of it.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple, Self

import msgspec
import numpy as np
from numpy.typing import NDArray

from streamrec.errors import UnknownVersion
from streamrec.events.checks import Rejected
from streamrec.events.merging import NONE_BEFORE, Ask, Give, encode_merge
from streamrec.settings.mappings import FieldMapping
from streamrec.state import history
from streamrec.state.keys import key_of
from streamrec.state.user_kernel import UserRules
from streamrec.state.user_rows import UserArrays, UserRow, decode_user

FORGETS = 256
"""The latest forget messages that are looked at when a row arrives."""
Moves = Sequence[tuple[int | None, Ask | Give]]
"""Messages to send: to a partition, None: to all."""


class Arrival(NamedTuple):
    """A row that comes to a user before event number `before` of a batch."""

    before: int
    row: int  # the user's
    offset: int
    time: int  # the log's, ms
    what: Give
    given: UserRow


class Departure(NamedTuple):
    """A row that leaves: the visitor's, as it is after the batch."""

    row: int
    offset: int
    time: int  # the log's, ms
    what: Ask


class Marks:
    """Which moves a shard has taken, and who was forgotten. Bound: a number a shard, FORGETS.

    A row that was asked for before its user was forgotten, or its visitor, is forgotten with them.
    """

    def __init__(self) -> None:
        self.taken: dict[str, int] = {}  # by sender: `at` of the last that was taken
        self._forgets: dict[str, int] = {}  # key of a user: offset of the forget message

    @classmethod
    def restore(cls, stored: bytes | None) -> Self:
        """Return what the last commit left; None: a shard that has stored none yet."""
        marks = cls()
        if stored is not None:
            found = json.loads(stored)
            marks.taken, marks._forgets = found["taken"], found["forgets"]
        return marks

    def stored(self) -> str:
        """Return the form in which they are stored."""
        return json.dumps({"taken": self.taken, "forgets": self._forgets})

    def is_fresh(self, what: Ask | Give) -> bool:
        """Say whether a message is the next of its sender, and note it."""
        if not what.after <= self.taken.get(what.by, NONE_BEFORE) < what.at:
            return False
        self.taken[what.by] = what.at
        return True

    def note_forget(self, user: str, offset: int) -> None:
        """Note a forget message."""
        name = f"{key_of(user):x}"
        self._forgets.pop(name, None)
        self._forgets[name] = offset
        if len(self._forgets) > FORGETS:
            del self._forgets[next(iter(self._forgets))]

    def is_forgotten(self, what: Give) -> bool:
        """Say whether user or visitor was forgotten after the merge that a row comes of."""
        names = (f"{key_of(name):x}" for name in (what.user, what.visitor))
        return max(self._forgets.get(name, -1) for name in names) > what.asked


def addressed(
    moves: Moves, mapping: FieldMapping, partitions: int
) -> Iterator[tuple[int, bytes, bytes]]:
    """Yield partition, key and value of the messages that the moves of a batch are, in order."""
    last: dict[int, int] = {}
    for to, what in sorted(moves, key=_at):
        name = what.user if isinstance(what, Give) else what.visitor
        for number in range(partitions) if to is None else (to,):
            chained = msgspec.structs.replace(what, after=last.get(number, NONE_BEFORE))
            yield number, name.encode(), encode_merge(mapping, chained)
            last[number] = what.at


def _at(move: tuple[int | None, Ask | Give]) -> int:
    return move[1].at


def row_of(what: Give) -> UserRow | Rejected:
    """Return the row that a message carries, or why it cannot be read."""
    try:
        row = decode_user(what.row)
        if any(int(code) >= len(what.types) for code in (*row.types, *row.earlier_types)):
            return Rejected("schema", "a row whose types of events have no names")
        return row
    except UnknownVersion:
        return Rejected("unknown_version", "a visitor's row that this program does not read")
    except (ValueError, IndexError):
        return Rejected("schema", "a visitor's row that nobody can read")


def keys_of(arrivals: Sequence[Arrival]) -> NDArray[np.uint64]:
    """Return the keys of the items in the histories that come to users."""
    return np.concatenate([np.zeros(0, np.uint64), *(one.given.keys for one in arrivals)])


def add_row(users: UserArrays, one: Arrival, codes: Mapping[str, int], rules: UserRules) -> None:
    """Add a visitor's row to a user's, as if the user had done what the visitor did.

    Of items in both histories the later time counts, and whether that event is held; at equal times
    the visitor's come after the user's. What does not fit falls out at the old end. codes: of the
    types, in this shard.
    """
    at, given = one.row, one.given
    entries: Any = (
        users.keys[at], users.ts[at], users.types[at], users.takes[at], users.held[at],
        users.gaps[at],
    )  # fmt: skip
    earlier: Any = users.earlier_keys[at], users.earlier_ts[at], users.earlier_types[at]
    size, past = np.int64(users.recent[at]), np.int64(users.earlier[at])
    gaps = np.zeros(len(given.keys), np.uint8)
    gaps[: len(given.gaps)] = given.gaps
    lists = given.keys, given.ts, given.types.tolist(), given.takes.tolist(), given.held, gaps
    before = given.earlier_keys, given.earlier_ts, given.earlier_types.tolist()
    for key, ts, kind, takes, held, gap in zip(*lists, strict=True):
        code = np.int64(codes[one.what.types[kind]])
        place = history.index_of(entries[0], size, key)
        if place >= 0:
            latest = entries[1][place], np.int64(entries[2][place])
            past = history.note_earlier(earlier, past, (key, ts, code), latest)
        size, fell, out = history.take(entries, size, key, ts, code, bool(held), rules.gap_ms)
        if out:
            past = history.drop_earlier(earlier, past, np.uint64(fell))
        place = history.index_of(entries[0], size, key)
        if place >= 0:
            entries[3][place] = min(255, int(entries[3][place]) + takes - 1)
            entries[5][place] = entries[5][place] or gap
            # what was done before then is older than the item's latest event, if as old
            latest = entries[1][place] + 1, np.int64(entries[2][place])
            for _, when, kind in (e for e in zip(*before, strict=True) if e[0] == key):
                code = np.int64(codes[one.what.types[kind]])
                past = history.note_earlier(earlier, past, (key, when, code), latest)
        if out and rules.exclude == history.EXCLUDE["user"]:
            _mark_seen(users, at, np.uint64(fell))
    users.recent[at], users.earlier[at] = size, past
    users.gapped[at] = size if rules.gap_ms else 0
    for short in np.roll(given.seen, -int(given.seen_next)).astype(np.uint64):
        _mark_seen(users, at, short)
    users.events[at] += given.events
    users.clock[at] = max(int(users.clock[at]), one.time)
    users.offset[at] = one.offset
    users.segment[at] = users.segment[at] or given.segment


def _mark_seen(users: UserArrays, at: int, key: np.uint64) -> None:
    users.seen_size[at], users.seen_next[at] = history.mark_seen(
        users.seen[at], users.seen_size[at], users.seen_next[at], key
    )
