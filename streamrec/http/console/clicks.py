"""Clicks of the page: each is an event in Kafka, and its user's next list is timed."""

import time

import msgspec
from starlette.exceptions import HTTPException

from streamrec.client import Client
from streamrec.errors import DeliveryFailed
from streamrec.events.event import Event, EventDecoder, Rejected, click_type, encode_event
from streamrec.http.console.lists import named, sampled, user_row
from streamrec.http.sender import Sender
from streamrec.settings.mappings import FieldMapping
from streamrec.settings.sections import Settings
from streamrec.state.keys import field_of

DAY_MS = 86_400_000
STEP_MS = 1000
LOOK_SECONDS = 5.0
SAMPLED = 50
PATIENCE_SECONDS = 30.0
MOST_WAITING = 1000


class Click(msgspec.Struct):
    """What the page sends."""

    user: str
    item: str


class PendingClick(msgspec.Struct):
    """A click that no list knows yet; `offset`: of the list before it."""

    began: float
    offset: int


class Clicks:
    """Sends clicks, and knows who waits for a list. Bound: MOST_WAITING users."""

    def __init__(self, settings: Settings, sender: Sender) -> None:
        self._settings, self._sender = settings, sender
        self._decoder = EventDecoder(settings.events)
        self._waiting: dict[str, PendingClick] = {}
        self._connecting = False
        self._newest = 0
        self._looked = -LOOK_SECONDS

    def send(self, client: Client, click: Click) -> Event:
        """Send a click on a known item; raises HTTPException for one that may not be sent."""
        began = time.perf_counter()
        if self._settings.events.mapping != FieldMapping():
            text = "events.mapping describes messages of another shape: this page cannot write them"
            raise HTTPException(409, text)
        if not named(client, [field_of(click.item)]):
            raise HTTPException(404, f"No event or metadata names the item {click.item!r} yet")
        event = Event(
            click.user, click.item, click_type(self._settings.events), self._time(client, click)
        )
        message = encode_event(event)
        decoded = self._decoder.decode(message, time.time_ns() // 1_000_000)
        if isinstance(decoded, Rejected):
            raise HTTPException(400, f"{decoded.reason}: {decoded.detail}")
        before = client.recommend(click.user)
        self._wait(click.user, PendingClick(began, before.offset if before.personal else -1))
        topic, seconds = self._settings.kafka.events_topic, self._settings.serve.write_seconds
        sent = self._sender.send(topic, [(event.user.encode(), message)])
        try:
            sent.result(seconds)
        except TimeoutError:
            sent.cancel()
            raise DeliveryFailed(f"Kafka did not acknowledge within {seconds:g} s") from None
        return event

    def connect_soon(self) -> None:
        """Connect to Kafka, which the first click would otherwise wait for."""
        if not self._connecting:
            self._connecting = True
            self._sender.connect_soon(self._settings.kafka.events_topic)

    def is_waiting(self, user: str) -> bool:
        """Return whether a click of the user is in no list yet."""
        waiting = self._waiting.get(user)
        if waiting is None:
            return False
        if time.perf_counter() - waiting.began < PATIENCE_SECONDS:
            return True
        self._waiting.pop(user, None)
        return False

    def milliseconds(self, user: str, offset: int) -> float | None:
        """Return the time from a click to this list, if it is the first that knows of the click."""
        waiting = self._waiting.get(user)
        if waiting is None or offset <= waiting.offset:
            return None
        self._waiting.pop(user, None)
        return round((time.perf_counter() - waiting.began) * 1000, 1)

    def _wait(self, user: str, click: PendingClick) -> None:
        while len(self._waiting) >= MOST_WAITING:
            self._waiting.pop(next(iter(self._waiting)), None)
        self._waiting[user] = click

    def _time(self, client: Client, click: Click) -> int:
        own = user_row(client, click.user)
        latest = int(own.ts[-1]) if own is not None and len(own.ts) else 0
        if time.monotonic() - self._looked > LOOK_SECONDS:
            self._newest, self._looked = newest(client), time.monotonic()
        return event_time(time.time_ns() // 1_000_000, max(self._newest, latest))


def event_time(now: int, newest: int) -> int:
    """Return the time of a click, epoch ms: now, or in old events that were replayed their end.

    To a click of today all that was learnt from those would be long ago.
    """
    return now if not newest or now - newest < DAY_MS else newest + STEP_MS


def newest(client: Client) -> int:
    """Return the newest event time of a sample of users, 0 where there are none."""
    rows = (row for _, row in sampled(client.store, SAMPLED))
    return max((int(row.ts[-1]) for row in rows if len(row.ts)), default=0)
