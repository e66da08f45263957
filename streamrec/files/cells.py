"""Which columns of a file are our fields, and what a time in them may look like."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from streamrec.errors import ConfigurationError

COLUMNS = {
    "user": ("user_id", "user"),
    "item": ("item_id", "item"),
    "type": ("event_type", "type"),
    "ts": ("ts_ms", "ts", "timestamp"),
    "value": ("value",),
    "session": ("session_id", "session"),
    "segment": ("segment",),
}
"""Our fields and the column names that are looked for, in this order."""

OPTIONAL = ("type", "value", "session", "segment")
SECONDS_BELOW = 1e11
"""A number below this is epoch seconds (the year 5138), from here on milliseconds (from 1973)."""
LATEST_MS = 253_402_300_799_999
"""The end of the year 9999: a larger number is not in milliseconds."""


def choose_columns(
    found: Sequence[str], wanted: Mapping[str, str], file: Path
) -> dict[str, str | None]:
    """Return the file's column for each of our fields, None for an absent optional one."""
    chosen: dict[str, str | None] = {}
    for ours, names in COLUMNS.items():
        candidates = (wanted[ours],) if ours in wanted else names
        chosen[ours] = next((name for name in candidates if name in found), None)
        if chosen[ours] is None and (ours in wanted or ours not in OPTIONAL):
            raise ConfigurationError(
                f"{file} has no column {' or '.join(candidates)} for the {ours}. "
                f"Columns found: {', '.join(found) or 'none'}. "
                f"Name it: --columns {ours}=COLUMN."
            )
    return chosen


def to_milliseconds(value: object) -> int:
    """Return epoch milliseconds of a number (seconds or milliseconds) or an RFC 3339 text.

    A time without a zone is UTC. Raises ValueError.
    """
    if isinstance(value, str):
        try:
            value = float(value)
        except ValueError:
            try:
                moment = datetime.fromisoformat(str(value).strip())
            except ValueError:
                raise ValueError(
                    f"{value!r} is not a time: give epoch seconds or milliseconds, or RFC 3339"
                ) from None
            moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
            return round(moment.timestamp() * 1000)
    if isinstance(value, bool) or not isinstance(value, int | float) or value != value:
        raise ValueError(f"{value!r} is not a time")
    result = round(value * 1000 if abs(value) < SECONDS_BELOW else value)
    if not 0 <= result <= LATEST_MS:
        raise ValueError(f"{value!r} is not epoch seconds or milliseconds")
    return result


def missing_extra(file: Path) -> ConfigurationError:
    """Return the error for a Parquet file without the library that reads it."""
    return ConfigurationError(
        f"{file}: reading Parquet needs pyarrow: pip install 'streamrec[demo]', "
        "or convert the file to CSV."
    )
