"""One click and what it changes: picks a user, sends the click, waits for the new list."""

import time
from collections.abc import Sequence
from typing import NamedTuple

import msgspec
import numpy as np

from streamrec.errors import StreamrecError
from streamrec.events.event import Event, click_type, encode_event
from streamrec.files.event_table import EventTable
from streamrec.ranking.published import ListItem, PublishedList
from streamrec.settings.sections import Settings
from streamrec.transport.kafka.log import Log
from streamrec.transport.redis.store import Store

SHOWN = 10
RECENT_EVENTS = 20_000
CANDIDATES = 500
TRIES = 8
ENOUGH = 6
"""Of the rows shown after the click so many must be personal, or another user is tried."""
CLICK_MS = 60_000
"""The click happens so long after the last event of the replay."""
WAIT_SECONDS = 10.0
POLL_SECONDS = 0.0005


class Reaction(NamedTuple):
    """A user's list before and after one click on `clicked`, and the milliseconds between."""

    user: str
    latest: list[str]  # distinct items taken before the click, newest first
    clicked: str
    before: PublishedList
    after: PublishedList
    milliseconds: float


def best_reaction(
    settings: Settings, table: EventTable, sent: int, log: Log, store: Store
) -> Reaction:
    """Click for a user whose list is personal; for another one where it is not so afterwards."""
    reactions: list[tuple[int, Reaction]] = []
    for _, before, latest in _candidates(table, sent, store)[:TRIES]:
        clicked = _to_click(before, latest)
        ts = int(table.ts[sent - 1]) + CLICK_MS
        event = Event(before.user, clicked, click_type(settings.events), ts)
        after, milliseconds = _react(settings, event, before, log, store)
        worth = _worth(after, latest, table)
        reactions.append(
            (worth, Reaction(before.user, latest, clicked, before, after, milliseconds))
        )
        if worth >= ENOUGH:
            break
    if not reactions:
        raise StreamrecError(
            "No user has a list yet: give it more time (--seconds), or look at the logs."
        )
    return max(reactions, key=lambda one: one[0])[1]


def is_popular(item: ListItem) -> bool:
    """Return whether an item is listed because many take it, not because of this user."""
    return item.source == "segment" or item.source.startswith("popularity_")


def read_lists(store: Store, users: Sequence[str]) -> list[PublishedList]:
    """Return the published lists of those users who have one."""
    blobs = store.lists(users)
    return [msgspec.json.decode(blob, type=PublishedList) for blob in blobs if blob is not None]


def _candidates(
    table: EventTable, sent: int, store: Store
) -> list[tuple[int, PublishedList, list[str]]]:
    """Return (worth, list, items taken, newest first) of recently active users, the best first."""
    users, items = table.users[:sent], table.items[:sent]
    recent, counts = np.unique(users[-RECENT_EVENTS:], return_counts=True)
    busiest = recent[np.argsort(-counts, kind="stable")][:CANDIDATES]
    codes = {table.user_names[code]: code for code in busiest.tolist()}
    found = []
    for published in read_lists(store, list(codes)):
        taken = items[users == codes[published.user]][::-1].tolist()
        latest = [table.item_names[code] for code in dict.fromkeys(taken)]
        if published.items:
            found.append((_worth(published, latest, table), published, latest))
    return sorted(found, key=lambda one: -one[0])


def _worth(published: PublishedList, taken: Sequence[str], table: EventTable) -> int:
    """Return how many differently named rows show something new to the user, with a reason."""
    rows = published.items[:SHOWN]
    return len({table.title(row.item) for row in rows if row.because and row.item not in taken})


def _to_click(before: PublishedList, taken: Sequence[str]) -> str:
    """Return the lowest of the rows shown that is personal and new to the user, if there is one.

    The lowest, so that the list has room to move.
    """
    rows = before.items[:SHOWN]
    return max(rows, key=lambda r: (not is_popular(r), r.item not in taken, rows.index(r))).item


def _react(
    settings: Settings, click: Event, before: PublishedList, log: Log, store: Store
) -> tuple[PublishedList, float]:
    """Send the click; return the list that knows of it and the milliseconds until it was read."""
    start = time.perf_counter()
    log.produce(settings.kafka.events_topic, encode_event(click), key=click.user.encode())
    log.flush()
    while time.perf_counter() - start < WAIT_SECONDS:
        (after,) = read_lists(store, [click.user])
        if after.offset > before.offset:
            return after, (time.perf_counter() - start) * 1000
        time.sleep(POLL_SECONDS)
    raise StreamrecError(
        f"The list of {click.user} did not change within {WAIT_SECONDS:.0f} s of a click on it: "
        "the processes are too busy, or look at the logs."
    )
