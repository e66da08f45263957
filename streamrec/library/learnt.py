"""What a recommender has learnt, and how it learns: the process of `evaluate`, event by event."""

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from streamrec.errors import ConfigurationError
from streamrec.evaluation.plan import with_neural
from streamrec.evaluation.prequential import Prequential
from streamrec.evaluation.walk import Walk, events_of
from streamrec.events.checks import Rejected
from streamrec.events.event import Event, Forget, Item
from streamrec.events.merging import Merge
from streamrec.expressions.syntax import ExpressionError
from streamrec.files.event_table import FORGOTTEN, EventTable
from streamrec.library.encoders import LateEncoder
from streamrec.library.given import MOST_KEPT, Account, Refused, account_of, as_event, is_one
from streamrec.library.tables import is_table
from streamrec.ranking.rerank import Reranker
from streamrec.settings.place_rules import known_place, place_of
from streamrec.settings.sections import Settings
from streamrec.settings.types import changed
from streamrec.state.user_rows import NOBODY

KEPT = 0.95
"""Share of users.max_users that is kept when it is passed, so that it is passed rarely."""
UNBOUNDED = 1 << 62


class Learnt:
    """The state, what was refused, and what makes lists. Bounds: users.max_users, MOST_KEPT."""

    def __init__(self, settings: Settings, neural: bool) -> None:
        """Start with nothing learnt. Raises ConfigurationError."""
        # nothing else stores the rows: `_keep_within_bound` does what these bounds do
        users = {"max_users": UNBOUNDED, "cached_users": UNBOUNDED}
        encoder: Any = None if settings.text.hashed() else LateEncoder(settings.text.model)
        clock = time.monotonic if with_neural(neural, settings) else None
        self.settings = settings
        self.live = Prequential(
            changed(settings, users=users), encoder=encoder, neural=clock, with_details=True
        )
        self.refused: list[Refused] = []
        self.refusals = 0

    def learn_log(self, table: EventTable, items: Mapping[str, Item]) -> None:
        """Take in a log, and its items as `evaluate` and `bootstrap` do."""
        walk = Walk(self.live, table, items)
        with self._changing():
            for n, event in enumerate(events_of(table)):
                walk.step(n, event, counted=False)
                self._keep_within_bound()
            walk.end()
            for _, user, visitor in table.controls:
                self._drop(table.user_names[user if visitor == FORGOTTEN else visitor])

    def learn_each(self, events: Iterable[Any], items: Mapping[str, Item]) -> Account:
        """Take in dicts in their order, and items as in a log; return what became of them."""
        waiting, wrong, count = dict(items), dict[int, Rejected](), 0
        with self._changing():
            for row, one in enumerate(events):
                count = row + 1
                found = as_event(self.live.flow.decoder, one)
                if isinstance(found, Rejected):
                    wrong[row] = found
                elif isinstance(found, Forget):
                    self.forget(found.user)
                elif isinstance(found, Merge):
                    self.merge(found.user, found.visitor)
                else:
                    self._learn_one(found, waiting)
            for item in waiting.values():
                self.live.announce(item)
        return account_of(count, wrong)

    def _learn_one(self, event: Event, waiting: dict[str, Item]) -> None:
        if event.item in waiting:
            self.live.announce(waiting.pop(event.item))
        self.live.step(event, counted=False)
        self._keep_within_bound()

    def describe(self, items: Iterable[Item]) -> None:
        """Take in what items are."""
        with self._changing():
            for item in items:
                self.live.announce(item)

    def forget(self, user: str) -> None:
        """Drop a user."""
        with self._changing():
            self.live.forget(user, self.live.table.now())
            self._drop(user)

    def merge(self, user: str, visitor: str) -> None:
        """Add a visitor's history to a user's."""
        with self._changing():
            self.live.merge(user, visitor, self.live.table.now())
            self._drop(visitor)

    def _drop(self, user: str) -> None:
        """Forget even the name of a user who has been forgotten, and not come again."""
        users = self.live.flow.users[0].users
        if user in users.row_of and not users.arrays.events[users.row_of[user]]:
            users.drop(user)

    def note(self, *told: Account) -> None:
        """Keep what was refused."""
        for one in told:
            self.refusals += one.refused
            self.refused += one.first[: MOST_KEPT - len(self.refused)]

    def counts(self) -> dict[str, int]:
        """Return how much was learnt, and of whom and what."""
        [shard], table = self.live.flow.users, self.live.table
        return {
            "events": shard.counters.accepted,
            "duplicates": shard.counters.duplicate,
            "refused": self.refusals,
            "users": len(shard.users.row_of.keys() - {NOBODY}),
            "items": int(np.count_nonzero(table.arrays.stored[: len(table)])),
        }

    def rules(self, place: str, filters: Sequence[str]) -> Reranker:
        """Return the rules of a place's lists, with more filters. Raises ConfigurationError."""
        try:
            return Reranker(place_of(self.settings, known_place(self.settings, place)), filters)
        except ExpressionError as error:
            raise ConfigurationError(f"filter: {error}") from None

    def _keep_within_bound(self) -> None:
        [shard], most = self.live.flow.users, self.settings.users.max_users
        if len(shard.users.row_of) > most:
            shard.users.keep_latest(max(1, int(KEPT * most)))

    @contextmanager
    def _changing(self) -> Iterator[None]:
        """Let something be learnt; at the end, whatever happens, lists know all that was."""
        try:
            yield
        finally:
            self.live.end()


def is_log(events: Any) -> bool:
    """Tell whether events are a frame or a file, and not dicts. Raises ConfigurationError."""
    if is_table(events):
        return True
    if not is_one(events) and not isinstance(events, Iterable):
        kind = type(events).__name__
        raise ConfigurationError(f"events are dicts, a frame or a path, not {kind}.")
    return False
