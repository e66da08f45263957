"""Event files of the user's own: CSV, JSON lines or Parquet, plain or gzipped."""

import csv
import gzip
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from streamrec.errors import ConfigurationError
from streamrec.files.columns import COLUMNS, choose_columns, to_milliseconds
from streamrec.files.event_table import EventTable

NONE = "\0"
"""Stands for an absent session (then gaps in time tell all sessions) or segment."""

FORMATS = {
    ".csv": "csv",
    ".tsv": "tsv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".parquet": "parquet",
    ".pq": "parquet",
}


def read_events(
    file: Path, columns: Mapping[str, str] | None = None, default_type: str = "click"
) -> EventTable:
    """Return the file's events in time order.

    `columns` names the file's column for our fields (user, item, type, ts, value, session,
    segment), with dots for nested JSON; `default_type` is the type of events that have none. The
    whole file is held in memory. Raises ConfigurationError, with the line, for what cannot be read.
    """
    wanted = _checked(columns or {})
    kind = _format(file)
    try:
        if kind == "parquet":
            from streamrec.files.parquet import read_parquet

            return read_parquet(file, wanted, default_type).sorted()
        with open_text(file) as lines:
            rows = _delimited(lines, kind) if kind != "jsonl" else _json_lines(lines, file)
            return _collect(file, rows, wanted, default_type).sorted()
    except OSError as error:
        reason = error.strerror or str(error)
        raise ConfigurationError(f"Cannot read {file}: {reason}.") from None
    except UnicodeDecodeError:
        raise ConfigurationError(f"Cannot read {file}: it is not UTF-8 text.") from None
    except csv.Error as error:
        raise ConfigurationError(f"Cannot read {file} as CSV: {error}.") from None
    except (EOFError, zlib.error) as error:
        raise ConfigurationError(f"Cannot read {file} as gzip: {error}.") from None


def parse_columns(text: str) -> dict[str, str]:
    """Return the mapping written as user=customer_id,item=sku."""
    mapping: dict[str, str] = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        ours, equals, theirs = part.partition("=")
        if not equals or not theirs:
            raise ConfigurationError(
                f"--columns: {part!r} is not FIELD=COLUMN, e.g. user=customer_id,item=sku."
            )
        mapping[ours.strip()] = theirs.strip()
    return _checked(mapping)


def _checked(columns: Mapping[str, str]) -> dict[str, str]:
    for ours in columns:
        if ours not in COLUMNS:
            raise ConfigurationError(f"--columns: {ours!r} is none of {', '.join(COLUMNS)}.")
    return dict(columns)


def _format(file: Path) -> str:
    suffix = Path(file.stem).suffix if file.suffix == ".gz" else file.suffix
    kind = FORMATS.get(suffix.lower())
    if kind is None:
        raise ConfigurationError(
            f"{file}: its name says no format that can be read. "
            f"Known: {', '.join(FORMATS)}, the text formats also with .gz behind."
        )
    return kind


def open_text(file: Path) -> IO[str]:
    """Return a text file, gunzipped where it is gzipped."""
    with file.open("rb") as start:
        zipped = start.read(2) == b"\x1f\x8b"
    opener: Any = gzip.open if zipped else open
    text: IO[str] = opener(file, "rt", encoding="utf-8-sig", newline="")
    return text


Row = tuple[int, Mapping[str, Any]]


def _delimited(lines: IO[str], kind: str) -> Iterator[Row]:
    reader = csv.DictReader(lines, delimiter="\t" if kind == "tsv" else ",")
    for row in reader:
        yield reader.line_num, row


def _json_lines(lines: IO[str], file: Path) -> Iterator[Row]:
    decoder = msgspec.json.Decoder(dict[str, Any])
    for number, line in enumerate(lines, 1):
        if line.strip():
            try:
                yield number, decoder.decode(line)
            except msgspec.MsgspecError as error:
                words = f"{file}, line {number} is not a JSON object: {error}."
                raise ConfigurationError(words) from None


def _collect(
    file: Path, rows: Iterator[Row], wanted: Mapping[str, str], default_type: str
) -> EventTable:
    """Read all rows into columns; the first row decides which columns are used."""
    users, items, types, sessions, segments = (_Names() for _ in range(5))
    ts: list[int] = []
    values: list[float] = []
    chosen: dict[str, str | None] | None = None
    for number, row in rows:
        if chosen is None:
            paths = [path for path in wanted.values() if "." in path and _at(row, path) is not None]
            chosen = choose_columns([*(str(name) for name in row), *paths], wanted, file)
        try:
            users.add(_at(row, chosen["user"]))
            items.add(_at(row, chosen["item"]))
            ts.append(to_milliseconds(_at(row, chosen["ts"])))
            types.add(_at(row, chosen["type"]) or default_type)
            value = _at(row, chosen["value"])
            for field, names in (("session", sessions), ("segment", segments)):
                if chosen[field]:
                    name = _at(row, chosen[field])
                    names.add(NONE if name in (None, "") else name)
            values.append(_number(value))
        except (TypeError, ValueError) as error:
            raise ConfigurationError(f"{file}, line {number}: {error}.") from None
    return EventTable(
        file.name,
        users.codes(np.int32),
        items.codes(np.int32),
        types.codes(np.int8),
        np.array(ts, np.int64),
        list(users.known),
        list(items.known),
        list(types.known),
        np.array(values, np.float64) if any(value == value for value in values) else None,
        sessions=(
            sessions.codes(np.int64) if sessions.known and NONE not in sessions.known else None
        ),
        segments=segments.codes(np.int32) if segments.known else None,
        segment_names=["" if name == NONE else name for name in segments.known],
    )


def _at(row: Mapping[str, Any], path: str | None) -> Any:
    """Return the field at a dotted path, a plain name with dots in it taking precedence."""
    if path is None:
        return None
    if path in row:
        return row[path]
    value: Any = row
    for name in path.split("."):
        value = value.get(name) if isinstance(value, Mapping) else None
    return value


def _number(value: Any) -> float:
    try:
        return float("nan") if value in (None, "") else float(value)
    except (TypeError, ValueError):
        raise ValueError(f"the value {value!r} is not a number") from None


class _Names:
    """Codes of names in the order of their first use."""

    def __init__(self) -> None:
        self.known: dict[str, int] = {}
        self._codes: list[int] = []

    def add(self, name: object) -> None:
        if name is None or name == "" or isinstance(name, bool | list | dict):
            raise ValueError(f"{name!r} is not an id")
        self._codes.append(self.known.setdefault(str(name), len(self.known)))

    def codes(self, kind: type[np.generic]) -> NDArray[Any]:
        if kind is np.int8 and len(self.known) > 127:
            raise ConfigurationError(
                f"The file has {len(self.known)} event types, more than 127: is the column right?"
            )
        return np.array(self._codes, kind)
