"""One click and what it changes: picks a user, sends the click, waits for the new list."""

import time
from collections.abc import Sequence
from typing import NamedTuple

import msgspec
import numpy as np

from streamrec.errors import StreamrecError
from streamrec.events.event import Event, encode_event
from streamrec.files.event_table import EventTable
from streamrec.ranking.lists import ListItem, PublishedList
from streamrec.settings.sections import Settings
from streamrec.transport.kafka_log import Log
from streamrec.transport.redis_store import Store

SHOWN = 10
RECENT_EVENTS = 20_000
CANDIDATES = 200
TRIES = 5
ENOUGH = 6
"""Of the rows shown after the click so many must have reasons, or another user is tried."""
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
    reactions: list[Reaction] = []
    for user, before in _candidates(table, sent, store)[:TRIES]:
        rows = np.flatnonzero(table.users[:sent] == table.user_names.index(user))
        latest = [table.item_names[code] for code in table.items[rows[::-1]].tolist()]
        clicked = _to_click(before, set(latest))
        event = Event(user, clicked, _click_type(settings), int(table.ts[sent - 1]) + CLICK_MS)
        after, milliseconds = _react(settings, event, before, log, store)
        latest = list(dict.fromkeys(latest))
        reactions.append(Reaction(user, latest, clicked, before, after, milliseconds))
        if _worth(after, table) >= ENOUGH:
            break
    if not reactions:
        raise StreamrecError(
            "No user has a list yet: give it more time (--seconds), or look at the logs."
        )
    return max(reactions, key=lambda reaction: _worth(reaction.after, table))


def is_popular(item: ListItem) -> bool:
    """Return whether an item is listed because many take it, not because of this user."""
    return item.source == "segment" or item.source.startswith("popularity_")


def read_lists(store: Store, users: Sequence[str]) -> list[PublishedList]:
    """Return the published lists of those users who have one."""
    blobs = store.lists(users)
    return [msgspec.json.decode(blob, type=PublishedList) for blob in blobs if blob is not None]


def _candidates(table: EventTable, sent: int, store: Store) -> list[tuple[str, PublishedList]]:
    """Return recently active users with their lists, the most personal and varied first."""
    recent, counts = np.unique(table.users[max(0, sent - RECENT_EVENTS) : sent], return_counts=True)
    busiest = recent[np.argsort(-counts, kind="stable")][:CANDIDATES]
    found = read_lists(store, [table.user_names[code] for code in busiest.tolist()])
    found.sort(key=lambda published: -_worth(published, table))
    return [(published.user, published) for published in found if published.items]


def _worth(published: PublishedList, table: EventTable) -> int:
    """Return how many differently named items of the rows shown have other items as reasons."""
    items = published.items[:SHOWN]
    return len({table.title(i.item) for i in items if i.because and i.item not in i.because})


def _to_click(before: PublishedList, taken: set[str]) -> str:
    """Return the lowest of the rows shown that is personal and that the user never took.

    The lowest, so that the list has room to move; any row, where no row is like that.
    """
    rows = before.items[:SHOWN]
    return max(rows, key=lambda i: (not is_popular(i), i.item not in taken, rows.index(i))).item


def _click_type(settings: Settings) -> str:
    """Return `click`, or the lightest positive type where the settings know no click."""
    weights = {name: weight for name, weight in settings.events.weights.items() if weight > 0}
    return "click" if "click" in weights else min(weights, key=weights.__getitem__)


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
