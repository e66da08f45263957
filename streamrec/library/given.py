"""What a caller gives, as events and items: frames by the rules of files, dicts as JSON."""

import warnings
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np

from streamrec.errors import ConfigurationError
from streamrec.events.checks import Rejected
from streamrec.events.event import Event, EventDecoder, Forget, Item, decode_item
from streamrec.events.merging import Merge
from streamrec.files.cells import Reasons
from streamrec.files.event_table import EventTable
from streamrec.files.law import Law
from streamrec.files.reading import EVENT_FIELDS, ITEM_FIELDS, Reading
from streamrec.library.tables import is_frame, is_table, table_of
from streamrec.settings.sections import Settings

MOST_KEPT = 1000
"""Refused rows that can be read; more are only counted."""
EVENT_OPTION, ITEM_OPTION = "columns={'FIELD': COLUMN}", "item_columns={'FIELD': COLUMN}"
Columns = Mapping[str, str] | None
"""Our field and the column that it is in, where that has another name."""


class Refused(NamedTuple):
    """A row that could not be taken in: its number from 1, the reason, and that in words."""

    row: int
    reason: str
    detail: str


class Account(NamedTuple):
    """Of one call: how many rows there were, how many are refused, and the first 1,000 of them."""

    rows: int
    refused: int
    first: tuple[Refused, ...]

    def warn(self, what: str, level: int) -> None:
        """Warn of refused rows, if there are any; level: of the caller, as in warnings.warn."""
        if not self.refused:
            return
        counts = Counter(one.reason for one in self.first).most_common()
        reasons = ", ".join(f"{count:,} {reason}" for reason, count in counts)
        first = self.first[0]
        text = (
            f"{self.refused:,} of {self.rows:,} {what} are refused: {reasons} "
            f"(row {first.row}: {first.detail}); .refused has them."
        )
        warnings.warn(text, UserWarning, stacklevel=level + 1)


def account_of(rows: int, wrong: Mapping[int, Rejected]) -> Account:
    """Return the account of rows of which some, by number from 0, are refused."""
    some = [Refused(row + 1, wrong[row].reason, wrong[row].detail) for row in sorted(wrong)]
    return Account(rows, len(some), tuple(some[:MOST_KEPT]))


def is_one(given: Any) -> bool:
    """Tell whether one event or item is given, and not many."""
    return isinstance(given, Mapping | Event | Item)


def as_event(decoder: EventDecoder, given: Any) -> Event | Forget | Merge | Rejected:
    """Return the event that a dict is by docs/events.md; its `ts` is needed."""
    if isinstance(given, Event):
        given = msgspec.structs.asdict(given)
    if not isinstance(given, Mapping):
        return Rejected("schema", f"an event is a dict, not {type(given).__name__}")
    found = decoder.decode_sent(_json(given), -1)
    if isinstance(found, Rejected) and found.detail.endswith("is missing"):
        return Rejected(found.reason, f"{found.detail}; the event has {', '.join(map(str, given))}")
    return found


def events_given(
    given: Any, settings: Settings, columns: Columns = None
) -> tuple[EventTable, Account]:
    """Return many events as a log in time order: of a frame, a file, or an iterable of dicts.

    Raises ConfigurationError where a column is missing or nothing can be read.
    """
    if is_table(given):
        from streamrec.files.events import events_in

        reading = Reading(
            columns=_known(columns, EVENT_FIELDS, "columns"),
            default_type=settings.events.default_type,
            law=Law(settings.events.weights),
        )
        found = _table(given, reading, EVENT_FIELDS)
        table, wrong, _ = events_in(found, reading, EVENT_OPTION)
        return table, account_of(found.rows, wrong)
    _no_columns(columns, "columns")
    decoder, refused, count = EventDecoder(settings.events), Reasons(), 0
    events, rows, asked = list[Event](), list[int](), list[tuple[int, str, str | None]]()
    for row, one in enumerate(_many(given, "events")):
        found = as_event(decoder, one)
        if isinstance(found, Rejected):
            refused[row] = found
        elif isinstance(found, Forget | Merge):
            asked.append((row, found.user, getattr(found, "visitor", None)))
        else:
            events.append(found)
            rows.append(row)
        count = row + 1
    table = table_of_events(events)
    if asked:
        from streamrec.files.events import controlled

        return controlled(table, np.array(rows, np.int64), asked), account_of(count, refused)
    return table.sorted(), account_of(count, refused)


