"""What the cells of a column are: ids, times, numbers. Each rule is asked once a distinct cell."""

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, tzinfo
from decimal import Decimal
from typing import Any, NamedTuple
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

from streamrec.errors import ConfigurationError
from streamrec.events.checks import (
    TS_LIMIT,
    VALUE_LIMIT,
    Refusal,
    Rejected,
    checked_id,
    quote,
    refuse,
)

Column = Any
"""A pyarrow array, or a list where the cells of a column of JSON are of several types."""
Reasons = dict[int, Rejected]
"""Why rows are refused."""

UNITS = {"s": 0.001, "ms": 1, "us": 1000, "ns": 1_000_000}
"""Units of epoch numbers: how many are a millisecond."""
SECONDS_BELOW = 1e11
"""A number without a unit is seconds below this (the year 5138), from here on milliseconds."""
NUMBERS_FROM = 315_532_800_000
"""A number without a unit that would be before 1980 is a year, a month, a day or a place."""
WRITTEN_DATES = ((19e6, 21.01e6), (19e10, 21.01e10), (19e12, 21.01e12))
"""YYYYMMDD, with HHMM, with HHMMSS: as epoch numbers these are moments of 1970, 1976 and 2572."""
DECIMAL = r"-?[0-9]+(\.[0-9]+)?"
WAS_FLOAT = re.compile(r"-?([0-9]+\.[0-9]+|[0-9]+(\.[0-9]+)?[eE][+-][0-9]{2,3}|inf)|nan|NaN")
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MILLISECOND = timedelta(milliseconds=1)


class TimeForm(NamedTuple):
    """How times are written: a unit, a strptime format or "", and the zone of those without."""

    format: str = ""
    zone: tzinfo = UTC


def arrow() -> Any:
    """Return pyarrow; raises ConfigurationError where it is not installed."""
    try:
        import pyarrow.compute
        import pyarrow.csv
        import pyarrow.parquet
    except ImportError:
        words = "Reading files needs pyarrow: pip install 'streamrec[files]'."
        raise ConfigurationError(words) from None
    return pyarrow


def absent(cell: object) -> bool:
    """Tell whether a cell holds nothing: null, the empty text or NaN."""
    return cell is None or cell in ("", b"") or cell != cell


def plain(cell: object) -> object:
    """Return a cell as what JSON could hold, where that is the same; raises Refusal."""
    if isinstance(cell, bytes):
        try:
            return cell.decode()
        except UnicodeDecodeError:
            refuse("malformed", f"{quote(cell)} is not UTF-8 text")
    if isinstance(cell, Decimal):
        return int(cell) if cell == int(cell) else float(cell)
    return str(cell) if isinstance(cell, UUID) else cell


def as_id(cell: object, field: str, untyped: bool = False) -> str:
    """Return an id by the contract of events; a whole number, 7 or 7.0, is its digits.

    `untyped`: text that is written as floats are is a number, as in CSV. Raises Refusal.
    """
    if type(cell) is int:
        cell = str(cell)
    elif untyped and type(cell) is str and WAS_FLOAT.fullmatch(cell):
        if "." in cell and "e" in cell.lower():
            refuse("bad_id", f"{field} is {quote(cell)}: a number that has lost its last digits")
        cell = float(cell)
    return checked_id(None if cell == "" else cell, field)


def distinct(column: Column) -> tuple[NDArray[np.int32], list[Any]]:
    """Return for each row the place of its cell among the distinct ones, and these."""
    packed = _packed(column)
    if packed is not None:
        try:
            has = arrow().types.is_dictionary(packed.type)
            coded = (packed.indices if has else packed).dictionary_encode("encode")
            cells = packed.dictionary.take(coded.dictionary) if has else coded.dictionary
            return coded.indices.to_numpy(), cells.to_pylist()
        except (NotImplementedError, ValueError, OverflowError):
            pass  # lists, structs, and moments that Python has no word for
    places: dict[object, int] = {}
    cells, different = listed(column), list[Any]()
    codes = np.empty(len(cells), np.int32)
    for row, cell in enumerate(cells):
        key = cell if type(cell) is str else (type(cell), str(cell))
        codes[row] = places.setdefault(key, len(places))
        if len(places) > len(different):
            different.append(cell)
    return codes, different


