"""A user at scoring: one object, from the stored row and what the item table knows of it."""

from collections.abc import Mapping

import numpy as np

from streamrec.settings.sections import Settings
from streamrec.sources.source import Shopper
from streamrec.state.history import EXCLUDE, excluded_from
from streamrec.state.item_table import ItemTable
from streamrec.state.user_rows import UserRow

NO_SEGMENT = np.zeros(0, np.int32)


def shopper_of(
    settings: Settings, table: ItemTable, row: UserRow, name: str, shown: Mapping[int, int]
) -> Shopper:
    """Return the user that a row is; shown: of the last list, by item key how often in a row."""
    rows = table.index.rows(row.keys[::-1].copy())
    known, size = rows >= 0, len(row.ts)
    excluded = rows[: size - first_excluded(settings, row, settings.lists.exclude)]
    in_session = np.zeros(size, np.bool_)
    in_session[: size - first_excluded(settings, row, "session")] = True
    segment = NO_SEGMENT
    if row.segment:
        segment = table.index.rows(np.array([row.segment], np.uint64))
    times: dict[int, int] = {}
    if shown:
        listed = table.index.rows(np.fromiter(shown, np.uint64, len(shown)))
        times = dict(zip(listed.tolist(), shown.values(), strict=True))
    return Shopper(
        rows[known],
        row.takes[::-1][known],
        in_session[known],
        excluded[known[: len(excluded)]],
        row.seen,
        segment,
        name,
        row,
        times,
    )


def first_excluded(settings: Settings, row: UserRow, rule: str) -> int:
    """Return from which entry of the history on a rule excludes items."""
    newest = int(row.ts[-1]) if len(row.ts) else 0
    session_ms = int(settings.lists.session_seconds * 1000)
    first: int = excluded_from(row.ts, len(row.ts), newest, EXCLUDE[rule], session_ms)
    return first
