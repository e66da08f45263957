"""A user at scoring: one object, from the stored row and what the item table knows of it."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from streamrec.settings.places import SESSION as IN_SESSION
from streamrec.settings.sections import Settings
from streamrec.sources.source import Shopper
from streamrec.state.history import EXCLUDE, excluded_from
from streamrec.state.item_table import ItemTable
from streamrec.state.keys import find
from streamrec.state.user_rows import UserRow

Array = NDArray[Any]
NO_SEGMENT = np.zeros(0, np.int32)
SESSION = EXCLUDE["session"]


def shopper_of(
    settings: Settings,
    table: ItemTable,
    row: UserRow,
    name: str,
    shown: Mapping[int, int],
    types: Sequence[str] = (),
) -> Shopper:
    """Return the user that a row is; shown: of the last list, by item key how often in a row.

    types: the names of event types by their numbers in the row; those of the settings, if none.
    """
    index, lists = table.index, settings.lists
    past, slots = (row.keys, row.ts, row.takes, row.gaps), (index.slot_keys, index.slot_rows)
    history, takes, in_session, excluded, taken_at, gaps = _known(
        past, slots, EXCLUDE[lists.exclude], int(lists.session_seconds * 1000)
    )
    segment = NO_SEGMENT
    if row.segment:
        segment = index.rows(np.array([row.segment], np.uint64))
    times: dict[int, int] = {}
    if shown:
        listed = index.rows(np.fromiter(shown, np.uint64, len(shown)))
        times = dict(zip(listed.tolist(), shown.values(), strict=True))
    return Shopper(
        history, takes, in_session, excluded, row.seen, segment, taken_at, gaps,
        name=name, row=row, shown=times, types=types or tuple(settings.events.weights),
    )  # fmt: skip


@njit(cache=True, nogil=True)
def _known(past, slots, exclude, session_ms):  # type: ignore[no-untyped-def]
    """Return history, takes, in_session, excluded, times and gaps of the Shopper.

    past: (keys uint64[h], ts int64[h], takes uint8[h], gaps uint8[h], or none of them), oldest
    first; slots: of the table's index.
    """
    keys, ts, takes, gaps = past
    size, n, left_out = len(keys), 0, 0
    newest = ts[size - 1] if size else 0
    first = excluded_from(ts, size, newest, exclude, session_ms)
    began = excluded_from(ts, size, newest, SESSION, session_ms)
    history, taken = np.empty(size, np.int32), np.empty(size, np.uint8)
    in_session, times = np.empty(size, np.bool_), np.empty(size, np.int64)
    usual = np.zeros(size, np.uint8)
    for b in range(size - 1, -1, -1):
        row = find(slots[0], slots[1], keys[b])
        if row >= 0:
            history[n], taken[n], in_session[n], times[n] = row, takes[b], b >= began, ts[b]
            if b < len(gaps):
                usual[n] = gaps[b]
            n += 1
            left_out = n if b >= first else left_out
    return history[:n], taken[:n], in_session[:n], history[:left_out], times[:n], usual[:n]


def excluded_by(
    ages: Mapping[str, float], settings: Settings, shopper: Shopper, table: ItemTable
) -> Array:
    """Return int32[...]: the rows of past items that are left out by the types of their events.

    ages: as Place.exclude. An item goes by the newest event of each type; ages are to the newest
    event of all.
    """
    keys, _, _ = _excluding(ages, settings, shopper, table)
    rows = table.index.rows(np.unique(keys))
    return rows[rows >= 0]


def excluding_event(
    ages: Mapping[str, float], settings: Settings, shopper: Shopper, table: ItemTable, key: int
) -> tuple[str, int] | None:
    """Return type and age (ms) of the newest event for which an item is left out, if it is."""
    keys, ts, kinds = _excluding(ages, settings, shopper, table)
    mine = np.flatnonzero(keys == np.uint64(key))
    if not len(mine):
        return None
    n = mine[np.argmax(ts[mine])]
    newest = max(table.now(), int(shopper.row.ts[-1]))
    return shopper.types[int(kinds[n])], newest - int(ts[n])


def _excluding(
    ages: Mapping[str, float], settings: Settings, shopper: Shopper, table: ItemTable
) -> tuple[Array, Array, Array]:
    """Return items' keys, times and types of the events for which they are left out."""
    row = shopper.row
    if not len(row.ts):
        return row.keys, row.ts, row.types
    limits = np.full(256, -math.inf)
    limits[: len(shopper.types)] = [ages.get(kind, -math.inf) for kind in shopper.types]
    keys = np.concatenate([row.keys, row.earlier_keys])
    ts = np.concatenate([row.ts, row.earlier_ts])
    kinds = np.concatenate([row.types, row.earlier_types])
    mine = limits[kinds]
    out = max(table.now(), int(row.ts[-1])) - ts <= mine
    out |= (mine == IN_SESSION) & (ts >= _began(np.sort(ts), settings))
    return keys[out], ts[out], kinds[out]


def _began(ts: Array, settings: Settings) -> int:
    """Return when the session of the newest of some events began, ms; ts: int64[n], rising."""
    breaks = np.flatnonzero(np.diff(ts) > int(settings.lists.session_seconds * 1000))
    return int(ts[breaks[-1] + 1 if len(breaks) else 0])


def first_excluded(settings: Settings, row: UserRow, rule: str) -> int:
    """Return from which entry of the history on a rule excludes items."""
    newest = int(row.ts[-1]) if len(row.ts) else 0
    session_ms = int(settings.lists.session_seconds * 1000)
    first: int = excluded_from(row.ts, len(row.ts), newest, EXCLUDE[rule], session_ms)
    return first
