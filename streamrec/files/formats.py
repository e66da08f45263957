"""Reads a file of any format into a table: CSV and its like, JSON lines, Parquet."""

import gzip
import zlib
from codecs import BOM_UTF8, BOM_UTF16_BE, BOM_UTF16_LE
from collections.abc import Collection
from itertools import chain
from pathlib import Path
from typing import Any

import msgspec

from streamrec.errors import ConfigurationError
from streamrec.events.checks import Rejected
from streamrec.files.cells import Reasons, arrow
from streamrec.files.delimited import read_delimited
from streamrec.files.reading import Fields, Reading, needed_names
from streamrec.files.table import Table

TEXTS = (".csv", ".tsv", ".txt", ".dat", ".data", ".inter", ".item")
JSON_LINES = (".jsonl", ".ndjson", ".json")
PARQUET = (".parquet", ".pq")


def read_table(file: Path, reading: Reading, fields: Fields | None) -> Table:
    """Return the columns that may be one of `fields`, or all; the file is held in memory.

    Raises ConfigurationError where it cannot be read.
    """
    pa = arrow()
    wanted = None if fields is None else needed_names(reading.looked_for(fields))
    name = file.name.lower().removesuffix(".gz")
    try:
        if name.endswith(PARQUET):
            return _parquet(file, wanted)
        if not name.endswith((*TEXTS, *JSON_LINES)) and not reading.separator:
            raise ConfigurationError(
                f"{file}: its name says no format that can be read. Known: "
                f"{', '.join((*TEXTS, *JSON_LINES, *PARQUET))}, texts also with .gz behind."
            )
        text = _text(file.read_bytes())
        if name.endswith(JSON_LINES):
            return _json_lines(file, text, wanted)
        return read_delimited(file, text, reading, wanted)
    except OSError as error:
        reason = error.strerror or str(error)
    except UnicodeDecodeError:
        reason = "it is not UTF-8 text"
    except (EOFError, zlib.error, pa.ArrowException) as error:
        reason = str(error).partition("\n")[0].rstrip(".")
    raise ConfigurationError(f"Cannot read {file}: {reason}.")


def _text(raw: bytes) -> bytes:
    """Return a file's bytes gunzipped, as UTF-8 without a mark and with line feeds."""
    if raw.startswith(b"\x1f\x8b"):
        raw = gzip.decompress(raw)
    if raw.startswith((BOM_UTF16_LE, BOM_UTF16_BE)):
        raw = raw.decode("utf-16").encode()
    elif b"\0" in raw[:2]:  # UTF-16 without a mark: the first letter is ASCII
        raw = raw.decode("utf-16-be" if raw[:1] == b"\0" else "utf-16-le").encode()
    raw = raw.removeprefix(BOM_UTF8)
    return raw.replace(b"\r\n", b"\n").replace(b"\r", b"\n") if b"\r" in raw else raw


def _json_lines(file: Path, text: bytes, wanted: Collection[str] | None) -> Table:
    """Return the members of the objects as lists: one object a line, or one array of objects.

    Not by pyarrow: it gives a column one type, and refuses a file where 7 and "7" are in one.
    """
    rows, numbers, broken = list[dict[str, Any]](), list[int](), Reasons()
    array = _array(text)
    decoder = msgspec.json.Decoder(dict[str, Any])
    for number, line in enumerate(text.split(b"\n") if array is None else array, 1):
        if line.strip():
            try:
                rows.append(decoder.decode(line))
                numbers.append(number)
            except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
                broken[number] = Rejected("malformed", f"it is not a JSON object: {error}")
    names = list(dict.fromkeys(chain.from_iterable(rows)))
    columns = {
        name: [row.get(name) for row in rows] for name in names if wanted is None or name in wanted
    }
    word = "line" if array is None else "row"
    return Table(file, names, columns, len(rows), word, lambda: numbers, broken)


def _array(text: bytes) -> list[bytes] | None:
    """Return the elements if all of the text is one JSON array."""
    if text.lstrip()[:1] != b"[":
        return None
    try:
        return [bytes(raw) for raw in msgspec.json.decode(text, type=list[msgspec.Raw])]
    except (msgspec.MsgspecError, RecursionError):
        return None


def _parquet(file: Path, wanted: Collection[str] | None) -> Table:
    rows = arrow().parquet.ParquetDataset(file, read_dictionary=list(wanted or ()))
    names = rows.schema.names
    table = rows.read(columns=[name for name in names if wanted is None or name in wanted])
    table = table.unify_dictionaries()
    columns = dict(zip(table.column_names, table.columns, strict=True))
    return Table(file, names, columns, len(table), "row", lambda: range(1, len(table) + 1), {})
