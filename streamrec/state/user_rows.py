"""User rows: their columns, and those that a worker keeps in memory between commits."""

from collections import namedtuple
from collections.abc import Container, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from streamrec.settings.sections import UserSettings
from streamrec.state.schema import Arrays, Column, Kind

Array = NDArray[Any]
USERS = "users"
NOBODY = "~nobody"
"""No user's id: those may not begin with ~."""


def user_columns(
    recent_items: int = 65_535, seen_items: int = 65_535, gaps: bool = True
) -> tuple[Column, ...]:
    """Return what a user row is made of; the lists are oldest first.

    gaps: whether there may be any; in memory there is room for them.
    """
    most = recent_items if gaps else 0
    scalars = (
        ("events", "<u4"),
        ("recent", "<u2"),  # entries of the history
        ("seen_size", "<u2"),
        ("seen_next", "<u2"),  # the oldest of a full ring of seen hashes, overwritten next
        ("earlier", "<u2"),  # entries of what was done with the history's items before
        ("gapped", "<u2"),  # entries of the history, where lists may hold repeats; else 0
        ("tokens", "<f4"),
        ("offset", "<i8"),  # of the last event that changed the row
        ("clock", "<i8"),  # log time of the last event, ms
        ("segment", "<u8"),  # key of the segment last named, or 0
    )
    history = (("keys", "<u8"), ("ts", "<i8"), ("types", "u1"), ("takes", "u1"), ("held", "u1"))
    earlier = (("earlier_keys", "<u8"), ("earlier_ts", "<i8"), ("earlier_types", "u1"))
    return (
        *(Column(name, dtype, 0, USERS) for name, dtype in scalars),
        *(Column(name, dtype, recent_items, USERS, "recent") for name, dtype in history),
        Column("gaps", "u1", most, USERS, "gapped"),  # see sources/repeats.py
        # of items of the history, the newest event of each type but the latest event's
        *(Column(name, dtype, recent_items, USERS, "earlier") for name, dtype in earlier),
        Column("seen", "<u4", seen_items, USERS, "seen_size"),  # hashes of what is in no history
    )


NAMES = tuple(column.name for column in user_columns())
if TYPE_CHECKING:
    UserRow: TypeAlias = Any
    UserArrays: TypeAlias = Any
else:
    UserRow = namedtuple("UserRow", NAMES)  # one row: numbers, and an array for each list
    UserArrays = namedtuple("UserArrays", NAMES)  # many rows: the kernels' view of them
_KIND = Kind(USERS, user_columns())
SCALARS = len(_KIND.fixed)
_LISTS = tuple((c.name, NAMES.index(c.sized_by)) for c in _KIND.lists)


def decode_user(blob: bytes) -> UserRow:
    """Return one stored row; raises UnknownVersion."""
    return UserRow(**_KIND.read(blob))


def no_user() -> UserRow:
    """Return the row of a stranger: no history."""
    lists = {c.name: np.frombuffer(b"", c.dtype) for c in _KIND.lists}
    return UserRow(**{name: lists.get(name, 0) for name in NAMES})


