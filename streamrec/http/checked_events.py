"""What becomes of the events in a request, before any of them is sent."""

import uuid
from collections.abc import Callable

import msgspec

from streamrec.events.event import Event, EventDecoder, Forget, Rejected
from streamrec.events.merging import Merge
from streamrec.http.shapes import Refused
from streamrec.settings.mappings import FieldMapping
from streamrec.settings.sections import EventSettings

NewId = Callable[[], str]


class Checked(msgspec.Struct):
    """The events of a request: messages as (key, value), the id of each, and what is refused.

    merges: messages that say who a visitor is, which are to be in the log after the others.
    """

    messages: list[tuple[bytes, bytes]] = []
    merges: list[tuple[bytes, bytes]] = []
    ids: list[str | None] = []
    refused: list[Refused] = []


def random_id() -> str:
    """Return an id that no other event has."""
    return uuid.uuid4().hex


class EventsCheck:
    """Checks events as the learners will, by the same decoder.

    An event without an id gets one, so that who sends it again can do so under that id and it
    counts once. Where events have another shape (events.mapping) they are left as they are.
    """

    def __init__(self, settings: EventSettings, new_id: NewId = random_id) -> None:
        self._decoder = EventDecoder(settings)
        self._adds_ids = settings.mapping == FieldMapping()
        self._new_id = new_id

    def check(self, events: list[bytes], now_ms: int, *, may_merge: bool = False) -> Checked:
        """Return the events as messages, keyed by user; may_merge: and give away histories."""
        checked = Checked()
        for index, raw in enumerate(events):
            event = self._decoder.decode_sent(raw, now_ms)
            if isinstance(event, Event) and event.id is None and self._adds_ids:
                raw = raw.rstrip()[:-1] + b',"id":"%s"}' % self._new_id().encode()
                event = self._decoder.decode_sent(raw, now_ms)  # the id may have made it too long
            if isinstance(event, Forget):
                text = "forget is not taken here: DELETE /v1/users/{user}, or `streamrec forget`"
                event = Rejected("unknown_type", text)
            if isinstance(event, Merge) and not may_merge:
                text = "merge takes a history from somebody: it needs one of serve.write_tokens"
                event = Rejected("no_right", text)
            if isinstance(event, Merge):
                checked.merges.append((event.user.encode(), raw))
                checked.ids.append(None)
            elif isinstance(event, Rejected):
                checked.refused.append(Refused(index, event.reason, event.detail))
                checked.ids.append(None)
            else:
                checked.messages.append((event.user.encode(), raw))
                checked.ids.append(event.id)
        return checked


def split(body: bytes) -> list[bytes]:
    """Return the events of a body, an object or an array of them; raises msgspec.DecodeError."""
    body = body.strip()
    if not body.startswith(b"["):
        return [body]
    try:
        return [bytes(raw) for raw in msgspec.json.decode(body, type=list[msgspec.Raw])]
    except RecursionError:
        raise msgspec.DecodeError("nested too deep") from None
