"""Prequential evaluation: every event is first looked up in the list, then learnt.

The stages are those of the live system (flow.py); only Kafka and Redis between them are left out.
Updates reach the item shards `lag` later: with 0 the lists know every earlier event, otherwise
they are made from parameters as of then.
"""

from collections import deque
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from streamrec.blend.rules import blend_owner
from streamrec.evaluation.neural import NeuralRanker
from streamrec.evaluation.ranks import rank_of
from streamrec.events.event import Event, Forget, Item, Message
from streamrec.events.merging import Ask, Give, Merge
from streamrec.flow import Flow, deliver, load
from streamrec.ranking.contexts import ContextMaker, Told
from streamrec.ranking.lists import ListMaker, Ranked
from streamrec.settings.place_rules import place_of
from streamrec.settings.places import BASKET, USER
from streamrec.settings.sections import Settings
from streamrec.sources.source import Shopper
from streamrec.state.item_table import ItemTable
from streamrec.state.keys import key_of
from streamrec.state.updates import Updates
from streamrec.state.user_fold import Decoded
from streamrec.state.user_rows import no_user
from streamrec.state.user_shard import UserShard
from streamrec.text.words import Encoder

Array = NDArray[Any]
NAN = float("nan")


class Lag(NamedTuple):
    """How late updates arrive; of both, the one that is not 0."""

    events: int = 0
    milliseconds: int = 0


class Parts(NamedTuple):
    """How the state is cut."""

    users: int  # user shards
    items: int  # item shards
    of: Callable[[str], int]  # a user's shard


class Scored(NamedTuple):
    """One event that was scored before it was learnt; ranks count from 0."""

    new_item: bool  # never seen before: a miss for all
    rank: float  # in the list, NaN: not among the candidates
    blend_rank: float  # in that of the online blend alone, without the neural ranker
    full_ranks: Array  # float64[M], in each source's order of all items; none where it is new
    history: int  # number of the user's earlier items
    ranked: Ranked | None  # None for a new item
    clicked: int | None = None  # its number among the candidates
    told: Told | None = None  # of a place that is asked for with items: the list


