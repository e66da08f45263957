"""User rows: each to the shard of the user's key, told in the terms of that shard.

Those are the numbers of event types, which each shard gives, and the offset of the last event,
which is one of another partition now: it becomes the one before those to come.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from streamrec.state.schema import Arrays, Column, Kind
from streamrec.state.user_rows import USERS, user_columns

KIND = Kind(USERS, user_columns())
TYPES = ("types", "earlier_types")
MOST_TAKES = 255
MOST_TYPES = 256


class Terms(NamedTuple):
    """What rows of a shard mean: names of the type codes, and the next offset."""

    types: Sequence[str]
    offset: int


def joined(types: Iterable[Sequence[str]]) -> list[str]:
    """Return the names of all, in the order in which they come."""
    return list(dict.fromkeys(name for names in types for name in names))


def deal(
    rows: Mapping[bytes, bytes], home: int, terms: Sequence[Terms], place: Callable[[bytes], int]
) -> dict[int, dict[bytes, bytes]]:
    """Return the rows of shard `home` by the shard that each goes to, in that one's terms.

    terms: of each new shard, after those of `home` itself; place: the partition of a user.
    """
    tables = [_renumbering(terms[0].types, new.types) for new in terms[1:]]
    dealt: dict[int, dict[bytes, bytes]] = {}
    for user, row in rows.items():
        number = place(user)
        offset = None if number == home else terms[number + 1].offset - 1
        dealt.setdefault(number, {})[user] = retold(row, tables[number], offset)
    return dealt


def retold(row: bytes, table: bytes | None, offset: int | None) -> bytes:
    """Return a row with its type codes renumbered and its offset replaced; None: as they are."""
    if table is not None:
        [header] = KIND.headers([row])
        start = KIND.header.itemsize
        for column in KIND.lists:
            end = start + int(header[column.sized_by]) * np.dtype(column.dtype).itemsize
            if column.name in TYPES:
                row = row[:start] + row[start:end].translate(table) + row[end:]
            start = end
    if offset is not None:
        dtype, at = KIND.header.fields["offset"][:2]  # type: ignore[index]
        row = row[:at] + np.array(offset, dtype).tobytes() + row[at + dtype.itemsize :]
    return row


def merged(one: bytes, other: bytes, recent_items: int, seen_items: int) -> bytes:
    """Return one row of two that a user had, in the same terms, because their events had two keys.

    Of an item in both histories the later entry stays, with the takes of both; what is too much
    for the history is seen.
    """
    rows = sorted((KIND.read(one), KIND.read(other)), key=lambda row: int(row["clock"]))
    entries = _entries(rows)
    order = sorted(entries, key=lambda key: entries[key][0])
    too_much, kept = order[: max(0, len(order) - recent_items)], order[-recent_items:]
    seen = [int(one) for row in rows for one in np.roll(row["seen"], -int(row["seen_next"]))]
    seen += [key & 0xFFFFFFFF for key in too_much]
    seen = list(dict.fromkeys(seen))[max(0, len(set(seen)) - seen_items) :]
    later, past = rows[1], _earlier(rows, {key: entries[key][:2] for key in kept}, recent_items)
    values: dict[str, Any] = {name.name: later[name.name] for name in KIND.fixed}
    values |= {
        "events": rows[0]["events"] + later["events"],
        "recent": len(kept),
        "seen_size": len(seen),
        "seen_next": 0,
        "earlier": len(past),
        "gapped": len(kept) if any(row["gapped"] for row in rows) else 0,
        "tokens": min(row["tokens"] for row in rows),
        "offset": max(row["offset"] for row in rows),
        "segment": later["segment"] or rows[0]["segment"],
        "keys": kept,
        "ts": [entries[key][0] for key in kept],
        "types": [entries[key][1] for key in kept],
        "held": [entries[key][2] for key in kept],
        "takes": [entries[key][3] for key in kept],
        "gaps": [entries[key][4] for key in kept],
        "seen": seen,
        "earlier_keys": [key for _, key, _ in past],
        "earlier_ts": [ts for ts, _, _ in past],
        "earlier_types": [kind for _, _, kind in past],
    }
    return _packed(values, user_columns(max(1, len(kept), len(past)), max(1, len(seen))))


def _entries(rows: Iterable[Mapping[str, Any]]) -> dict[int, tuple[int, int, int, int, int]]:
    """Return by key (time, type, held, takes, gap) of the items in the histories of rows."""
    entries: dict[int, tuple[int, int, int, int, int]] = {}
    for row in rows:
        lists = (row[name].tolist() for name in ("keys", "ts", "types", "held", "takes"))
        gaps = row["gaps"].tolist() or [0] * len(row["keys"])
        for key, ts, kind, held, takes, gap in zip(*lists, gaps, strict=True):
            before = entries.get(key, (ts, kind, held, 0, 0))
            takes, latest = min(MOST_TAKES, takes + before[3]), ts >= before[0]
            usual = (gap or before[4]) if latest else (before[4] or gap)
            entries[key] = (*((ts, kind, held) if latest else before[:3]), takes, usual)
    return entries


def _packed(values: Mapping[str, Any], columns: Sequence[Column]) -> bytes:
    """Return the bytes of a row with these values by column."""
    arrays = Arrays(columns, 1)
    for column in columns:
        value = values[column.name]
        if column.sized_by:
            arrays.named(column.name)[0, : len(value)] = value
        else:
            arrays.named(column.name)[0] = value
    [packed] = Kind(USERS, columns).pack(arrays, np.zeros(1, np.int64))
    return packed


def _earlier(
    rows: Iterable[Mapping[str, Any]], latest: Mapping[int, tuple[int, int]], most: int
) -> list[tuple[int, int, int]]:
    """Return (time, key, type) of what was done with the history's items before their latest.

    latest: by key, the time and type of the latest event of each item of the history.
    """
    newest: dict[tuple[int, int], int] = {}
    for row in rows:
        for names in (("keys", "ts", "types"), ("earlier_keys", "earlier_ts", "earlier_types")):
            for key, ts, kind in zip(*(row[name].tolist() for name in names), strict=True):
                if key in latest and latest[key][1] != kind:
                    newest[key, kind] = max(ts, newest.get((key, kind), ts))
    return sorted((ts, *of) for of, ts in newest.items())[-most:]


def _renumbering(types: Sequence[str], new: Sequence[str]) -> bytes | None:
    """Return which code each code becomes; None where all stay."""
    if list(new[: len(types)]) == list(types):
        return None
    codes = {name: code for code, name in enumerate(new)}
    table = bytearray(range(MOST_TYPES))
    table[: len(types)] = bytes(codes[name] for name in types)
    return bytes(table)
