"""Events of a file in memory: columns in time order, with ids as codes into lists of names."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from hashlib import blake2b
from typing import Any, Self

import msgspec
import numpy as np
from numpy.typing import NDArray

encode = msgspec.json.encode


FORGOTTEN = -1
"""In the visitor's place: the user is to be forgotten."""
Control = tuple[int, int, int]
"""Place, user, and the visitor whose history is that user's."""


@dataclass(frozen=True)
class EventTable:
    """Events sorted by time, 17 bytes each (25 with values) plus one string for each distinct id.

    `users`, `items` int32[n] and `types` int8[n] index their `*_names`; `ts` int64[n] is epoch
    milliseconds; `values` float64[n] or None, NaN where an event has none; `catalogue` has the
    metadata of an item by its id, as messages of the items topic; `user_word` is what a user is;
    `sessions` int64[n] tells a user's sessions apart, None where the file names none; `segments`
    int32[n] index `segment_names`, "" where an event has none; `personal` bool[n] is False where
    nothing may be kept of the user, None where it is True for all; `controls` are users to forget
    and visitors who become users, each before the event at its place (n: after all), by place;
    `refused` rows of the file are not in it.
    """

    name: str
    users: NDArray[np.int32]
    items: NDArray[np.int32]
    types: NDArray[np.int8]
    ts: NDArray[np.int64]
    user_names: Sequence[str]
    item_names: Sequence[str]
    type_names: Sequence[str]
    values: NDArray[np.float64] | None = None
    catalogue: dict[str, dict[str, Any]] = field(default_factory=dict)
    user_word: str = "user"
    sessions: NDArray[np.int64] | None = None
    segments: NDArray[np.int32] | None = None
    segment_names: Sequence[str] = ()
    personal: NDArray[np.bool_] | None = None
    controls: Sequence[Control] = ()
    refused: int = 0

    def __len__(self) -> int:
        return len(self.ts)

    def sorted(self) -> Self:
        """Return the table in time order; events of one millisecond keep their order."""
        if len(self.ts) < 2 or bool((self.ts[1:] >= self.ts[:-1]).all()):
            return self
        return self.taken(np.argsort(self.ts, kind="stable"))

    def taken(self, at: NDArray[np.int64] | slice) -> Self:
        """Return the table of these events; who is to be forgotten or merged is left out."""
        columns = ("users", "items", "types", "ts", "values", "sessions", "segments", "personal")
        held = {name: getattr(self, name) for name in columns}
        taken: dict[str, Any] = {k: v[at] for k, v in held.items() if v is not None}
        return replace(self, **taken, controls=())

    def controls_at(self) -> dict[int, list[tuple[int, int]]]:
        """Return user and visitor, or FORGOTTEN, before the event at each place."""
        found: dict[int, list[tuple[int, int]]] = {}
        for place, user, visitor in self.controls:
            found.setdefault(place, []).append((user, visitor))
        return found

    def digest(self) -> str:
        """Return 12 hex digits that are the same for the same events in the same order."""
        total = blake2b(digest_size=6)
        for column in (self.users, self.items, self.types, self.ts):
            total.update(np.ascontiguousarray(column).data)
        for names in (self.user_names, self.item_names, self.type_names):
            total.update(encode(list(names)))
        if self.personal is not None:
            total.update(self.personal.tobytes())
        return total.hexdigest()

    def title(self, item: str) -> str:
        """Return the item's title, or its id where the table knows none."""
        return str(self.catalogue.get(item, {}).get("title") or item)


class EventEncoder:
    """Writes the messages of a table: key (user id) and value (JSON) of each event.

    With `ids` every event gets an id made of the table's digest and its position, so that a
    repeated replay of the same events is dropped as duplicates (as far as the duplicate window
    reaches).
    """

    def __init__(self, table: EventTable, ids: bool = False) -> None:
        self._table = table
        self._keys = [name.encode() for name in table.user_names]
        self._users = [b'{"user":%b,"item":' % encode(name) for name in table.user_names]
        self._items = [b'%b,"type":' % encode(name) for name in table.item_names]
        self._types = [b'%b,"ts":' % encode(name) for name in table.type_names]
        self._digest = table.digest().encode() if ids else b""
        self._controls = table.controls_at()

    def messages(self, start: int, stop: int) -> list[tuple[bytes, bytes]]:
        """Return (key, value) of events `start` to `stop`, and of the controls between them."""
        table = self._table
        events = self._events(start, stop)
        if not self._controls:
            return events
        found = []
        for place, event in enumerate(events, start):
            found += [*self._of_controls(place), event]
        return found + (self._of_controls(stop) if stop >= len(table) else [])

    def _of_controls(self, place: int) -> list[tuple[bytes, bytes]]:
        found, names = [], self._table.user_names
        for user, visitor in self._controls.get(place, ()):
            message = {"user": names[user], "type": "forget"}
            if visitor != FORGOTTEN:
                message |= {"type": "merge", "from": names[visitor]}
            found.append((self._keys[user], encode(message)))
        return found

    def _events(self, start: int, stop: int) -> list[tuple[bytes, bytes]]:
        table = self._table
        heads = zip(
            table.users[start:stop].tolist(),
            table.items[start:stop].tolist(),
            table.types[start:stop].tolist(),
            table.ts[start:stop].tolist(),
            strict=True,
        )
        tails = self._tails(start, stop)
        return [
            (
                self._keys[user],
                b"%b%b%b%d%b}"
                % (self._users[user], self._items[item], self._types[kind], ts, tail),
            )
            for (user, item, kind, ts), tail in zip(heads, tails, strict=True)
        ]

    def _tails(self, start: int, stop: int) -> list[bytes]:
        stop = min(stop, len(self._table))
        tails = [b""] * (stop - start)
        if self._digest:
            tails = [b',"id":"%b-%d"' % (self._digest, row) for row in range(start, stop)]
        segments, names = self._table.segments, self._table.segment_names
        if segments is not None:
            for n, code in enumerate(segments[start:stop].tolist()):
                if names[code]:
                    tails[n] += b',"segment":%b' % encode(names[code])
        if self._table.personal is not None:
            for n in np.flatnonzero(~self._table.personal[start:stop]).tolist():
                tails[n] += b',"personal":false'
        values = self._table.values
        if values is not None:
            for n, value in enumerate(values[start:stop].tolist()):
                if value == value:  # NaN: the event has no value
                    tails[n] += b',"value":%b' % encode(value)
        return tails
