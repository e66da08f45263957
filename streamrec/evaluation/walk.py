"""One walk over a log, as `evaluate`, `bootstrap` and the library take it."""

from collections.abc import Iterator, Mapping

from streamrec.evaluation.prequential import Prequential, Scored
from streamrec.events.event import Event, Item
from streamrec.files.event_table import FORGOTTEN, EventTable


class Walk:
    """Steps through the events of a log, and tells of an item just before the log names it."""

    def __init__(self, live: Prequential, table: EventTable, items: Mapping[str, Item]) -> None:
        self._live, self._items, self._table = live, items, table
        self._weights = live.settings.events.weights
        self._users, self._codes = table.users.tolist(), table.items.tolist()
        self._sessions = table.sessions.tolist() if table.sessions is not None else None
        self._named = NamedSessions()
        self.controls = table.controls_at()
        self._met = bytearray(len(table.item_names))

    def step(self, n: int, event: Event, *, counted: bool = True) -> Scored | None:
        """Forget and merge who is to be before event number `n`, look it up, then learn it.

        counted: as in Prequential.step.
        """
        self._control(n, event.ts)
        item, in_session = self._codes[n], None
        if not self._met[item]:
            self._met[item] = True
            if event.item in self._items:
                self._live.announce(self._items[event.item])
        if self._sessions is not None and event.personal:
            weight = self._weights.get(event.type, 0.0)
            in_session = self._named.continues(self._users[n], item, self._sessions[n], weight)
        return self._live.step(event, in_session, counted=counted)

    def end(self) -> None:
        """Tell of the items that the log does not name; the lists then know all there is."""
        self._control(len(self._codes), int(self._table.ts[-1]) if len(self._table) else 0)
        named = set(self._table.item_names)
        for name, item in self._items.items():
            if name not in named:
                self._live.announce(item)
        self._live.end()

    def _control(self, n: int, now: int) -> None:
        names = self._table.user_names
        for user, visitor in self.controls.get(n, ()):
            if visitor == FORGOTTEN:
                self._live.forget(names[user], now)
            else:
                self._live.merge(names[user], names[visitor], now)


class NamedSessions:
    """What each user took in the session they are in, by the log.

    They say which events are scored where lists leave out a session.
    """

    def __init__(self) -> None:
        self._latest: dict[int, int] = {}  # user -> session
        self._taken: dict[int, set[int]] = {}  # user -> items taken in it

    def continues(self, user: int, item: int, session: int, weight: float) -> bool:
        """Take in the user's next event; say if its session has earlier ones, none on the item."""
        if self._latest.get(user) != session:
            self._latest[user], self._taken[user] = session, set()
        taken = self._taken[user]
        found = bool(taken) and item not in taken
        if weight > 0.0:
            taken.add(item)
        return found


def events_of(table: EventTable, count: int | None = None) -> Iterator[Event]:
    """Yield the first `count` events of a log, or all."""
    columns = zip(
        table.users[:count].tolist(), table.items[:count].tolist(), table.types[:count].tolist(),
        table.ts[:count].tolist(), strict=True,
    )  # fmt: skip
    for n, (user, item, kind, ts) in enumerate(columns):
        event = Event(table.user_names[user], table.item_names[item], table.type_names[kind], ts)
        if table.segments is not None:
            event.segment = table.segment_names[table.segments[n]] or None
        if table.personal is not None:
            event.personal = bool(table.personal[n])
        yield event