def listed(column: Column) -> list[Any]:
    """Return the cells as Python has them, moments as text: it has no word for all of them."""
    if isinstance(column, list):
        return column
    try:
        return list((_packed(column) if _is_moment(column.type) else column).to_pylist())
    except (ValueError, OverflowError) as error:
        raise ConfigurationError(f"A column of {column.type} cannot be read: {error}.") from None


def named(
    column: Column, rule: Callable[[Any], str]
) -> tuple[NDArray[np.int32], list[str], Reasons]:
    """Return codes into the names that `rule` gives to cells, and the rows it refuses (-1)."""
    codes, cells = distinct(column)
    made, why = _each(cells, rule)
    names: dict[str, int] = {}
    places = [-1 if name is None else names.setdefault(name, len(names)) for name in made]
    coded = np.array(places, np.int32)[codes]
    rows = np.flatnonzero(coded < 0) if why else ()
    return coded, list(names), {int(row): why[codes[row]] for row in rows}


def values(column: Column) -> tuple[NDArray[np.float64], Reasons]:
    """Return numbers within the contract's limit, NaN where a cell holds nothing."""
    numbers = _numbers(column).astype(np.float64)
    return _mended(column, numbers, np.abs(numbers) <= VALUE_LIMIT, _value)


def times(column: Column, form: TimeForm) -> tuple[NDArray[np.int64], Reasons]:
    """Return epoch milliseconds of numbers, texts or moments."""
    types, kind, zone = arrow().types, getattr(column, "type", None), None
    if kind is not None and (types.is_timestamp(kind) or types.is_date(kind)):
        zone = None if getattr(kind, "tz", None) else form.zone
        column = column.cast(arrow().timestamp("s")) if types.is_date32(kind) else column
        form = TimeForm(getattr(column.type, "unit", "ms"))
        column = column.cast(arrow().int64())
    moments = _scaled(_numbers(column), form.format)
    good = (moments >= 0) & (moments <= TS_LIMIT)
    if zone not in (None, UTC):
        local, places = np.unique(moments[good], return_inverse=True)
        shifted = [_in_zone(EPOCH.replace(tzinfo=None) + ms * MILLISECOND, zone) for ms in local]
        moments[good] = np.array(shifted, np.float64)[places]
    result, reasons = _mended(column, moments, good, lambda cell: _moment(cell, form))
    return np.nan_to_num(result).astype(np.int64), reasons


def _packed(column: Column) -> Any:
    """Return the column as one array of one type; None for a list of several types."""
    pa = arrow()
    if isinstance(column, list):
        kinds = set(map(type, column)) - {type(None)}
        if len(kinds) > 1 and kinds != {int, float}:
            return None
        try:
            return pa.array(column)
        except (pa.ArrowException, OverflowError, UnicodeEncodeError):
            return None
    packed = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    return packed.cast(pa.string()) if _is_moment(packed.type) else packed


def _is_moment(kind: Any) -> bool:
    return bool(arrow().types.is_temporal(kind) and not arrow().types.is_duration(kind))


def _numbers(column: Column) -> NDArray[Any]:
    """Return the cells that are numbers, or are plainly written as one, as int64 or float64.

    Others are NaN, or the least int64.
    """
    pa, packed = arrow(), _packed(column)
    if packed is None:
        cells = [cell if type(cell) in (int, float) else np.nan for cell in column]
        return np.array(cells, np.float64)
    types = pa.types
    if types.is_dictionary(packed.type):
        packed = packed.cast(packed.type.value_type)
    kind = packed.type
    try:
        if not (types.is_integer(kind) or types.is_floating(kind) or types.is_decimal(kind)):
            if types.is_boolean(kind) or types.is_nested(kind) or types.is_duration(kind):
                return np.full(len(packed), np.nan)
            text = packed.cast(pa.string())
            plainly = pa.compute.match_substring_regex(text, f"^{DECIMAL}$")
            packed = pa.compute.if_else(plainly, text, pa.scalar(None, pa.string()))
        if not types.is_floating(kind):
            try:
                whole = packed.cast(pa.int64())
                whole = whole.fill_null(np.iinfo(np.int64).min) if whole.null_count else whole
                return np.asarray(whole.to_numpy())
            except pa.ArrowInvalid:
                pass  # fractions, or too large
        return np.asarray(packed.cast(pa.float64()).to_numpy(zero_copy_only=False))
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):  # bytes that are no text, among others
        return np.full(len(packed), np.nan)