class UserRows:
    """A cache of user rows. Bound: cached_users, checked after each commit."""

    def __init__(self, settings: UserSettings) -> None:
        self.settings = settings
        self._columns = user_columns(settings.recent_items, settings.seen_items)
        self.kind = Kind(USERS, self._columns, "users.recent_items or users.seen_items")
        self._clear()

    def _clear(self) -> None:
        self.row_of: dict[str, int] = {}
        self._used = 0  # rows of the arrays, those of forgotten users among them
        self._new: set[str] = set()
        self.dropped: set[str] = set()  # users whose stored row goes with the next commit
        self._former: list[int] = []  # rows of users who were forgotten since the last commit
        self._changed: dict[str, int] = {}
        self._loaded: list[int] = []
        self._rows = Arrays(self._columns, 256)
        self.arrays: UserArrays = UserArrays(*self._rows)

    def missing(self, users: Sequence[str]) -> list[str]:
        """Return the distinct users whose rows must be loaded before a fold."""
        return [user for user in dict.fromkeys(users) if user not in self.row_of]

    def load(self, users: Sequence[str], blobs: Sequence[bytes | None]) -> None:
        """Cache rows from Redis; None is a new user. Raises UnknownVersion."""
        first = self._used
        self.row_of.update(zip(users, range(first, first + len(users)), strict=True))
        self._reserve(len(users))
        self._new.update(u for u, blob in zip(users, blobs, strict=True) if blob is None)
        stored = [blob for blob in blobs if blob is not None]
        if stored:
            at = np.array([first + n for n, blob in enumerate(blobs) if blob is not None])
            self.kind.unpack(self._rows, at, stored)
            self._loaded.extend(at.tolist())

    def forget(self, user: str) -> int:
        """Give a cached user an empty row, and return the former one.

        It keeps what is learnt of the batch until the commit, which deletes the stored row.
        """
        former = self.row_of[user]
        if user not in self._new:
            self.dropped.add(user)
        self._new.add(user)
        self._changed.pop(user, None)
        self._former.append(former)
        self.row_of[user] = self._used
        self._reserve(1)
        return former

    def drop(self, user: str) -> None:
        """Forget that there was a user; the row is not used again."""
        self.row_of.pop(user, None)
        self._new.discard(user)

    def keep_latest(self, most: int) -> None:
        """Keep the `most` cached users who were the last to act, where nothing else stores them."""
        names, at = list(self.row_of), np.fromiter(self.row_of.values(), np.int64)
        kept = np.sort(np.argsort(-self.arrays.clock[at], kind="stable")[:most])
        blobs = self.kind.pack(self._rows, at[kept])
        self._clear()
        self.load([names[k] for k in kept.tolist()], blobs)

    def nobody(self) -> int:
        """Return a row for events that leave nothing of their user; it is never stored."""
        if NOBODY not in self.row_of:
            self.load([NOBODY], [None])
        return self.row_of[NOBODY]

    def row(self, user: str) -> UserRow:
        """Return a read-only view of a cached UserRow."""
        at, arrays = self.row_of[user], self.arrays
        numbers = [array.item(at) for array in arrays[:SCALARS]]
        lists = [getattr(arrays, name)[at, : numbers[size]] for name, size in _LISTS]
        for column in lists:
            column.flags.writeable = False
        return UserRow(*numbers, *lists)

    def packed(self, row: int) -> bytes:
        """Return the stored form of a row of the arrays."""
        [blob] = self.kind.pack(self._rows, np.array([row]))
        return blob

    def history_keys(self, *, only_loaded: bool) -> NDArray[np.uint64]:
        """Return the item keys in all cached histories, or in those loaded since the last call."""
        if only_loaded and not self._loaded:
            return np.zeros(0, np.uint64)
        at = np.array(self._loaded, np.int64) if only_loaded else np.arange(self._used)
        self._loaded = []
        keys = self.arrays.keys[at]
        used: NDArray[np.uint64] = keys[np.arange(keys.shape[1]) < self.arrays.recent[at][:, None]]
        return used

    def note_changed(self, users: Sequence[str]) -> None:
        """Mark rows for the next commit."""
        self._changed.update((user, self.row_of[user]) for user in users)

    def _reserve(self, more: int) -> None:
        self._used += more
        if self._rows.reserve(self._used):
            self.arrays = UserArrays(*self._rows)

    @property
    def created(self) -> int:
        """How many marked rows are not stored yet."""
        return len(self._new & self._changed.keys())

    def changed(self) -> dict[bytes, bytes]:
        """Return the marked rows' bytes by user."""
        at = np.fromiter(self._changed.values(), np.int64, len(self._changed))
        blobs = self.kind.pack(self._rows, at)
        return dict(zip((user.encode() for user in self._changed), blobs, strict=True))

    def committed(self) -> None:
        """Note that the marked rows are stored; empty the cache when it is over its bound."""
        self._new -= self._changed.keys()
        self._changed, self.dropped = {}, set()
        if self._former:
            for column in self._rows:
                column[self._former] = 0
            self._former = []
        # never all of the stored ones, or none could be evicted
        if self._used > min(self.settings.cached_users, self.settings.max_users // 2):
            self._clear()


def longest_idle(
    sample: Sequence[tuple[bytes, bytes]], most: int, cached: Container[str]
) -> list[bytes]:
    """Return up to `most` users of a sample, idle the longest, none of them cached."""
    idle = [(int(decode_user(blob).clock), name) for name, blob in sample]
    return [name for _, name in sorted(idle) if name.decode() not in cached][:most]
