"""The user rows in a worker's memory: loaded when needed, stored with each commit."""

from collections.abc import Container, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from streamrec.errors import UnknownVersion
from streamrec.settings.sections import UserSettings
from streamrec.state import rows
from streamrec.state.keys import grow
from streamrec.state.user_kernel import UserArrays

Array = NDArray[Any]


class UserRows:
    """A cache of user rows. Bound: cached_users, checked after each commit."""

    def __init__(self, settings: UserSettings) -> None:
        self.settings = settings
        self._clear()

    def _clear(self) -> None:
        width, seen, n = self.settings.recent_items, self.settings.seen_items, 256
        self.row_of: dict[str, int] = {}
        self._new: set[str] = set()
        self._changed: dict[str, int] = {}
        self._loaded: list[int] = []
        self.arrays = UserArrays(
            np.zeros((n, width), np.uint64),
            np.zeros((n, width), np.int64),
            np.zeros((n, width), np.uint8),
            np.zeros((n, width), np.uint8),
            np.zeros((n, seen), np.uint32),
            *(np.zeros(n, t) for t in (np.int32, np.int32, np.int32, np.uint32)),
            *(np.zeros(n, t) for t in (np.int64, np.int64, np.float32, np.uint64)),
        )

    def missing(self, users: Sequence[str]) -> list[str]:
        """Return the distinct users whose rows must be loaded before a fold."""
        return [user for user in dict.fromkeys(users) if user not in self.row_of]

    def load(self, users: Sequence[str], blobs: Sequence[bytes | None]) -> None:
        """Cache rows from Redis; None is a new user. Raises UnknownVersion."""
        first = len(self.row_of)
        self.row_of.update(zip(users, range(first, first + len(users)), strict=True))
        if len(self.row_of) > len(self.arrays.recent):
            self.arrays = UserArrays._make(grow(a, len(self.row_of)) for a in self.arrays)
        self._new.update(u for u, blob in zip(users, blobs, strict=True) if blob is None)
        at = np.array([first + n for n, blob in enumerate(blobs) if blob is not None])
        stored = [blob for blob in blobs if blob is not None]
        if not stored:
            return
        headers = rows.headers_of(stored, rows.USER_HEADER, "user")
        sizes = np.stack([headers["recent"]] * 4 + [headers["seen"]], axis=1)
        if (sizes.max(axis=0) > [c.shape[1] for c in self._columns()]).any():
            raise UnknownVersion(
                "user rows in Redis are longer than users.recent_items or users.seen_items: "
                "raise the settings to what they were, or start from an empty Redis"
            )
        rows.unpack(stored, headers.dtype.itemsize, self._columns(), at, sizes)
        for name, array in self._fields():
            array[at] = headers[name]
        self._loaded.extend(at.tolist())

    def history_keys(self, *, only_loaded: bool) -> NDArray[np.uint64]:
        """Return the item keys in all cached histories, or in those loaded since the last call."""
        if only_loaded and not self._loaded:
            return np.zeros(0, np.uint64)
        at = np.array(self._loaded, np.int64) if only_loaded else np.arange(len(self.row_of))
        self._loaded = []
        keys = self.arrays.keys[at]
        used: NDArray[np.uint64] = keys[np.arange(keys.shape[1]) < self.arrays.recent[at][:, None]]
        return used

    def note_changed(self, users: Sequence[str]) -> None:
        """Mark rows for the next commit."""
        self._changed.update((user, self.row_of[user]) for user in users)

    @property
    def created(self) -> int:
        """How many marked rows are not stored yet."""
        return len(self._new & self._changed.keys())

    def changed(self) -> dict[bytes, bytes]:
        """Return the marked rows' bytes by user."""
        at = np.fromiter(self._changed.values(), np.int64, len(self._changed))
        headers = np.zeros(len(at), rows.USER_HEADER)
        for name, array in self._fields():
            headers[name] = array[at]
        sizes = np.stack([headers["recent"]] * 4 + [headers["seen"]], axis=1)
        blobs = rows.pack(headers, self._columns(), at, sizes)
        return dict(zip((user.encode() for user in self._changed), blobs, strict=True))

    def committed(self) -> None:
        """Note that the marked rows are stored; empty the cache when it is over its bound."""
        self._new -= self._changed.keys()
        self._changed = {}
        # never all of the stored ones, or none could be evicted
        if len(self.row_of) > min(self.settings.cached_users, self.settings.max_users // 2):
            self._clear()

    def _columns(self) -> tuple[Array, ...]:
        a = self.arrays
        return a.keys, a.ts, a.types, a.takes, a.seen

    def _fields(self) -> tuple[tuple[str, Array], ...]:
        a = self.arrays
        return (
            ("recent", a.recent),
            ("seen", a.seen_sizes),
            ("seen_next", a.seen_next),
            ("events", a.events),
            ("tokens", a.tokens),
            ("offset", a.offsets),
            ("clock", a.clocks),
            ("segment", a.segments),
        )


def longest_idle(
    sample: Sequence[tuple[bytes, bytes]], most: int, cached: Container[str]
) -> list[bytes]:
    """Return up to `most` users of a sample, idle the longest, none of them cached."""
    idle = [(rows.decode_user(blob).clock, name) for name, blob in sample]
    return [name for _, name in sorted(idle) if name.decode() not in cached][:most]
