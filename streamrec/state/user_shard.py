"""The user fold: events of one partition in, user rows and update records out."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from streamrec.events.event import Event
from streamrec.settings.sections import Settings
from streamrec.sources.registry import sources_of
from streamrec.sources.repeats import gap_ms
from streamrec.sources.segment import SEGMENT_PREFIX
from streamrec.state import schema, updates, user_kernel
from streamrec.state.admission import Admission
from streamrec.state.duplicates import Duplicates
from streamrec.state.history import EXCLUDE
from streamrec.state.item_table import ItemTable
from streamrec.state.keys import key_of
from streamrec.state.latest import Latest
from streamrec.state.moves import Arrival, Marks, add_row, keys_of
from streamrec.state.newcomers import WINDOW, Newcomers
from streamrec.state.ring import Ring
from streamrec.state.segments import Segments
from streamrec.state.split import columns_for
from streamrec.state.steps import Steps
from streamrec.state.user_fold import Admitted, Counters, Decoded, Forgotten, UserFold
from streamrec.state.user_kernel import EVENT, UserRules
from streamrec.state.user_rows import UserRows

Array = NDArray[Any]
STRIDE = 1_000_003
"""Between the seeds of two partitions' draws: a prime, above any number of seeds tried."""


class UserShard:
    """State of one events partition. Bounds: users.cached_users, events.duplicate_window, ring."""

    def __init__(self, number: int, settings: Settings, item_partitions: int, start: int) -> None:
        self.name = f"u{number}"
        self.settings = settings
        self.item_partitions = item_partitions
        self.start = self.offset = start
        self.counters = Counters()
        self._set_types(list(settings.events.weights))
        self._keep(new_rings(settings))
        self.marks = Marks()
        self.segments = Segments(settings.users.segment_users)
        self._forgotten: dict[str, Forgotten] = {}  # since the last commit
        self.stored_users = 0
        self.evicted: list[bytes] = []  # users to delete with the next commit
        self.rules = UserRules(
            seed=settings.factors.seed + STRIDE * (number + 1),
            context=settings.factors.context,
            decay=settings.factors.context_decay,
            norm=settings.factors.context_norm,
            prior=settings.factors.prior,
            uniform_share=settings.factors.uniform_share,
            exclude=EXCLUDE[settings.lists.exclude],
            session_ms=int(settings.lists.session_seconds * 1000),
            gap_ms=gap_ms(settings),
            newcomer_items=settings.users.newcomer_items,
            newcomer_ratio=settings.users.newcomer_ratio,
        )
        self.window_pairs = longest_window(settings)
        self.users = UserRows(settings.users)

    def fold(self, decoded: Sequence[Decoded], next_offset: int, table: ItemTable) -> UserFold:
        """Learn one batch whose users are all loaded: offsets self.offset to next_offset."""
        settings = self.settings.events
        taken = Admission(self.name, settings, self.users, self.duplicates, self.marks)
        taken.take(decoded)
        accepted, arrivals, counts = taken.accepted, taken.arrivals, taken.counts
        self._name_types(arrivals)
        batch = self._arrays(accepted, table)
        steps = self._learn(batch, table, arrivals)
        shared = self._shared(batch, steps)
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
        told_by = taken.leave(self.users.arrays, self.types)
        self._forgotten |= told_by
        times = [(one.time, one.event) for one in accepted]
        kept = [one.row == self.users.row_of.get(one.event.user) for one in accepted]
        self.users.note_changed([e.user for (_, e), yes in zip(times, kept, strict=True) if yes])
        came = [one for one in arrivals if one.row == self.users.row_of[one.what.user]]
        self.users.note_changed([one.what.user for one in came])
        merged = {one.what.user: one.time for one in reversed(came)}
        scorable, held = steps.scorable.tolist(), steps.held.tolist()
        return UserFold(
            records, taken.rejected, accepted=times, scorable=scorable, held=held, kept=kept,
            forgotten=told_by, counts=counts, merged=merged, moves=taken.moves,
            arrived=len(arrivals),
        )  # fmt: skip

    def _keep(self, rings: dict[str, Ring]) -> None:
        self._rings = rings
        self.duplicates = Duplicates(rings["ids"], rings["owners"])
        self.latest, self.newcomers = Latest(rings["latest"]), Newcomers(rings["newcomers"])

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
        rings = [ring for name, ring in self._rings.items() if name != "owners"]  # as ids
        meta: dict[str, str | int] = {
            "version": schema.VERSION,
            "offset": self.offset,
            "start": self.start,
            "users": self.users_next,
            "types": json.dumps(self.types),
            "rings": json.dumps([(len(r.keys), r.total) for r in rings]),
            "counters": json.dumps(msgspec.structs.asdict(self.counters)),
            "moves": self.marks.stored(),
            "segments": self.segments.stored(),
        }
        chunks: dict[bytes, bytes] = {}
        for ring in self._rings.values():
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
        for ring in self._rings.values():
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
        shard.marks = Marks.restore(meta.get(b"moves"))
        least = settings.users.segment_users
        shard.segments = Segments.restore(least, meta.get(b"segments"))
        shard._set_types(list(dict.fromkeys(json.loads(meta[b"types"]) + shard.types)))
        window, latest, newcomers = map(tuple, json.loads(meta[b"rings"]))
        stored = {"ids": window, "owners": window, "latest": latest, "newcomers": newcomers}
        shard._keep(
            {
                name: Ring.restore(name, len(ring.keys), stored[name], chunks)
                for name, ring in shard._rings.items()
            }
        )
        return shard

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

    def _segment_row(self, event: Event, table: ItemTable) -> int:
        """Return the row of the segment that an event names; -1 for none, or a made-up name."""
        if not event.segment or not event.personal:
            return -1
        name = SEGMENT_PREFIX + event.segment
        return table.row(name) if self.segments.admits(key_of(name), key_of(event.user)) else -1

    def _learn(self, batch: Array, table: ItemTable, arrivals: Sequence[Arrival]) -> Steps:
        """Run the kernel over the batch, and in between add the rows that come to users."""
        n = len(batch)
        ring = self.latest.arrays(table, self.users, keys_of(arrivals))
        keys = table.keys[batch["item"]]
        crowd = self.newcomers.arrays(keys)
        steps = Steps.empty(n, self.settings, self.window_pairs)
        a, index = table.arrays, (table.index.slot_keys, table.index.slot_rows)
        items = (
            table.keys, table.live(), index, a.targets, a.contexts, a.bias, *table.prior_heat()
        )  # fmt: skip
        done, codes = 0, {name: code for code, name in enumerate(self.types)}
        for upto, one in (*((one.before, one) for one in arrivals), (n, None)):
            user_kernel.fold(
                tuple(self.users.arrays), batch[done:upto], tuple(ring), tuple(crowd),
                self._type_weights, items, tuple(self.rules), steps.part(done, upto),
            )  # fmt: skip
            done = upto
            if one is not None:
                add_row(self.users.arrays, one, codes, self.rules)
        taught = (batch["kind"] == user_kernel.POSITIVE) & ~steps.held
        rows = _in_turn(np.where(taught, batch["item"], -1), steps.released)
        self.latest.push(table.keys[rows[rows >= 0]])
        self.newcomers.push(keys[steps.noted], steps.new[steps.noted])
        return steps

    def _shared(self, batch: Array, steps: Steps) -> dict[str, Array]:
        """Return the columns of events, each followed by what it releases, as they travel."""
        weights = _in_turn(self._type_weights[batch["type"]], steps.gains[:, 1])
        vectors = {"z": steps.z, "g": steps.g}
        return {
            "offsets": np.repeat(batch["offset"], 2),
            "ts": _in_turn(batch["ts"], steps.gain_ts[:, 1]),
            "times": np.repeat(batch["time"], 2),
            "weights": np.abs(weights),
            **{name: v.reshape(-1, v.shape[-1]).astype(np.float16) for name, v in vectors.items()},
        }

    def _name_types(self, arrivals: Sequence[Arrival]) -> None:
        """Give a number to the event types that only rows of other shards have."""
        named = [*self.types, *(name for one in arrivals for name in one.what.types)]
        if len(types := list(dict.fromkeys(named))) > len(self.types):
            self._set_types(types)

    def _set_types(self, types: list[str]) -> None:
        """Give the event types their numbers; what is stored has these."""
        weights = [self.settings.events.weights.get(name, 0.0) for name in types]
        self.types = types
        self._type_weights = np.array(weights, np.float32)
        self._codes = {
            name: (user_kernel.kind_of(name, weight), code)
            for code, (name, weight) in enumerate(zip(types, weights, strict=True))
        }


def new_rings(settings: Settings) -> dict[str, Ring]:
    """Return the rings of a shard by name: event ids and whose they are, items, newcomers."""
    window = settings.events.duplicate_window
    lengths = {
        "ids": window, "owners": window, "latest": settings.factors.ring, "newcomers": WINDOW
    }  # fmt: skip
    return {name: Ring(name, length) for name, length in lengths.items()}


def _in_turn(events: Array, released: Array) -> Array:
    """Return [2n]: what is of each event, followed by what is of the one that it releases."""
    both = np.repeat(events, 2)
    both[1::2] = released
    return both


def longest_window(settings: Settings) -> int:
    """Return how many earlier items an event is paired with, over all sources."""
    return max(source.window() for source in sources_of(settings))
