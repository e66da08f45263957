"""The user fold: events of one partition in, user rows and update records out."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from streamrec.events.event import Event, Forget, Rejected
from streamrec.settings.sections import Settings
from streamrec.sources.registry import sources_of
from streamrec.sources.segment import SEGMENT_PREFIX
from streamrec.state import schema, updates, user_kernel
from streamrec.state.duplicates import Duplicates
from streamrec.state.history import EXCLUDE
from streamrec.state.item_table import ItemTable
from streamrec.state.keys import key_of
from streamrec.state.latest import Latest
from streamrec.state.newcomers import Newcomers
from streamrec.state.ring import Ring
from streamrec.state.split import columns_for
from streamrec.state.user_fold import Admitted, Counters, Decoded, Forgotten, UserFold
from streamrec.state.user_kernel import EVENT, Steps, UserRules
from streamrec.state.user_rows import UserRows

Array = NDArray[Any]
STRIDE = 1_000_003
"""Between the seeds of two partitions' draws: a prime, above any number of seeds tried."""


Forgetting = dict[str, tuple[tuple[int, ...], Forgotten]]
"""By user: the rows that were dropped, and what was in them."""


class UserShard:
    """State of one events partition. Bounds: users.cached_users, events.duplicate_window, ring."""

    def __init__(self, number: int, settings: Settings, item_partitions: int, start: int) -> None:
        self.name = f"u{number}"
        self.settings = settings
        self.item_partitions = item_partitions
        self.start = self.offset = start
        self.counters = Counters()
        self._set_types(list(settings.events.weights))
        self.duplicates = Duplicates(settings.events.duplicate_window)
        self.latest = Latest(settings.factors.ring)
        self.newcomers = Newcomers()
        self._forgotten: dict[str, Forgotten] = {}  # since the last commit
        self.stored_users = 0
        self.evicted: list[bytes] = []  # users to delete with the next commit
        self.rules = UserRules(
            settings.factors.seed + STRIDE * (number + 1),
            settings.factors.context,
            settings.factors.context_decay,
            settings.factors.context_norm,
            settings.factors.prior,
            settings.factors.uniform_share,
            EXCLUDE[settings.lists.exclude],
            int(settings.lists.session_seconds * 1000),
            settings.users.newcomer_items,
            settings.users.newcomer_ratio,
        )
        self.window_pairs = longest_window(settings)
        self.users = UserRows(settings.users)

    def fold(self, decoded: Sequence[Decoded], next_offset: int, table: ItemTable) -> UserFold:
        """Learn one batch whose users are all loaded: offsets self.offset to next_offset."""
        counts = Counters(consumed=len(decoded))
        accepted, rejected, forgotten = self._admit(decoded, counts)
        batch = self._arrays(accepted, table)
        steps = self._learn(batch, table)
        shared = {
            "offsets": batch["offset"], "ts": batch["ts"], "times": batch["time"],
            "weights": np.abs(self._type_weights[batch["type"]]),
            "z": steps.z.astype(np.float16), "g": steps.g.astype(np.float16),
        }  # fmt: skip
        span, records = (self.start, self.offset, next_offset), []
        for part in range(self.item_partitions):
            where = part, self.item_partitions
            columns, named = columns_for(where, batch, steps, shared, table.keys)
            ids = {index: table.ids[row] or "" for index, row in named}
            header = updates.Header(self.name, *span, table.size, ids=list(ids.items()))
            records.append(updates.make(header, columns))
        self.offset = next_offset
        for name in counts.__struct_fields__:
            setattr(self.counters, name, getattr(self.counters, name) + getattr(counts, name))
        for rows, told in forgotten.values():
            told.events = int(self.users.arrays.events[list(rows)].sum())
            told.recent = int(self.users.arrays.recent[list(rows)].sum())
        told_by = {user: told for user, (_, told) in forgotten.items()}
        self._forgotten |= told_by
        times = [(one.time, one.event) for one in accepted]
        kept = [one.row == self.users.row_of.get(one.event.user) for one in accepted]
        self.users.note_changed([e.user for (_, e), yes in zip(times, kept, strict=True) if yes])
        scorable, held = steps.scorable.tolist(), steps.held.tolist()
        return UserFold(records, rejected, times, scorable, held, kept, told_by, counts)

    def _rings(self) -> tuple[Ring, ...]:
        return self.duplicates.ids, self.latest.ring, self.newcomers.ring

    def newest(self, user: str) -> int:
        """Return the time of the newest entry of a loaded user's history, 0 without one."""
        arrays, row = self.users.arrays, self.users.row_of[user]
        size = int(arrays.recent[row])
        return int(arrays.ts[row, size - 1]) if size else 0

    def scorable(self, event: Event, ts: int) -> bool:
        """Say whether a list made now could hold a loaded user's next item, taken at `ts`."""
        if self._codes[event.type][0] != user_kernel.POSITIVE:
            return False
        users, row, rules = self.users.arrays, self.users.row_of[event.user], self.rules
        size, seen = users.recent[row], users.seen[row, : users.seen_size[row]]
        past, key = (users.keys[row, :size], users.ts[row, :size]), np.uint64(key_of(event.item))
        return bool(user_kernel.scorable(past, seen, key, ts, rules.exclude, rules.session_ms))

    def changes(self) -> tuple[dict[str, dict[bytes, bytes]], dict[str, str | int]]:
        """Return the rows and meta fields to store since the last call; snapshots, never views."""
        meta: dict[str, str | int] = {
            "version": schema.VERSION,
            "offset": self.offset,
            "start": self.start,
            "users": self.users_next,
            "types": json.dumps(self.types),
            "rings": json.dumps([(len(r.keys), r.total) for r in self._rings()]),
            "counters": json.dumps(msgspec.structs.asdict(self.counters)),
        }
        chunks = self.duplicates.changed_chunks()
        for ring in self._rings()[1:]:
            chunks |= ring.changed_chunks()
        told = {u.encode(): msgspec.json.encode(told) for u, told in self._forgotten.items()}
        return {"users": self.users.changed(), "rings": chunks, "forgotten": told}, meta

    def whole(self) -> tuple[dict[str, dict[bytes, bytes]], dict[str, str | int]]:
        """Return all rows that are in memory, and the meta fields, in the form of `changes`."""
        self.note_all(list(self.users.row_of))
        return self.changes()

    def note_all(self, users: Sequence[str]) -> None:
        """Note that the rows of these users, and all of the rings, are to be stored."""
        self.users.note_changed(users)
        self.duplicates.note_changed()
        for ring in self._rings()[1:]:
            ring.note_changed()

    @property
    def users_next(self) -> int:
        """How many rows are stored after the next commit."""
        return self.stored_users + self.users.created - len(self.deletes)

    @property
    def deletes(self) -> list[bytes]:
        """Users whose rows the next commit deletes, before it stores the changed ones."""
        return self.evicted + [user.encode() for user in sorted(self.users.dropped)]

    def committed(self) -> None:
        """Note that the changes are stored; keep the cache within its bound."""
        self.stored_users = self.users_next
        self.evicted, self._forgotten = [], {}
        self.users.committed()

    @classmethod
    def restore(
        cls,
        number: int,
        settings: Settings,
        item_partitions: int,
        meta: Mapping[bytes, bytes],
        chunks: Mapping[bytes, bytes],
    ) -> "UserShard":
        """Return the shard as its last commit left it; user rows are loaded when needed."""
        schema.check_version(np.array([int(meta[b"version"])]), f"user shard {number}")
        shard = cls(number, settings, item_partitions, int(meta[b"start"]))
        shard.offset = int(meta[b"offset"])
        shard.stored_users = int(meta[b"users"])
        shard.counters = msgspec.json.decode(meta[b"counters"], type=Counters)
        shard._set_types(list(dict.fromkeys(json.loads(meta[b"types"]) + shard.types)))
        window, latest, newcomers = json.loads(meta[b"rings"])
        capacity = settings.events.duplicate_window
        shard.duplicates = Duplicates.restore(capacity, tuple(window), chunks)
        shard.latest = Latest.restore(settings.factors.ring, tuple(latest), chunks)
        shard.newcomers = Newcomers.restore(tuple(newcomers), chunks)
        return shard

    def _admit(
        self, decoded: Sequence[Decoded], counts: Counters
    ) -> tuple[
        list[Admitted], list[tuple[int, Rejected]], dict[str, tuple[tuple[int, ...], Forgotten]]
    ]:
        """Sort out rejected, duplicate and flooding events, and users to forget: (rows, what)."""
        accepted: list[Admitted] = []
        rejected: list[tuple[int, Rejected]] = []
        forgotten: Forgetting = {}
        flood = self.settings.events.flood_per_minute > 0
        for offset, time, event in decoded:
            if isinstance(event, Rejected):
                rejected.append((offset, event))
            elif isinstance(event, Forget):
                rows, before = forgotten.get(event.user, ((), None))
                ids = self.duplicates.forget(event.user) + (before.ids if before else 0)
                rows = (*rows, self.users.forget(event.user))
                forgotten[event.user] = rows, Forgotten(offset, time, ids=ids)
                counts.control += 1
            elif event.id is not None and not self.duplicates.is_new(
                event.user, event.id, personal=event.personal
            ):
                counts.duplicate += 1
            elif not event.personal:
                accepted.append(Admitted(offset, time, event, self.users.nobody()))
            elif flood and self._floods(self.users.row_of[event.user], time):
                counts.suppressed += 1
                self.users.note_changed([event.user])
            else:
                accepted.append(Admitted(offset, time, event, self.users.row_of[event.user]))
        counts.accepted, counts.rejected = len(accepted), len(rejected)
        return accepted, rejected, forgotten

    def _floods(self, row: int, time: int) -> bool:
        """Take a token of the user's bucket, filled by the log's time; say if there was none."""
        settings, users = self.settings.events, self.users.arrays
        gained = max(0, time - int(users.clock[row])) * settings.flood_per_minute / 60_000
        tokens = min(float(settings.flood_burst), float(users.tokens[row]) + gained)
        users.clock[row] = max(time, users.clock[row])
        users.tokens[row] = tokens if tokens < 1.0 else tokens - 1.0
        return tokens < 1.0

    def _arrays(self, accepted: Sequence[Admitted], table: ItemTable) -> Array:
        """Return EVENT[n]."""
        rows = [
            (
                row, table.row(e.item), *self._code(e), e.ts, offset, time,
                self._segment_row(e, table),
            )
            for offset, time, e, row in accepted
        ]  # fmt: skip
        return np.array(rows, EVENT)

    def _code(self, event: Event) -> tuple[int, int]:
        """Return the event's kind and the number of its type; it counts if it is not personal."""
        kind, code = self._codes[event.type]
        return (kind if event.personal else user_kernel.COUNT), code

    @staticmethod
    def _segment_row(event: Event, table: ItemTable) -> int:
        named = event.segment if event.personal else None
        return table.row(SEGMENT_PREFIX + named) if named else -1

    def _learn(self, batch: Array, table: ItemTable) -> Steps:
        """Run the kernel over the batch."""
        n, factors = len(batch), self.settings.factors
        width = max(factors.context, self.window_pairs)
        ring = self.latest.arrays(table, self.users)
        keys = table.keys[batch["item"]]
        crowd = self.newcomers.arrays(keys)
        steps = Steps(
            np.empty((n, width), np.int32),
            np.zeros((n, factors.context), np.float32),
            np.empty((n, 1 + factors.negatives), np.int32),
            np.zeros((n, 1 + factors.negatives), np.float32),
            np.zeros((n, 1 + factors.negatives), np.float32),
            np.zeros((n, factors.size), np.float32),
            np.zeros((n, factors.size), np.float32),
            np.zeros(n, np.float32),
            np.zeros(n, np.int64),
            np.zeros(n, np.bool_),
            np.zeros(n, np.bool_),
            np.zeros(n, np.bool_),
            np.zeros(n, np.bool_),
            np.empty((n, 1 + self.rules.newcomer_items), np.int32),
            np.zeros(n, np.float32),
            np.zeros(n, np.int64),
            self.window_pairs,
        )
        a, index = table.arrays, (table.index.slot_keys, table.index.slot_rows)
        items = (
            table.keys, table.live(), index, a.targets, a.contexts, a.bias, *table.prior_heat()
        )  # fmt: skip
        user_kernel.fold(
            tuple(self.users.arrays), batch, tuple(ring), tuple(crowd), self._type_weights,
            items, tuple(self.rules), tuple(steps),
        )  # fmt: skip
        self.latest.push(keys[(batch["kind"] == user_kernel.POSITIVE) & ~steps.held])
        self.newcomers.push(keys[steps.noted], steps.new[steps.noted])
        return steps

    def _set_types(self, types: list[str]) -> None:
        """Give the event types their numbers; what is stored has these."""
        weights = [self.settings.events.weights.get(name, 0.0) for name in types]
        self.types = types
        self._type_weights = np.array(weights, np.float32)
        self._codes = {
            name: (user_kernel.kind_of(name, weight), code)
            for code, (name, weight) in enumerate(zip(types, weights, strict=True))
        }


def longest_window(settings: Settings) -> int:
    """Return how many earlier items an event is paired with, over all sources."""
    return max(source.window() for source in sources_of(settings))
