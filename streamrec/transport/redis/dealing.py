"""Deals the rows of all shards to more of them, in windows, beside the old ones; counts again."""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from itertools import islice
from typing import TypeVar

import msgspec
import numpy as np
from numpy.typing import NDArray

from streamrec.errors import ConfigurationError
from streamrec.growth import item_rows, recount, rings, user_rows
from streamrec.growth.plan import Plan
from streamrec.growth.recount import Tally, tally
from streamrec.settings.sections import UserSettings
from streamrec.state import schema, segments
from streamrec.state.keys import key_of, owner_of
from streamrec.state.user_fold import Counters
from streamrec.transport.kafka.log import partition_of
from streamrec.transport.redis.growing import WAITING, staged
from streamrec.transport.redis.keys import Shards, all_shards, key
from streamrec.transport.redis.nodes import as_store_errors
from streamrec.transport.redis.store import Store

AT_ONCE = 1000
"""Rows of one window; also in memory are the names of one shard's rows, and all rings."""
Pairs = Iterable[tuple[bytes, bytes]]
Value = TypeVar("Value")


class Dealing:
    """Writes what each shard of a plan will hold; the keys must be empty before."""

    def __init__(self, store: Store, before: Shards, plan: Plan, bounds: UserSettings) -> None:
        """bounds: of the lists of a user's row, where two rows are made one."""
        self._store = store
        self._before, self._plan, self._bounds = before, plan, bounds
        self._metas = {
            shard: meta
            for shard in all_shards((before.users, before.items, 0))
            if (meta := store.meta(shard))
        }
        for shard, meta in self._metas.items():
            schema.check_version(np.array([int(meta[b"version"])]), f"shard {shard}")
        self.merged: set[bytes] = set()  # users who had two rows

    def users(self, say: Callable[[str], None]) -> list[str]:
        """Deal user rows, due users and rings; return what a recount finds wrong."""
        counts = self._before.users, self._plan.events
        if not any(shard[0] == "u" for shard in self._metas):
            return []
        terms = [self._terms(number) for number in range(counts[1])]
        formers = [self._rings(f"u{n}", self._meta(n), key) for n in range(counts[0])]
        windows: list[list[rings.Window]] = [[] for _ in range(counts[1])]
        for home in range(counts[0]):
            say(f"dealing rows of u{home}")
            names, places = self._deal_users(home, [self._terms_of(home), *terms])
            former = formers[home]
            if former is not None:
                dealt = rings.dealt(former.window, home, counts, names, places)
                for number, window in dealt.items():
                    windows[number].append(window)
        for number in range(counts[1]):
            chunks, sizes = rings.rings_of(number, counts, windows[number], formers)
            self._write(f"u{number}", "rings", chunks)
            self._write_user_meta(number, terms[number].types, sizes)
        say("counting user rows again")
        return self._recount_users()

    def items(self, kinds: Sequence[str], say: Callable[[str], None]) -> list[str]:
        """Deal item rows of all kinds; return what a recount finds wrong."""
        metas = [meta for shard, meta in self._metas.items() if shard[0] == "i"]
        if not metas:
            return []
        marks = common_marks(metas, self._before.items)
        for home in range(self._before.items):
            say(f"dealing rows of i{home}")
            for kind in kinds:
                for rows in _windows(self._store.scan(f"i{home}", kind)):
                    for number, part in item_rows.deal(rows, self._plan.updates).items():
                        self._write(f"i{number}", kind, part)
        for number in range(self._plan.updates):
            shard = f"i{number}"
            [count] = self._store.run([("HLEN", staged(shard, "items"))])
            self._write(
                shard,
                "meta",
                {
                    b"version": metas[0][b"version"],
                    b"schema": metas[0][b"schema"],
                    # a reader of the former feed sees that it missed something
                    b"commits": b"%d" % (max(int(meta[b"commits"]) for meta in metas) + 1),
                    b"items": b"%d" % count,
                    b"marks": json.dumps(marks).encode(),
                },
            )
        say("counting item rows again")
        return self._recount_items(kinds)

    def _deal_users(
        self, home: int, terms: Sequence[user_rows.Terms]
    ) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
        """Deal one shard's rows and due users; return the keys of its users, and their shards."""
        shard = f"u{home}"
        found: dict[int, int] = {}
        for rows in _windows(unique(self._store.scan(shard, "users"))):
            for number, part in user_rows.deal(rows, home, terms, self._place).items():
                self._write_users(number, part)
                found.update((key_of(user.decode()), number) for user in part)
        for kind in WAITING:
            for due in _windows(self._due(key(shard, kind))):
                for number, part in item_rows.by_place(due, self._place).items():
                    flat = [text for user, at in part.items() for text in (at, user)]
                    # of one who waits in two shards, the first time counts
                    self._store.run([("ZADD", staged(f"u{number}", kind), "LT", *flat)])
        names = np.array(sorted(found), np.uint64)
        return names, np.array([found[name] for name in names.tolist()], np.int64)

    def _write_users(self, number: int, rows: dict[bytes, bytes]) -> None:
        """Write user rows; one of a user who has one there already is made one with it."""
        name, users = staged(f"u{number}", "users"), list(rows)
        [there] = self._store.run([("HMGET", name, *users)])
        for user, other in zip(users, there, strict=True):
            if other is not None:
                bounds = self._bounds.recent_items, self._bounds.seen_items
                rows[user] = user_rows.merged(other, rows[user], *bounds)
                self.merged.add(user)
        self._write(f"u{number}", "users", rows)

    def _write_user_meta(
        self, number: int, types: Sequence[str], sizes: Sequence[Sequence[int]]
    ) -> None:
        shard = f"u{number}"
        [count] = self._store.run([("HLEN", staged(shard, "users"))])
        meta = {
            b"version": b"%d" % schema.VERSION,
            b"types": json.dumps(types).encode(),
            b"users": b"%d" % count,
            b"rings": json.dumps(sizes).encode(),
            b"segments": segments.joined(m.get(b"segments") for m in self._metas.values()),
        }
        if shard not in self._metas:  # else what was counted of the partition goes on
            meta[b"counters"] = msgspec.json.encode(Counters())
        self._write(shard, "meta", meta)

    def _recount_users(self) -> list[str]:
        before, after = Tally(), Tally()
        due_before, due_after = Tally(), Tally()
        had, have = {}, {}
        events: dict[bool, int] = {False: 0, True: 0}
        for grown, count in ((False, self._before.users), (True, self._plan.events)):
            where = staged if grown else key
            for number in range(count):
                shard = f"u{number}"
                meta = self._all(where(shard, "meta"))
                if not meta:
                    continue
                types = json.loads(meta[b"types"])
                read = partial(self._scan, where(shard, "users"))
                told = recount.told_users(read(), types, self.merged)
                place = self._place if grown else partial(_stays, number)
                users = tally(told, place, number)
                due = Tally()
                for kind in WAITING:
                    due = due.plus(tally(self._due(where(shard, kind)), place, number))
                events[grown] += sum(recount.events_of(read(), self.merged).values())
                former = self._rings(shard, meta, where)
                if grown:
                    after, due_after = after.plus(users), due_after.plus(due)
                    have[number] = former
                else:
                    before, due_before = before.plus(users), due_before.plus(due)
                    had[number] = former
        found = recount.differences("users", before, after)
        if not self.merged:
            found += recount.differences("due users", due_before, due_after)
        if events[False] != events[True]:
            found.append(f"users of two rows: {events[False]} events before, {events[True]} after")
        rings_there = [{n: f for n, f in one.items() if f is not None} for one in (had, have)]
        return found + recount.lost_ids(*rings_there)

    def _recount_items(self, kinds: Sequence[str]) -> list[str]:
        found = []
        for kind in kinds:
            before, after = Tally(), Tally()
            for number in range(self._before.items):
                rows = self._scan(key(f"i{number}", kind))
                before = before.plus(tally(rows, partial(_stays, number), number))
            owner = partial(owner_of, shards=self._plan.updates)
            for number in range(self._plan.updates):
                rows = self._scan(staged(f"i{number}", kind))
                after = after.plus(tally(rows, owner, number))
            found += recount.differences(kind, before, after)
        return found

    def _place(self, user: bytes) -> int:
        return partition_of(user, self._plan.events)

    def _meta(self, number: int) -> Mapping[bytes, bytes]:
        return self._metas.get(f"u{number}", {})

    def _terms_of(self, number: int) -> user_rows.Terms:
        meta = self._meta(number)
        return user_rows.Terms(json.loads(meta.get(b"types", b"[]")), int(meta.get(b"offset", 0)))

    def _terms(self, number: int) -> user_rows.Terms:
        """Return the terms of a new shard: its own, then what is called so in others."""
        own = self._terms_of(number)
        every = [self._terms_of(n).types for n in range(self._before.users)]
        return own._replace(types=user_rows.joined([own.types, *every]))

    def _rings(
        self, shard: str, meta: Mapping[bytes, bytes], where: Callable[[str, str], str]
    ) -> rings.Former | None:
        if not meta:
            return None
        return rings.former(json.loads(meta[b"rings"]), self._all(where(shard, "rings")))

    def _write(self, shard: str, kind: str, rows: Mapping[bytes, bytes]) -> None:
        if rows:
            flat = [text for row in rows.items() for text in row]
            self._store.run([("HSET", staged(shard, kind), *flat)])

    def _all(self, name: str) -> dict[bytes, bytes]:
        return dict(self._scan(name))

    def _scan(self, name: str) -> Iterator[tuple[bytes, bytes]]:
        with as_store_errors("answer"):
            yield from unique(self._store.client(name).hscan_iter(name, count=AT_ONCE))

    def _due(self, name: str) -> Iterator[tuple[bytes, bytes]]:
        """Yield due users, and since when as a text that is the same number."""
        with as_store_errors("answer"):
            found = unique(self._store.client(name).zscan_iter(name, count=AT_ONCE))
            yield from ((user, repr(float(at)).encode()) for user, at in found)


def common_marks(metas: Sequence[Mapping[bytes, bytes]], shards: int) -> dict[str, int]:
    """Return up to where each source has told all item shards; raises ConfigurationError."""
    marks: list[dict[str, int]] = [json.loads(meta[b"marks"]) for meta in metas]
    if len(marks) < shards or any(mark != marks[0] for mark in marks):
        raise ConfigurationError(
            "not every item shard has learnt all updates: start `streamrec learn` until "
            "`streamrec audit` says that no work is left, stop it, and try again"
        )
    return marks[0]


def unique(rows: Iterable[tuple[bytes, Value]]) -> Iterator[tuple[bytes, Value]]:
    """Yield each field once: while Redis makes a hash larger, a scan may give some twice."""
    known: set[bytes] = set()
    for field, value in rows:
        if field not in known:
            known.add(field)
            yield field, value


def _stays(number: int, field: bytes) -> int:
    """Return where a row of a former shard belongs: where it is."""
    return number


def _windows(rows: Pairs) -> Iterator[dict[bytes, bytes]]:
    left = iter(rows)
    while window := dict(islice(left, AT_ONCE)):
        yield window
