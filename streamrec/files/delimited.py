"""CSV and its like: the separator, the header, and quotes that are none."""

import csv
import re
from collections.abc import Collection, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from streamrec.errors import ConfigurationError
from streamrec.events.checks import Rejected
from streamrec.files.cells import Reasons, arrow
from streamrec.files.reading import Reading
from streamrec.files.table import Table

SEPARATORS = (",", "\t", ";", "|", "::")
LONG = b"\x1f"
"""Stands for a separator of several bytes."""
TYPED = re.compile(r"(.+):(token|float)(_seq)?")
"""A column's name and type as RecBole writes them."""
NAMED = re.compile(rb"sep=([\t -~])\n")
"""Excel may write the separator into a line of its own before the header."""
BLOCK_BYTES = 1 << 24
"""Longer rows cannot be read."""


def read_delimited(
    file: Path, text: bytes, reading: Reading, wanted: Collection[str] | None
) -> Table:
    """Return the rows as columns of text; lines end with a line feed."""
    if named := NAMED.match(text):
        text = text[named.end() :]
    said = reading.separator or (named[1].decode() if named else "")
    separator = (said or _separator(text[:BLOCK_BYTES].split(b"\n")[:20])).encode()
    if len(separator) > 1:
        text, separator = text.replace(separator, LONG), LONG
    head, _, body = text.partition(b"\n")
    names = next(csv.reader([head.decode()], delimiter=separator.decode()), [])
    first = 3 if named else 2
    if not reading.header:
        names, body, first = [str(n + 1) for n in range(len(names))], text, first - 1
    spaced = set[str]()
    if names and all(map(TYPED.fullmatch, names)):
        spaced = {name.rpartition(":")[0] for name in names if name.endswith("_seq")}
        names = [name.rpartition(":")[0] for name in names]
    places = {name: str(n) for n, name in enumerate(names) if wanted is None or name in wanted}
    for name in places:
        if name and names.count(name) > 1:
            raise ConfigurationError(f"{file} has two columns {name}: rename one.")
    width = len(names)
    body, not_text = _decodable(body, first)
    body, continued = _requoted(body, separator, width, first)
    table, broken = _parsed(body, separator, width, [*places.values()], bool(continued))

    def lines_but(left_out: Collection[int]) -> list[int]:
        lines = enumerate(body.split(b"\n"), first)
        return [number for number, line in lines if line and number not in left_out]

    if broken:
        records = lines_but(continued)
        broken = {records[record - 1]: why for record, why in broken.items()}
    broken |= dict.fromkeys(
        not_text, Rejected("malformed", "it is not UTF-8 text: save it as that")
    )
    columns = {name: table[place] for name, place in places.items()}
    rows, left_out = len(table), continued | broken.keys()
    numbers = partial(lines_but, left_out)
    return Table(file, names, columns, rows, "line", numbers, broken, untyped=True, spaced=spaced)


def _decodable(body: bytes, first: int) -> tuple[bytes, list[int]]:
    """Return the text without the lines that are none, which pyarrow would lose, and these."""
    try:
        body.decode()
        return body, []
    except UnicodeDecodeError:
        lines = [(line, line.decode(errors="ignore").encode()) for line in body.split(b"\n")]
    wrong = [number for number, (line, text) in enumerate(lines, first) if line != text]
    return b"\n".join(text if text == line else b"" for line, text in lines), wrong


def _separator(lines: Sequence[bytes]) -> str:
    """Return what all lines have equally often; else what the first has most."""
    filled = [line for line in lines if line]

    def trust(separator: str) -> tuple[bool, int]:
        counts = [_fields(line, separator.encode()) for line in filled] or [1]
        return len(set(counts)) == 1 and counts[0] > 1, counts[0]

    return max(SEPARATORS, key=trust)


def _fields(line: bytes, separator: bytes) -> int:
    """Return how many fields a line has, leaving out what is between quotes."""
    return re.sub(rb'"[^"]*"', b"", line).count(separator) + 1


def _requoted(body: bytes, separator: bytes, width: int, first: int) -> tuple[bytes, set[int]]:
    """Return the rows with quotes that quote nothing doubled, and the lines that begin no row.

    A quote at the start of a field begins a quoted text if it ends before a separator or the end of
    a line, and has not swallowed rows: the line that it begins in and a later one have as many
    fields as a row. Any other quote is a letter like another: "weird, or "The" Band.
    """
    sep = re.escape(separator)
    begin, end = b'"(?<![^' + sep + b'\n]")', b'"(?=[' + sep + b"\n]|\\Z)"
    if not re.search(begin + rb'(?![^"\n]*+(?:""[^"\n]*+)*+' + end + b")", body):
        return body, set()
    quoted = re.compile(begin + rb'[^"]*+(?:""[^"]*+)*+(' + end + b")?")
    pieces, continued, at, line = list[bytes](), set[int](), 0, first
    while found := quoted.search(body, at):
        start, stop = found.span()
        line += body.count(b"\n", at, start)
        whole = body[body.rfind(b"\n", 0, start) + 1 : body.find(b"\n", stop) % (len(body) + 1)]
        like_rows = [_fields(part, separator) == width for part in whole.split(b"\n")]
        pieces.append(body[at:start])
        if found[1] and not (like_rows[0] and any(like_rows[1:])):
            continued |= set(range(line + 1, line + len(like_rows)))
            pieces.append(found[0])
        else:
            stop = re.compile(b"[" + sep + b"\n]|\\Z").search(body, start).start()  # type: ignore[union-attr]
            pieces.append(b'"' + body[start:stop].replace(b'"', b'""') + b'"')
        line += body.count(b"\n", start, stop)
        at = stop
    return b"".join((*pieces, body[at:])), continued


def _parsed(
    body: bytes, separator: bytes, width: int, places: list[str], several_lines: bool
) -> tuple[Any, Reasons]:
    """Return a pyarrow table of the columns at `places`, and which records are no rows."""
    pa, broken = arrow(), Reasons()
    names = [str(place) for place in range(width)]
    if not body.strip(b"\n"):
        return pa.table({name: pa.array([], pa.string()) for name in names}), broken

    def refuse(row: Any) -> str:
        words = f"{row.actual_columns} fields where there should be {width}"
        broken[row.number] = Rejected("malformed", words)
        return "skip"

    table = pa.csv.read_csv(
        pa.BufferReader(body),
        pa.csv.ReadOptions(use_threads=False, block_size=BLOCK_BYTES, column_names=names),
        pa.csv.ParseOptions(
            delimiter=separator.decode(),
            newlines_in_values=several_lines,
            invalid_row_handler=refuse,
        ),
        pa.csv.ConvertOptions(
            include_columns=places, column_types=dict.fromkeys(names, pa.string())
        ),
    )
    return table, broken