def table_of_events(events: list[Event], name: str = "events") -> EventTable:
    """Return events as a log, in the order given."""
    users, items, types, segments = (dict[str, int]() for _ in range(4))

    def codes(names: dict[str, int], each: Iterable[str]) -> Any:
        return np.array([names.setdefault(one, len(names)) for one in each], np.int32)

    coded = codes(segments, (e.segment or "" for e in events))
    named, personal = any(segments), np.array([e.personal for e in events], np.bool_)
    return EventTable(
        name,
        codes(users, (e.user for e in events)),
        codes(items, (e.item for e in events)),
        codes(types, (e.type for e in events)).astype(np.int8),
        np.array([e.ts for e in events], np.int64),
        list(users),
        list(items),
        list(types),
        segments=coded if named else None,
        segment_names=list(segments) if named else (),
        personal=None if personal.all() else personal,
    )


def items_given(given: Any, columns: Columns = None) -> tuple[dict[str, Item], Account]:
    """Return items by id: of a frame, a file, an iterable of dicts, or one dict.

    Dicts are as docs/events.md has them; every further column of a frame is an attribute. Raises
    ConfigurationError.
    """
    if given is None:
        return {}, account_of(0, {})
    if is_table(given):
        from streamrec.files.items import items_in

        reading = Reading(columns=_known(columns, ITEM_FIELDS, "item_columns"))
        table = _table(given, reading, None)
        items, wrong = items_in(table, reading, ITEM_OPTION)
        return items, account_of(table.rows, wrong)
    _no_columns(columns, "item_columns")
    found, refused, count = dict[str, Item](), Reasons(), 0
    for row, one in enumerate([given] if is_one(given) else _many(given, "items")):
        item: Item | Rejected = Rejected("schema", f"an item is a dict, not {type(one).__name__}")
        if isinstance(one, Mapping | Item):
            item = decode_item(None, _json(one))
        if isinstance(item, Rejected):
            refused[row] = item
        else:
            found[item.item] = item
        count = row + 1
    return found, account_of(count, refused)


def _table(given: Any, reading: Reading, fields: Any) -> Any:
    """Return the cells of a file or a frame; rows that are none are refused as CSV files are."""
    if is_frame(given):
        return table_of(given)
    from streamrec.files.formats import read_table

    found = read_table(Path(given), reading, fields)
    if found.broken:
        found.settle({}, reading, "")  # raises: what is no row has no place in the account
    return found


def _many(given: Any, what: str) -> Iterator[Any]:
    if not isinstance(given, Iterable):
        raise ConfigurationError(
            f"{what} are a frame, a path or an iterable of dicts, not {type(given).__name__}."
        )
    return iter(given)


def _known(columns: Columns, fields: Any, name: str) -> Mapping[str, str]:
    for ours in columns or {}:
        if ours not in fields:
            raise ConfigurationError(f"{name}: {ours!r} is none of {', '.join(fields)}.")
    return columns or {}


def _no_columns(columns: Columns, name: str) -> None:
    if columns:
        raise ConfigurationError(f"{name} names columns of a frame or a file; dicts have keys.")


def _json(given: Any) -> bytes | None:
    """Return a dict as JSON; None, which is refused as malformed, where it has no such form."""
    try:
        return msgspec.json.encode(given, enc_hook=_plain)
    except (TypeError, ValueError, NotImplementedError, RecursionError):
        return b"what cannot be written as JSON"


def _plain(value: Any) -> Any:
    """Return a number of numpy or a moment of pandas as Python has it."""
    for name in ("to_pydatetime", "item"):
        if hasattr(value, name):
            return getattr(value, name)()
    raise NotImplementedError