def _mended(
    column: Column, numbers: NDArray[Any], good: NDArray[np.bool_], rule: Callable[[Any], float]
) -> tuple[NDArray[np.float64], Reasons]:
    """Return the numbers, where they are not good what `rule` makes of the cell."""
    rows = np.flatnonzero(~good)
    if not len(rows):
        return numbers, {}
    listing = isinstance(column, list)
    codes, cells = distinct([column[row] for row in rows] if listing else column.take(rows))
    made, why = _each(cells, rule)
    numbers[rows] = np.array(made, np.float64)[codes]  # None becomes NaN
    if not why:
        return numbers, {}
    return numbers, {int(r): why[c] for r, c in zip(rows, codes.tolist(), strict=True) if c in why}


def _each(cells: list[Any], rule: Callable[[Any], Any]) -> tuple[list[Any], Reasons]:
    """Return what a rule makes of each cell, None where it raises Refusal, and why."""
    made, why = list[Any](), Reasons()
    for place, cell in enumerate(cells):
        try:
            made.append(rule(plain(cell)))
        except Refusal as refusal:
            made.append(None)
            why[place] = refusal.rejected
    return made, why


def _value(cell: object) -> float:
    if absent(cell):
        return np.nan
    if isinstance(cell, str) and re.fullmatch(rf"\s*{DECIMAL}([eE][-+]?[0-9]+)?\s*", cell):
        cell = float(cell)
    if isinstance(cell, int | float) and not isinstance(cell, bool) and abs(cell) <= VALUE_LIMIT:
        return float(cell)
    refuse("bad_number", f"the value {quote(cell)} is not a number within {VALUE_LIMIT:,.0f}")


def _scaled(numbers: NDArray[Any], unit: str) -> NDArray[np.float64]:
    """Return milliseconds; NaN for what is no epoch number in this unit."""
    if unit not in ("", *UNITS):
        return np.full(len(numbers), np.nan)
    if unit in ("us", "ns"):
        return (numbers // UNITS[unit]).astype(np.float64)  # first: a float64 would not hold them
    if unit:
        return np.rint(numbers / UNITS[unit])
    scaled = np.rint(np.where(np.abs(numbers) < SECONDS_BELOW, numbers * 1000.0, numbers))
    scaled[(scaled >= 0) & (scaled < NUMBERS_FROM)] = np.nan
    least, most = (numbers.min(), numbers.max()) if len(numbers) else (0, 0)
    for first, end in WRITTEN_DATES:
        if not (most < first or least >= end):
            scaled[(numbers >= first) & (numbers < end)] = np.nan
    return scaled


def _moment(cell: object, form: TimeForm) -> float:
    """Return milliseconds of a cell that is no good number at first sight; raises Refusal."""
    if absent(cell):
        refuse("schema", "ts is missing")
    if isinstance(cell, bool | list | dict | timedelta):
        refuse("schema", f"ts is {quote(cell)}, which is no time")
    text, asked = str(cell).strip(), form.format not in ("", *UNITS)
    if not asked and re.fullmatch(DECIMAL, text):
        moment = float(_scaled(np.array([float(text)]), form.format)[0])
        if moment != moment:
            refuse("schema", f"ts is {text}: a date, or before 1980? --time-format s, ms or %Y%m%d")
    else:
        try:
            if asked:  # 20240101.0 is of a column that was one of floats for a while
                local = datetime.strptime(text.removesuffix(".0"), form.format)  # noqa: DTZ007
            else:
                local = datetime.fromisoformat(text.replace(" UTC", "Z"))
        except ValueError:
            usual = "epoch seconds or milliseconds, nor RFC 3339; --time-format says what else"
            words = f"as --time-format {form.format} says" if asked else usual
            refuse("schema", f"ts is {quote(cell)}: not {words}")
        moment = _in_zone(local, form.zone)
    if not 0 <= moment <= TS_LIMIT:
        refuse("schema", f"ts is {quote(cell)}: before 1970, after 9999, or of another unit")
    return moment


def _in_zone(moment: datetime, zone: Any) -> float:
    """Return milliseconds; the zone counts where the moment has none."""
    moment = moment if moment.tzinfo else moment.replace(tzinfo=zone)
    return float((moment - EPOCH) // MILLISECOND)
