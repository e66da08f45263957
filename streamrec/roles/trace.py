"""One user's events and lists as debug lines (`logging.trace_user`): what became of a click, where.

`offset` is the event's in its partition, and of a list the last event's that it knows, so the lines
of `learn` and `score` can be laid side by side. Nobody else is named.
"""

import logging
from collections.abc import Sequence

import msgspec

from streamrec.events.event import Event, Forget
from streamrec.settings.logs import LoggingSettings
from streamrec.state.user_fold import Decoded, UserFold

logger = logging.getLogger(__name__)


class _Listed(msgspec.Struct):
    item: str


class _Items(msgspec.Struct):
    items: list[_Listed]


_DECODER = msgspec.json.Decoder(_Items)


class Trace:
    """Tells of the user of the settings, if they name one. Bound: one batch of that user."""

    def __init__(self, settings: LoggingSettings) -> None:
        self._user = settings.trace_user
        self._taken: dict[str, list[tuple[int, Event | Forget]]] = {}  # by shard, offset

    def taken(self, shard: str, decoded: Sequence[Decoded]) -> None:
        """Tell of the user's messages of a batch."""
        if not self._user:
            return
        own = [
            (offset, event)
            for offset, _, event in decoded
            if isinstance(event, Event | Forget) and event.user == self._user
        ]
        self._taken[shard] = own
        for offset, event in own:
            self._tell("event taken", partition=shard, offset=offset, **_named(event))

    def learnt(self, shard: str, fold: UserFold) -> None:
        """Tell what became of them, now that it is stored."""
        for offset, event in self._taken.pop(shard, ()):
            place = {"partition": shard, "offset": offset}
            if isinstance(event, Forget):
                self._tell("user forgotten", **place)
            elif any(event is one for _, one in fold.accepted):
                self._tell("event learnt", **place, **_named(event))
            else:
                self._tell("event left out: a duplicate, or too many", **place, **_named(event))

    def due(self, user: str, offset: int, since: float) -> None:
        """Tell that a list is made for a user who waits since then, epoch ms."""
        if self._user and user == self._user:
            self._tell("list due", offset=offset, since=int(since))

    def published(self, user: str, offset: int, made: bytes, done: object) -> None:
        """Tell of a user's list if it is published, or not as a newer one is there, or refused."""
        if self._user and user == self._user:
            items = [each.item for each in _DECODER.decode(made).items]
            words = {True: "list published", False: "list left out: a newer one is there"}
            told = words[done] if isinstance(done, bool) else "list refused by Redis"
            self._tell(told, offset=offset, items=items)

    def _tell(self, message: str, **fields: object) -> None:
        logger.debug(message, extra={"user": self._user, **fields})


def _named(event: Event | Forget) -> dict[str, object]:
    if isinstance(event, Forget):
        return {"type": "forget"}
    return {"event": event.id, "item": event.item, "type": event.type, "ts": event.ts}
