"""Prequential evaluation: every event is first looked up in the list, then learnt.

The folds, the item table and the list maker are those of the live system; only Kafka and Redis
between them are left out. Updates reach the item shards `lag` later: with 0 the lists know every
earlier event, otherwise they are made from parameters as of then.
"""

from collections import deque
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from streamrec.blend.learned import with_click
from streamrec.blend.rules import blend_owner
from streamrec.events.event import Event, Item
from streamrec.ranking.lists import ListMaker, Ranked
from streamrec.settings.sections import Settings
from streamrec.state.follow import Follower
from streamrec.state.item_shard import ItemShard
from streamrec.state.item_table import ItemTable
from streamrec.state.keys import key_of
from streamrec.state.metadata_shard import MetadataShard
from streamrec.state.rows import UserRow
from streamrec.state.updates import Updates
from streamrec.state.user_shard import UserShard

Array = NDArray[Any]


class Lag(NamedTuple):
    """How late updates arrive; of both, the one that is not 0."""

    events: int = 0
    milliseconds: int = 0


class Looked(NamedTuple):
    """One event that was scored before it was learnt."""

    new_item: bool  # never seen before: a miss for all
    place: float  # in the blend's list, NaN: not among the candidates
    places: Array  # float64[M], in each source's full ranking; NaN where the item is new
    history: int  # number of the user's earlier items
    ranked: Ranked | None  # None for a new item
    clicked: int | None = None  # its number among the candidates


class Prequential:
    """N user shards and N item shards in one process, and the lists made from them."""

    def __init__(self, settings: Settings, workers: int = 1, lag: Lag | None = None) -> None:
        self.settings = settings
        self.workers = workers
        self.lag = lag or Lag()
        self.table = ItemTable(settings, with_lists=True)
        self.users = [UserShard(n, settings, workers, 0) for n in range(workers)]
        self.items = [ItemShard(n, settings, 0) for n in range(workers)]
        self._metadata = MetadataShard(0, settings.factors.size, workers, 0)
        self._lists = ListMaker(settings)
        self._follower = Follower(self.table)
        self._late: deque[tuple[int, int, list[Updates]]] = deque()
        self._offsets = [0] * workers
        self._count = 0
        self._stale = False  # the shards know what the table does not
        self._prepared = False  # the lists know what the table does
        self._known: set[str] = set()
        self._times: dict[str, dict[int, int]] = {}  # of the last list, where rotation asks

    def announce(self, item: Item) -> None:
        """Take in the metadata of an item, as from the items topic."""
        offset = self._metadata.offset
        for shard, record in zip(
            self.items, self._metadata.fold([(offset, item)], offset + 1), strict=True
        ):
            shard.fold(record)
        self._stale = True

    def step(self, event: Event, in_session: bool | None = None) -> Looked | None:
        """Score one event if it can be, then learn it.

        in_session: where the log names sessions and lists leave out a session's items, whether
        the user has an earlier event in this one, and none on the item; without it a gap in time
        ends a session.
        """
        self._arrive(event.ts)
        number = key_of(event.user) % self.workers
        shard, offset = self.users[number], self._offsets[number]
        missing = shard.users.missing([event.user])
        if missing:
            shard.users.load(missing, [None])
        row = shard.users.row_of[event.user]
        if in_session is None or self.settings.lists.exclude != "session":
            scorable = shard.scorable(event, event.ts)
        else:  # lists go by the gap: what they leave out is what lies near the newest event
            scorable = in_session and shard.scorable(event, shard.newest(event.user))
        looked = self._look(shard, row, event) if scorable else None
        self._known.add(event.item)
        fold = shard.fold([(offset, event.ts, event)], offset + 1, self.table)
        shard.users.committed()
        self._offsets[number] = offset + 1
        if looked is not None and looked.ranked is not None and looked.clicked is not None:
            self._sample(event, looked.ranked, looked.clicked, fold.records)
        self._late.append((self._count, event.ts, fold.records))
        self._count += 1
        return looked

    def _look(self, shard: UserShard, row: int, event: Event) -> Looked | None:
        user = user_row(shard, row)
        if not len(user.ts) or self.settings.events.weights.get(event.type, 0.0) <= 0.0:
            return None
        history = len(user.ts)
        if not self._prepared:
            self._lists.prepare(self.table)
            self._prepared = True
        if event.item not in self._known or not self._lists.ready:
            return Looked(True, float("nan"), np.zeros(0), history, None)
        target = self.table.row_of.get(event.item, -1)
        if self.settings.lists.filters and target >= 0:
            if self._lists.removed(user, self.table, target, event.user):
                return None
        ranked = self._rank(user, event.user, target)
        at = np.flatnonzero(ranked.candidates == target)
        if not len(at) or target < 0:
            return Looked(False, float("nan"), ranked.places, history, ranked)
        clicked = int(at[0])
        return Looked(False, self._place(ranked, clicked), ranked.places, history, ranked, clicked)

    def _place(self, ranked: Ranked, at: int) -> float:
        """Return the place of candidate `at` by score, ties mid way; by list under rules."""
        lists = self.settings.lists
        if lists.filters or lists.diversity != "none":
            listed = np.flatnonzero(ranked.order == at)
            return float(listed[0]) if len(listed) else float("nan")
        level = ranked.scores == ranked.scores[at]
        above = ranked.scores > ranked.scores[at]
        return float(above.sum() + (level.sum() - 1) / 2.0)

    def _rank(self, user: UserRow, name: str, target: int) -> Ranked:
        if not self.settings.lists.rotation:
            return self._lists.rank([user], self.table, [target], [name])[0]
        last = self._times.get(name, {})
        [ranked] = self._lists.rank([user], self.table, [target], [name], [last])
        keys = self.table.keys[ranked.candidates[ranked.order]].tolist()
        self._times[name] = {key: 1 + last.get(key, 0) for key in keys}
        return ranked

    def _sample(self, event: Event, ranked: Ranked, clicked: int, records: list[Updates]) -> None:
        """Let the learned blend's owner know which candidate was clicked."""
        blend = self.settings.blend
        weight = blend.event_weights.get(event.type, 1.0)
        if blend.kind != "learned" or weight <= 0.0:
            return
        header = records[blend_owner(self.workers)].header
        header.samples.append((header.first, with_click(ranked.features.sample(), clicked, weight)))

    def _arrive(self, now: int) -> None:
        """Deliver the updates that are due; bring table and lists up to date."""
        while self._late:
            count, ts, records = self._late[0]
            if self.lag.milliseconds:
                if ts + self.lag.milliseconds > now:
                    break
            elif count + self.lag.events >= self._count:
                break
            self._late.popleft()
            for shard, record in zip(self.items, records, strict=True):
                shard.fold(record)
            self._stale = True
        if self._stale:
            for shard in self.items:
                self._follower.refresh(shard)
            self._stale, self._prepared = False, False


def user_row(shard: UserShard, row: int) -> UserRow:
    """Return a read-only view of a cached user row."""
    a = shard.users.arrays
    recent, seen = a.recent[row], a.seen_sizes[row]
    columns = [a.keys[row, :recent], a.ts[row, :recent], a.types[row, :recent]]
    columns += [a.takes[row, :recent], a.seen[row, :seen]]
    for column in columns:
        column.flags.writeable = False
    events, offset, clock = int(a.events[row]), int(a.offsets[row]), int(a.clocks[row])
    return UserRow(events, offset, clock, int(a.segments[row]), *columns)
