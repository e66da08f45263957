"""One click and what it changes: picks a user, sends the click, waits for the new list."""

import time
from collections.abc import Sequence
from typing import NamedTuple

import msgspec
import numpy as np

from streamrec.errors import StreamrecError
from streamrec.events.event import Event, encode_event
from streamrec.files.event_table import EventTable
from streamrec.ranking.lists import PublishedList
from streamrec.replay.progress import LearntEvents
from streamrec.settings.sections import Settings
from streamrec.transport.kafka_log import Log
from streamrec.transport.redis_store import Store

CANDIDATES = 200
RECENT_EVENTS = 20_000
PERSONAL = ("similarity", "factors")
WAIT_SECONDS = 10.0
POLL_SECONDS = 0.0005


class Reaction(NamedTuple):
    """A user's list before and after one click on `clicked`, and the milliseconds between."""

    user: str
    clicked: str
    before: PublishedList
    after: PublishedList
    milliseconds: float


def react(
    settings: Settings, user: str, before: PublishedList, ts: int, log: Log, store: Store
) -> Reaction:
    """Send one click of the user at event time `ts`; return what it changed.

    The item is the first personal one of the list. The milliseconds run from just before the click
    is handed to the Kafka client until the new list has been read from Redis.
    """
    clicked = next((i.item for i in before.items if i.source in PERSONAL), before.items[0].item)
    event = Event(user=user, item=clicked, type=click_type(settings), ts=ts)
    start = time.perf_counter()
    log.produce(settings.kafka.events_topic, encode_event(event), key=user.encode())
    log.flush()
    after = _wait(store, user, before)
    milliseconds = (time.perf_counter() - start) * 1000
    return Reaction(user, clicked, before, after, milliseconds)


def latest_items(table: EventTable, sent: int, user: str) -> list[str]:
    """Return the user's distinct items among the first `sent` events, newest first."""
    rows = np.flatnonzero(table.users[:sent] == table.user_names.index(user))
    return list(dict.fromkeys(table.item_names[i] for i in table.items[rows[::-1]].tolist()))


def choose_user(table: EventTable, sent: int, store: Store) -> tuple[str, PublishedList]:
    """Return a recently active user whose list is long and mostly personal."""
    first = max(0, sent - RECENT_EVENTS)
    recent, counts = np.unique(table.users[first:sent], return_counts=True)
    busiest = recent[np.argsort(-counts, kind="stable")][:CANDIDATES]
    users = [table.user_names[code] for code in busiest.tolist()]
    found = [
        (user, published)
        for user, published in zip(users, read_lists(store, users), strict=True)
        if published is not None and published.items
    ]
    if not found:
        raise StreamrecError(
            "No user has a list yet: give it more time (--seconds), or look at the logs."
        )
    return max(found, key=lambda pair: _worth(pair[1]))


def read_lists(store: Store, users: Sequence[str]) -> list[PublishedList | None]:
    """Return the users' published lists."""
    return [
        None if blob is None else msgspec.json.decode(blob, type=PublishedList)
        for blob in store.lists(users)
    ]


def click_type(settings: Settings) -> str:
    """Return `click`, or the lightest positive type where the settings know no click."""
    weights = settings.events.weights
    if weights.get("click", 0.0) > 0:
        return "click"
    return min((name for name, weight in weights.items() if weight > 0), key=weights.__getitem__)


def wait_until_quiet(learnt: LearntEvents, sent: int, seconds: float = 10.0) -> bool:
    """Wait until all sent events are learnt and nobody waits for a list; False: gave up."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if learnt.count() >= sent and learnt.due_users() == 0:
            return True
        time.sleep(0.02)
    return False


def _worth(published: PublishedList) -> tuple[int, int, int]:
    reasons = {tuple(item.because) for item in published.items if item.because}
    sources = {item.source for item in published.items}
    return len(published.items), len(reasons), len(sources)


def _wait(store: Store, user: str, before: PublishedList) -> PublishedList:
    """Return the list that knows of an event after those that `before` knows."""
    deadline = time.monotonic() + WAIT_SECONDS
    while time.monotonic() < deadline:
        (published,) = read_lists(store, [user])
        if published is not None and published.offset > before.offset:
            return published
        time.sleep(POLL_SECONDS)
    raise StreamrecError(
        f"The list of {user} did not change within {WAIT_SECONDS:.0f} s of a click on it."
    )
