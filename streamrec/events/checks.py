"""The checks behind the event contract: one JSON object in, typed fields out, or a Refusal."""

import json
import re
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Literal, NoReturn

import msgspec

Reason = Literal[
    "malformed",
    "schema",
    "unknown_version",
    "unknown_type",
    "bad_id",
    "bad_number",
    "future",
    "too_old",
    "too_large",
    "limits",
    "unreadable",
    "poison",
    "no_right",
]

ID_BYTES = 128
"""Longest id, in UTF-8."""
VALUE_LIMIT = 1e6
"""Largest absolute value of an event."""
TS_LIMIT = 253_402_300_799_999
"""Last millisecond of the year 9999."""
MAX_DEPTH = 8
"""Deepest nesting of objects and arrays, the outermost included."""
MAX_KEYS = 64
"""Most distinct keys of the outermost object, and entries of an item's lists."""
ITEM_BYTES = 65_536
"""Longest item metadata message."""


class Rejected(msgspec.Struct, frozen=True):
    """Why a message was refused; `detail` is for people and quotes at most 40 characters."""

    reason: Reason
    detail: str


class Refusal(Exception):
    """Carries a Rejected out of the checks below; EventDecoder and decode_item catch it."""

    def __init__(self, rejected: Rejected) -> None:
        self.rejected = rejected


def refuse(reason: Reason, detail: str) -> NoReturn:
    """Leave the checks with a Rejected."""
    raise Refusal(Rejected(reason, detail))


def unknown_type(name: str) -> Rejected:
    """Return why an event of a type without a weight is refused."""
    return Rejected("unknown_type", f"type {quote(name)} has no weight in [events.weights]")


def quote(raw: object) -> str:
    """Return `raw` in printable ASCII, at most 40 characters."""
    text = ascii(raw[:40] if isinstance(raw, str) else raw)
    return text if len(text) <= 40 else text[:37] + "..."


def read_object(value: bytes | None, max_bytes: int) -> dict[str, Any]:
    """Return the JSON object in `value`."""
    if not value:
        refuse("malformed", "the message is empty")
    if len(value) > max_bytes:
        refuse("too_large", f"{len(value)} bytes; the limit is {max_bytes}")
    if value.count(b"{") + value.count(b"[") > MAX_DEPTH and _is_deep(value):
        refuse("limits", f"nested deeper than {MAX_DEPTH} levels")
    try:
        document = msgspec.json.decode(value)
    except (msgspec.DecodeError, UnicodeDecodeError):
        document = _read_slowly(value)
    if type(document) is not dict:
        refuse("malformed", "the message is not a JSON object")
    if len(document) > MAX_KEYS:
        refuse("limits", f"{len(document)} keys; the limit is {MAX_KEYS}")
    return document


def _read_slowly(value: bytes) -> Any:
    """Parse what msgspec refuses: numbers beyond a double and lone surrogates are valid JSON."""
    try:
        return json.loads(value.decode(), parse_int=_integer, parse_constant=_constant)
    except UnicodeDecodeError:
        refuse("malformed", "the message is not UTF-8")
    except ValueError as error:
        refuse("malformed", f"the message is not JSON: {str(error)[:100]}")


def _integer(digits: str) -> int | float:
    return int(digits) if len(digits) < 20 else float(digits)


def _constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON number")


def _is_deep(value: bytes) -> bool:
    """Tell whether objects and arrays nest too deep, without recursion and in linear time."""
    depth = 0
    for byte in _STRING.sub(b"", value):
        if byte in b"{[":
            depth += 1
            if depth > MAX_DEPTH:
                return True
        elif byte in b"}]":
            depth -= 1
    return False


def dig(document: Any, path: str) -> Any:
    """Return what lies at a dotted path; None when nothing does.

    A number in it is a place in a list. At each level a plain name with the dots in it goes first.
    """
    node, rest = document, path
    while True:
        if type(node) is dict and rest in node:
            return node[rest]
        part, dot, rest = rest.partition(".")
        if type(node) is dict:
            node = node.get(part)
        elif type(node) is list and part.isdecimal() and int(part) < len(node):
            node = node[int(part)]
        else:
            return None
        if not dot:
            return node


def checked_id(raw: Any, field: str) -> str:
    """Return an id as a string: a string of 1..128 bytes, or an integer from 0 to 2^63 - 1.

    An integer that became a float, 7.0, is its digits (up to 2^53, where floats skip integers).
    """
    if field in ("user", "from") and type(raw) is str and raw.startswith("~"):
        refuse("bad_id", f"{field} is {quote(raw)}: ids that begin with ~ are streamrec's own")
    if type(raw) is str and 0 < len(raw) <= ID_BYTES and not _FORBIDDEN.search(raw):
        if raw.isascii() or len(raw.encode()) <= ID_BYTES:
            return raw
    elif type(raw) is int and 0 <= raw < 2**63:
        return str(raw)
    elif type(raw) is float and raw.is_integer() and raw <= 2**53 and str(raw)[0] != "-":
        return str(int(raw))
    elif raw is None:
        refuse("schema", f"{field} is missing")
    if type(raw) in (int, float):
        refuse("bad_id", f"{field} is {quote(raw)}: not a whole number from 0 to 2^63 - 1")
    refuse("bad_id", f"{field} is {quote(raw)}: 1..{ID_BYTES} bytes without controls or braces")


def checked_ts(raw: Any, timestamp: int) -> int:
    """Return epoch milliseconds from a number, an RFC 3339 string or else the log's time."""
    if raw is None and timestamp >= 0:
        return timestamp
    if type(raw) is str:
        try:
            raw = (msgspec.convert(raw, _Instant) - _EPOCH) // _MILLISECOND
        except (msgspec.ValidationError, OverflowError):
            refuse("schema", f"ts {quote(raw)} is not RFC 3339 with a time zone")
    if type(raw) not in (int, float):
        refuse("schema", "ts is missing" if raw is None else "ts is neither a number nor a string")
    if raw < 0 or (raw > TS_LIMIT and timestamp < 0):
        refuse("schema", f"ts {quote(raw)} is not epoch milliseconds")
    if raw > TS_LIMIT:
        refuse("future", f"ts {quote(raw)} is after the year 9999")
    if raw != int(raw):
        refuse("schema", f"ts {quote(raw)} is not whole milliseconds")
    return int(raw)


def checked_flag(raw: Any, field: str) -> bool:
    """Return true or false; true where there is nothing."""
    if raw is None or type(raw) is bool:
        return raw is not False
    refuse("schema", f"{field} is {quote(raw)}: neither true nor false")


def checked_value(raw: Any) -> float | None:
    """Return a finite number within the limit, or None when there is none."""
    if raw is None:
        return None
    if type(raw) in (int, float) and abs(raw) <= VALUE_LIMIT:
        return float(raw)
    refuse("bad_number", f"value {quote(raw)} is not a number within {VALUE_LIMIT:g}")


_FORBIDDEN = re.compile("[\x00-\x1f\x7f-\x9f{}\ud800-\udfff]")
_STRING = re.compile(rb'"(?:[^"\\]|\\.)*"?', re.DOTALL)  # an unclosed one must match too: else n^2
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)
_Instant = Annotated[datetime, msgspec.Meta(tz=True)]
