"""Event files of the user's own, in any of the formats that formats.py reads."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from operator import itemgetter
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from streamrec.errors import ConfigurationError
from streamrec.events.checks import Rejected, checked_flag
from streamrec.files.cells import Reasons, absent, arrow, as_id, named, times, values
from streamrec.files.event_table import FORGOTTEN, Control, EventTable
from streamrec.files.formats import read_table
from streamrec.files.law import advice, unlawful
from streamrec.files.reading import EVENT_FIELDS, Reading
from streamrec.files.table import Table
from streamrec.settings.mappings import FORGET, MERGE

NEEDED = ("user", "item", "ts")
NO_SESSION = "\0"
"""Stands for an absent session; then gaps in time tell all sessions."""
MOST_TYPES = 127
AS_USUAL = Reading()

Say = Callable[[str], object]


def silent(words: str) -> None:
    """Say nothing."""


def read_events(file: Path, reading: Reading = AS_USUAL, say: Say = silent) -> EventTable:
    """Return the file's events in time order; `say` is told what became of the rows.

    Raises RowsRefused, with the first row, where more are refused than may be, and
    ConfigurationError where nothing can be read.
    """
    table = read_table(file, reading, EVENT_FIELDS)
    events, wrong, (what, advised) = events_in(table, reading, "--columns FIELD=COLUMN")
    say(table.settle(wrong, reading, what, advised) + _span(events.ts))
    return events


class _Cells(NamedTuple):
    """The cells of a file, row by row: names by our field as codes into texts, times, values."""

    names: dict[str, tuple[NDArray[np.int32], list[str]]]
    ts: NDArray[np.int64]
    numbers: NDArray[np.float64]
    why_not: dict[str, Reasons]
    """By our field, the rows whose cell says nothing that can be read, and why."""

    def called(self, field: str, name: str) -> NDArray[np.bool_]:
        """Return bool[rows], in which rows a field has this name."""
        codes, names = self.names[field]
        found: NDArray[np.bool_] = codes == (names.index(name) if name in names else len(names))
        return found

    def name(self, field: str, row: int) -> str:
        """Return what a field is called in a row."""
        codes, names = self.names[field]
        return names[int(codes[row])]


def events_in(
    table: Table, reading: Reading, option: str
) -> tuple[EventTable, Reasons, tuple[str, str]]:
    """Return the events of a table in time order, why rows are refused, and that in words.

    In words: what there is, and what would make more of the rows count. option: as in
    `Table.choose`. Raises ConfigurationError where nothing can be read.
    """
    cells = _read(table, reading, option)
    forget, merge = (cells.called("type", own) for own in (FORGET, MERGE))
    wrong = _wrong(cells, forget, merge)
    good = np.ones(table.rows, np.bool_)
    good[list(wrong)] = False
    control, keep = good & (forget | merge), good & ~(forget | merge)
    low = keep & (cells.numbers < (-np.inf if reading.min_value is None else reading.min_value))
    keep &= ~low
    types, names = cells.names["type"]
    _check_types(table.file, _kept(types, names, keep)[1])
    refused, unknown = unlawful(reading.law, types, names, cells.ts, keep)
    keep[list(refused)] = False
    wrong |= refused
    what = f"{keep.sum():,} events" + (f", {low.sum():,} below --min-value" if low.any() else "")
    for of, words in ((forget, "to forget a user"), (merge, "to merge a visitor")):
        what += f", {(of & control).sum():,} {words}" if (of & control).any() else ""
    made = _events(cells, keep, table.file.name, len(wrong) + len(table.broken))
    asked = [
        (row, cells.name("user", row), cells.name("visitor", row) if merge[row] else None)
        for row in np.flatnonzero(control).tolist()
    ]
    made = controlled(made, np.flatnonzero(keep), asked) if asked else made.sorted()
    return made, wrong, (what, advice(unknown))


def _read(table: Table, reading: Reading, option: str) -> _Cells:
    """Return the cells of our fields, of which the file may lack some."""
    needed = NEEDED if reading.min_value is None else (*NEEDED, "value")
    found = table.choose(EVENT_FIELDS, needed, reading, option)
    nothing = arrow().nulls(table.rows)
    cells = {ours: table.column(found[ours]) if ours in found else nothing for ours in EVENT_FIELDS}
    coded, why_not = dict[str, tuple[NDArray[np.int32], list[str]]](), dict[str, Reasons]()
    for ours, rule in _rules(reading, table.untyped).items():
        codes, names, why_not[ours] = named(cells[ours], rule)
        coded[ours] = codes, names
    ts, why_not["ts"] = times(cells["ts"], reading.time)
    numbers, why_not["value"] = values(cells["value"])
    return _Cells(coded, ts, numbers, why_not)


def _wrong(cells: _Cells, forget: NDArray[np.bool_], merge: NDArray[np.bool_]) -> Reasons:
    """Return why rows are refused; what forgets or merges a user is asked for their ids alone."""
    unsaid = np.flatnonzero(merge & cells.called("visitor", "")).tolist()
    cells.why_not["visitor"] |= dict.fromkeys(unsaid, Rejected("schema", "from is missing"))
    wrong: Reasons = {}
    for ours, reasons in cells.why_not.items():
        asked = {"user": np.ones_like(merge), "visitor": merge}.get(ours, ~(forget | merge))
        wrong = {row: why for row, why in reasons.items() if asked[row]} | wrong
    return wrong


def _events(cells: _Cells, keep: NDArray[np.bool_], name: str, refused: int) -> EventTable:
    """Return the events of the rows that are kept, as the file has them."""
    coded = {ours: _kept(*some, keep) for ours, some in cells.names.items()}
    personal = ~cells.called("personal", "False")[keep]
    session_codes, session_names = coded["session"]
    segment_codes, segment_names = coded["segment"]
    return EventTable(
        name=name,
        users=coded["user"][0],
        items=coded["item"][0],
        types=coded["type"][0].astype(np.int8),
        ts=cells.ts[keep],
        user_names=coded["user"][1],
        item_names=coded["item"][1],
        type_names=coded["type"][1],
        values=None if np.isnan(cells.numbers).all() else cells.numbers[keep],
        sessions=None if NO_SESSION in session_names else session_codes.astype(np.int64),
        segments=segment_codes if any(segment_names) else None,
        segment_names=segment_names if any(segment_names) else (),
        personal=None if personal.all() else personal,
        refused=refused,
    )


def controlled(
    table: EventTable, rows: NDArray[np.int64], asked: list[tuple[int, str, str | None]]
) -> EventTable:
    """Return the table in time order with its controls, each behind the rows above of its users.

    `rows` are the file's rows of the events, as the file has them; `asked` rows, users, and their
    visitors, None for users to forget. Who has no row above is forgotten before all.
    """
    order = np.argsort(table.ts, kind="stable")
    places = np.empty(len(order), np.int64)
    places[order] = np.arange(len(order))
    by_user = np.argsort(table.users, kind="stable")
    names = dict(zip(table.user_names, range(len(table.user_names)), strict=True))
    controls: list[Control] = []
    last: dict[int, int] = {}  # place of a user's last control

    def behind(user: int, row: int) -> int:
        first, end = np.searchsorted(table.users[by_user], [user, user + 1])
        own = by_user[first:end]
        above = own[: np.searchsorted(rows[own], row)]
        return max(int(places[above].max()) + 1 if len(above) else 0, last.get(user, 0))

    for row, *people in asked:
        users = [names.setdefault(name, len(names)) for name in people if name is not None]
        place = max(behind(user, row) for user in users)
        last.update(dict.fromkeys(users, place))
        controls.append((place, users[0], users[1] if len(users) > 1 else FORGOTTEN))
    in_time = table.taken(order)
    return replace(in_time, user_names=list(names), controls=sorted(controls, key=itemgetter(0)))


def _rules(reading: Reading, untyped: bool) -> dict[str, Callable[[Any], str]]:
    """Return what each field's cells are as names; a rule raises Refusal."""

    def or_else(cell: Any, field: str, instead: str) -> str:
        return instead if absent(cell) else as_id(cell, field, untyped)

    def kind(cell: Any) -> str:
        name = or_else(cell, "type", reading.default_type)
        return reading.types.get(name, name)

    def flag(cell: Any) -> str:
        words = {"": None, "true": True, "false": False}
        text = cell.strip().lower() if type(cell) is str else cell
        return str(checked_flag(words.get(text, cell) if type(text) is str else cell, "personal"))

    return {
        "user": partial(as_id, field="user", untyped=untyped),
        "item": partial(as_id, field="item", untyped=untyped),
        "type": kind,
        "session": partial(or_else, field="session", instead=NO_SESSION),
        "segment": partial(or_else, field="segment", instead=""),
        "personal": flag,
        "visitor": partial(or_else, field="from", instead=""),
    }


def _check_types(file: Path, names: list[str]) -> None:
    if len(names) > MOST_TYPES:
        raise ConfigurationError(
            f"{file} has {len(names)} event types, more than {MOST_TYPES}: is the column right?"
        )


def _kept(
    codes: NDArray[np.int32], names: list[str], keep: NDArray[np.bool_]
) -> tuple[NDArray[np.int32], list[str]]:
    """Return the codes of the rows that are kept, and the names that these have."""
    if keep.all():
        return codes, names
    used, left = np.unique(codes[keep], return_inverse=True)
    return left.astype(np.int32), [names[code] for code in used]


def _span(ts: NDArray[np.int64]) -> str:
    """Return the first and the last day in words: a wrong unit shows here."""
    if not len(ts):
        return ""
    first, last = (datetime.fromtimestamp(t / 1000, UTC) for t in (ts.min(), ts.max()))
    return f", {first:%Y-%m-%d} to {last:%Y-%m-%d}"