class Prequential:
    """N user shards and N item shards in one process, and the lists made from them."""

    def __init__(
        self,
        settings: Settings,
        parts: Parts | int = 1,
        lag: Lag | None = None,
        encoder: Encoder | None = None,
        *,
        neural: Callable[[], float] | None = None,
        with_details: bool = False,
    ) -> None:
        """Start with nothing learnt; neural: by whose clock the neural ranker is trained.

        parts: a number stands for so many shards of both kinds; with_details: of items, for rules
        that the settings do not name.
        """
        self.settings = settings
        self._parts = cut_in(parts) if isinstance(parts, int) else parts
        self.lag = lag or Lag()
        self.flow = Flow(
            settings, self._parts.users, self._parts.items, encoder=encoder,
            with_details=with_details,
        )  # fmt: skip
        self.neural = NeuralRanker(self.flow, neural) if neural is not None else None
        self._late: deque[tuple[int, int, list[Updates]]] = deque()
        self._stale = False  # the owners know what the table does not
        self.count = 0  # of events
        self.known: set[str] = set()  # items that events named
        place = place_of(settings)
        self._context = None if place.context == USER else ContextMaker(place)
        self.times: dict[str, dict[int, int]] = {}  # of the last list, where rotation asks

    @property
    def table(self) -> ItemTable:
        """The items as the lists know them."""
        return self.flow.table

    def announce(self, item: Item) -> None:
        """Take in the metadata of an item, as from the items topic."""
        self.flow.announce(item)
        self._stale = True

    def step(
        self, event: Event, in_session: bool | None = None, *, counted: bool = True
    ) -> Scored | None:
        """Score one event if it can be, then learn it.

        in_session: where the log names sessions and lists leave out a session's items, whether
        the user has an earlier event in this one, and none on the item; without it a gap in time
        ends a session. counted: find the ranks too; without, only what is learnt from.
        """
        shard = self.arrived(event)
        if not event.personal:
            scorable = False
        elif in_session is None or self.settings.lists.exclude != "session":
            scorable = shard.scorable(event, event.ts)
        else:  # lists go by the gap: what they leave out is what lies near the newest event
            scorable = in_session and shard.scorable(event, shard.newest(event.user))
        scored = self._score(shard, event, counted) if scorable else None
        self.learn(shard, event, scored)
        return scored

    def arrived(self, event: Event) -> UserShard:
        """Deliver the updates that are due before an event; return its user's shard, row loaded."""
        self._arrive(event.ts)
        shard = self._shard(event.user)
        load(shard, [(shard.offset, event.ts, event)], lambda users: [None] * len(users))
        return shard

    def learn(self, shard: UserShard, event: Event, scored: Scored | None = None) -> None:
        """Learn an event whose user's row is loaded, and the click on the list it was scored by."""
        self.known.add(event.item)
        decoded: list[Decoded] = [(shard.offset, event.ts, event)]
        fold = shard.fold(decoded, shard.offset + 1, self.table)
        shard.users.committed()
        found = None if scored is None or any(fold.held) else scored
        if found is not None and found.ranked is not None and found.clicked is not None:
            if fold.accepted:  # no duplicate
                self._teach(event, found.ranked, found.clicked, fold.records)
                if self.neural is not None:
                    self.neural.learn(event, found.ranked, found.clicked)
        self._late.append((self.count, event.ts, fold.records))
        self.count += 1

    def forget(self, user: str, now: int) -> None:
        """Drop a user's row, as a forget message does; now: time of the latest event, ms."""
        self._control(self._shard(user), Forget(user), now)
        self.times.pop(user, None)

    def merge(self, user: str, visitor: str, now: int) -> None:
        """Add a visitor's history to a user's, as a merge message does."""
        [*asked] = self._control(self._shard(user), Merge(user, visitor), now)
        for _, ask in asked:
            for to, give in self._control(self._shard(visitor), ask, now):
                self._control(self.flow.users[to or 0], give, now)
        self.times.pop(visitor, None)

    def _control(
        self, shard: UserShard, what: Message, now: int
    ) -> list[tuple[int | None, Ask | Give]]:
        """Let a shard fold a message that is no event; return what it sends to shards."""
        decoded: list[Decoded] = [(shard.offset, now, what)]
        load(shard, decoded, lambda users: [None] * len(users))
        fold = shard.fold(decoded, shard.offset + 1, self.table)
        shard.committed()
        self._late.append((self.count, now, fold.records))
        self.count += 1
        return fold.moves

    def shopper(self, user: str, lists: ListMaker) -> Shopper:
        """Return a user as lists that are made now see them; a stranger has no history."""
        shard = self._shard(user)
        row = shard.users.row(user) if user in shard.users.row_of else no_user()
        return lists.shopper(row, self.table, user, self.times.get(user, {}), shard.types)

    def _shard(self, user: str) -> UserShard:
        return self.flow.users[self._parts.of(user)]

    def _score(self, shard: UserShard, event: Event, counted: bool) -> Scored | None:
        row = shard.users.row(event.user)
        history = len(row.ts)
        if not history or self.settings.events.weights.get(event.type, 0.0) <= 0.0:
            return None
        lists = self.flow.prepared()
        if event.item not in self.known or not lists.ready:
            return Scored(True, NAN, NAN, np.zeros(0), history, None)
        target = self.table.row_of.get(event.item, -1)
        last = self.times.get(event.user, {})
        shopper = lists.shopper(row, self.table, event.user, last)
        if lists.rules.rules.filters and target >= 0:
            if lists.removed(shopper, self.table, target):
                return None
        counted = counted or self.settings.lists.rotation > 0.0  # which goes by what was listed
        ranked = self._rank(shopper, target if counted else -1, counted)
        at = np.flatnonzero(ranked.candidates == target)
        clicked = int(at[0]) if len(at) and target >= 0 else None
        rank = by_blend = NAN
        if not counted:
            return Scored(False, NAN, NAN, ranked.full_ranks, history, ranked, clicked)
        if clicked is not None:
            rank = by_blend = self._rank_of(ranked, clicked)
            if self.flow.lists.network is not None:
                by_blend = float(rank_of(ranked.blended, clicked))
        told = self._told(ranked, event.ts)
        if told is not None:
            rank = by_blend = told.rows.index(target) if target in told.rows else NAN
        return Scored(False, rank, by_blend, ranked.full_ranks, history, ranked, clicked, told)

    def _told(self, person: Ranked, now: int) -> Told | None:
        """Return what the user gets with the last item, or those of the session, as a basket."""
        if self._context is None:
            return None
        who = person.shopper
        rows = who.history[:1]
        if self._context.place.context == BASKET:
            lasts = (
                len(rows) > 0 and now - who.times[0] <= 1e3 * self.settings.lists.session_seconds
            )
            rows = who.history[who.in_session] if lasts else rows[:0]
        return self._context.listed(self.flow.lists, self.table, person, rows.tolist())

    def _rank_of(self, ranked: Ranked, at: int) -> float:
        """Return the rank of candidate `at` by score, ties in the middle; under rules by list."""
        if self.flow.lists.rules.reorders:
            listed = np.flatnonzero(ranked.order == at)
            return float(listed[0]) if len(listed) else NAN
        return float(rank_of(ranked.scores, at))

    def _rank(self, shopper: Shopper, target: int, with_network: bool) -> Ranked:
        lists, table = self.flow.lists, self.table
        [ranked] = lists.rank([shopper], table, [target], with_network=with_network)
        if self.settings.lists.rotation:
            last = self.times.get(shopper.name, {})
            keys = self.table.keys[ranked.candidates[ranked.order]].tolist()
            self.times[shopper.name] = {key: 1 + last.get(key, 0) for key in keys}
        return ranked

    def _teach(self, event: Event, ranked: Ranked, clicked: int, records: list[Updates]) -> None:
        """Let the learned blend's owner know which candidate was clicked."""
        blend = self.settings.blend
        weight = blend.event_weights.get(event.type, 1.0)
        if blend.kind == "learned" and weight > 0.0:
            click = ranked.features.click(clicked, weight)
            records[blend_owner(len(records))].clicks += [click] if click is not None else []

    def _arrive(self, now: int) -> None:
        """Deliver the updates that are due, and let the table follow."""
        while self._late:
            count, ts, _ = self._late[0]
            if self.lag.milliseconds:
                if ts + self.lag.milliseconds > now:
                    break
            elif count + self.lag.events >= self.count:
                break
            self._deliver_next()
        self._follow()

    def end(self) -> None:
        """Deliver what is late: then the lists know all events."""
        while self._late:
            self._deliver_next()
        self._follow()

    def _deliver_next(self) -> None:
        deliver(self.flow.items, self._late.popleft()[2])
        self._stale = True

    def _follow(self) -> None:
        if self._stale:
            self.flow.follow()
            self._stale = False


def cut_in(count: int) -> Parts:
    """Return the state cut into `count` user shards and as many item shards."""
    return Parts(count, count, lambda user: key_of(user) % count)
