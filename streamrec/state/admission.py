"""What of a batch is admitted to the user fold: no duplicates, no floods; who leaves, who comes."""

from collections.abc import Sequence

from streamrec.events.event import Event, Forget, Rejected
from streamrec.events.merging import Ask, Give, Merge
from streamrec.settings.sections import EventSettings
from streamrec.state.duplicates import Duplicates
from streamrec.state.moves import Arrival, Departure, Marks, row_of
from streamrec.state.user_fold import Admitted, Counters, Decoded, Forgotten
from streamrec.state.user_rows import UserArrays, UserRows

Forgetting = dict[str, tuple[tuple[int, ...], Forgotten]]
"""By user: the rows that were dropped, and what was in them."""


class Admission:
    """Sorts out rejected, duplicate and flooding events, users to forget, and who is merged.

    users, duplicates and marks are the shard's, and change.
    """

    def __init__(
        self,
        name: str,
        settings: EventSettings,
        users: UserRows,
        duplicates: Duplicates,
        marks: Marks,
    ) -> None:
        self.accepted: list[Admitted] = []
        self.rejected: list[tuple[int, Rejected]] = []
        self.forgotten: Forgetting = {}
        self.arrivals: list[Arrival] = []
        self.departures: list[Departure] = []
        self.moves: list[tuple[int | None, Ask | Give]] = []
        self.counts = Counters()
        self._name, self._settings = name, settings
        self._users, self._duplicates, self._marks = users, duplicates, marks

    def take(self, decoded: Sequence[Decoded]) -> None:
        """Take a batch whose users are all loaded."""
        counts, flood = self.counts, self._settings.flood_per_minute > 0
        for offset, time, event in decoded:
            if isinstance(event, Rejected):
                self.rejected.append((offset, event))
            elif isinstance(event, Forget):
                self._forget(event.user, offset, time)
                counts.control += 1
            elif isinstance(event, Merge | Ask | Give):
                counts.control += self._move(event, offset, time)
            elif self._is_duplicate(event):
                counts.duplicate += 1
            elif not event.personal:
                self.accepted.append(Admitted(offset, time, event, self._users.nobody()))
            elif flood and self._floods(self._users.row_of[event.user], time):
                counts.suppressed += 1
                self._users.note_changed([event.user])
            else:
                row = self._users.row_of[event.user]
                self.accepted.append(Admitted(offset, time, event, row))
        counts.consumed += len(decoded)
        counts.accepted, counts.rejected = len(self.accepted), len(self.rejected)

    def leave(self, arrays: UserArrays, types: Sequence[str]) -> dict[str, Forgotten]:
        """Give away the rows that were asked for, now that the batch is learnt; return who left.

        Those are users who were forgotten, and visitors who had a row.
        """
        for rows, told in self.forgotten.values():
            told.events = int(arrays.events[list(rows)].sum())
            told.recent = int(arrays.recent[list(rows)].sum())
        found = {user: told for user, (_, told) in self.forgotten.items()}
        for row, offset, time, ask in self.departures:
            if events := int(arrays.events[row]):
                names, blob = (ask.user, ask.visitor, self._name), self._users.packed(row)
                give = Give(*names, offset, ask.at, tuple(types), blob)
                self.moves.append((int(ask.by[1:]), give))
                before = found.get(ask.visitor, Forgotten(offset, time))
                before.offset = max(offset, before.offset)
                before.events += events
                before.recent += int(arrays.recent[row])
                found[ask.visitor] = before
        return found

    def _is_duplicate(self, event: Event) -> bool:
        return event.id is not None and not self._duplicates.is_new(
            event.user, event.id, personal=event.personal
        )

    def _forget(self, user: str, offset: int, time: int) -> None:
        """Drop a user's row and ids; the row keeps what is learnt of the batch."""
        rows, before = self.forgotten.get(user, ((), None))
        ids = self._duplicates.forget(user) + (before.ids if before else 0)
        row = self._users.forget(user)
        self.forgotten[user] = (*rows, row), Forgotten(offset, time, ids=ids)
        self._marks.note_forget(user, offset)

    def _move(self, what: Merge | Ask | Give, offset: int, time: int) -> bool:
        """Note what a message of a merge asks for; say if it could be read."""
        if isinstance(what, Merge):
            if what.user != what.visitor:
                self.moves.append((None, Ask(what.user, what.visitor, self._name, offset)))
        elif not self._marks.is_fresh(what):
            return True
        elif isinstance(what, Ask):
            # ids stay: an event that is sent again is a duplicate still
            self.departures.append(Departure(self._users.forget(what.visitor), offset, time, what))
        elif not self._marks.is_forgotten(what):
            given = row_of(what)
            if isinstance(given, Rejected):
                self.rejected.append((offset, given))
                return False
            row = self._users.row_of[what.user]
            if self._settings.flood_per_minute > 0:
                self._fill(row, time)  # the row's clock goes on
            self.arrivals.append(Arrival(len(self.accepted), row, offset, time, what, given))
        return True

    def _fill(self, row: int, time: int) -> float:
        """Return the tokens of a user's bucket, filled by the log's time."""
        settings, users = self._settings, self._users.arrays
        gained = max(0, time - int(users.clock[row])) * settings.flood_per_minute / 60_000
        users.clock[row] = max(time, users.clock[row])
        users.tokens[row] = min(float(settings.flood_burst), float(users.tokens[row]) + gained)
        return float(users.tokens[row])

    def _floods(self, row: int, time: int) -> bool:
        """Take a token of the user's bucket; say if there was none."""
        tokens = self._fill(row, time)
        self._users.arrays.tokens[row] = tokens if tokens < 1.0 else tokens - 1.0
        return tokens < 1.0
