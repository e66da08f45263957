"""The flow with what it stores: dictionaries stand in for Redis, lists for the updates topic."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from hypothesis import strategies as st
from make import merged
from recovery.recount import Raw, Recount, User, Visit

from streamrec.flow import Flow, decode
from streamrec.settings.sections import Settings
from streamrec.sources.registry import sources_of
from streamrec.sources.similarity import read_list
from streamrec.state import updates
from streamrec.state.item_rows import ItemSchema
from streamrec.state.item_shard import ItemShard
from streamrec.state.item_table import ItemTable
from streamrec.state.keys import field_of, owner_of
from streamrec.state.schema import Kind
from streamrec.state.user_fold import UserFold
from streamrec.state.user_rows import decode_user
from streamrec.state.user_shard import UserShard

NOW = 1_700_000_000_000
SMALL: dict[str, dict[str, Any]] = {
    "users": {"recent_items": 5, "seen_items": 4, "segment_users": 1},
    "events": {"duplicate_window": 8},
    "similarity": {"window": 3, "neighbours": 30, "half_life_seconds": 50.0},
    "cosine": {"window": 4, "neighbours": 5, "half_life_seconds": 80.0},
    "successors": {"window": 2, "entries": 6},
    "content": {"size": 4},
    "factors": {"size": 4, "negatives": 4, "context": 2, "ring": 7},
    "blend": {"hidden": 3},
}
TYPES = ("click", "click", "click", "view", "purchase", "dislike", "remove", "impression")


def small(**sections: dict[str, Any]) -> Settings:
    """Return settings whose bounds are reached within a few events."""
    return merged(SMALL, **sections)


def event(user: str, item: str, kind: str = "click", ts: int = 0, **more: Any) -> dict[str, Any]:
    """Return an event `ts` seconds after NOW - 1000 s."""
    return {"user": user, "item": item, "type": kind, "ts": NOW + (ts - 1000) * 1000} | more


def raws(events: Sequence[dict[str, Any] | bytes | None], every: int = 1) -> list[Raw]:
    """Return the events as messages at every so many-th offset."""
    values = [json.dumps(e).encode() if isinstance(e, dict) else e for e in events]
    return [Raw(every * n, NOW + n, value) for n, value in enumerate(values)]


def logs(most: int = 40, users: int = 3, items: int = 7) -> st.SearchStrategy[list[Raw]]:
    """Logs of one partition: late events, repeated ids, users to forget or not to keep, garbage."""
    one = st.builds(
        event,
        st.integers(0, users - 1).map(lambda n: f"u{n}"),
        st.integers(0, items - 1).map(lambda n: f"i{n}"),
        st.sampled_from(TYPES),
        st.integers(0, 12),
    )
    named = st.tuples(one, st.integers(0, 9)).map(lambda e: e[0] | {"id": f"e{e[1]}"})
    garbage = st.sampled_from([b"{", None, b'{"user": "u0"}'])
    forget = st.integers(0, users - 1).map(lambda n: {"user": f"u{n}", "type": "forget"})
    nameless = st.one_of(one, named).map(lambda e: e | {"personal": False})
    each = st.one_of(one, named, one, named, one, garbage, forget, nameless)
    steps = st.lists(st.tuples(each, st.integers(1, 2)), max_size=most)
    return steps.map(_with_holes)


def _with_holes(steps: list[tuple[Any, int]]) -> list[Raw]:
    at = np.cumsum([gap for _, gap in steps]).tolist()
    found = raws([value for value, _ in steps])
    return [raw._replace(offset=offset) for raw, offset in zip(found, at, strict=True)]


class World:
    """One or more events partitions, `parts` item partitions, and what is stored of them."""

    def __init__(self, settings: Settings, parts: int = 1, sources: int = 1) -> None:
        self.settings, self.parts = settings, parts
        self.rows: dict[str, dict[str, dict[bytes, bytes]]] = {}
        self.metas: dict[str, dict[bytes, bytes]] = {}
        self.sent: list[list[bytes]] = [[] for _ in range(parts)]
        self.unknown = 0
        self.flow = Flow(settings, sources, parts)
        self.users, self.items = self.flow.users, self.flow.items

    @property
    def table(self) -> ItemTable:
        """The user stage's copy of the items, filled through bytes."""
        return self.flow.table

    def fold(self, log: Sequence[Raw], source: int = 0) -> UserFold:
        """Fold a batch, as the user stage does, and neither send nor store it."""
        stored = self.rows.get(self.users[source].name, {}).get("users", {})
        decoded = decode(self.flow.decoder, log)
        return self.flow.fold(
            decoded, source, lambda users: [stored.get(u.encode()) for u in users]
        )

    def send(self, fold: UserFold) -> None:
        """Append the batch's records to the updates topic."""
        for sent, record in zip(self.sent, fold.records, strict=True):
            sent.append(updates.encode(record))

    def commit_users(self, source: int = 0) -> None:
        shard = self.users[source]
        changed, meta = shard.changes()
        self._store(shard.name, changed, {"users": shard.deletes}, meta)
        shard.committed()

    def learn(self, log: Sequence[Raw], source: int = 0) -> UserFold:
        """Fold, send and store a batch; the owners learn it; the table is refreshed."""
        fold = self.fold(log, source)
        self.send(fold)
        self.commit_users(source)
        self.deliver()
        return fold

    def deliver(self) -> None:
        """Let the owners learn and store what was sent; bring the table up to date."""
        for shard, sent in zip(self.items, self.sent, strict=True):
            for record in sent[shard.offset :]:
                self.unknown += shard.fold(updates.decode(record)).unknown
                shard.offset += 1
            changed, deleted, meta = shard.changes()
            self._store(shard.name, changed, deleted, meta)
            fill(self.table, changed, deleted["items"])

    def restart_users(self, source: int = 0, *, new_table: bool = True) -> None:
        """Lose the user stage's memory; go on from what is stored."""
        name = f"u{source}"
        if new_table:
            self.flow.table = ItemTable(self.settings, with_lists=True)
            for shard in self.items:
                fill(self.table, self.rows.get(shard.name, {}), [])
        self.users[source] = (
            UserShard.restore(
                source, self.settings, self.parts, self.metas[name], self.rows[name]["rings"]
            )
            if name in self.metas
            else UserShard(source, self.settings, self.parts, 0)
        )

    def restart_items(self) -> None:
        for n in range(self.parts):
            name = f"i{n}"
            if name in self.metas:
                kept = self.rows[name]
                self.items[n] = ItemShard.restore(n, self.settings, self.metas[name], kept)

    def _store(self, name: str, changed: Any, deleted: Any, meta: dict[str, Any]) -> None:
        keep(self.rows.setdefault(name, {}), changed, deleted)
        self.metas[name] = meta_bytes(meta)

    def item_rows(self) -> dict[str, dict[str, Any]]:
        """Return the stored rows of the kind `items` by item."""
        found, kind = {}, item_kind(self.settings)
        for kept in (self.rows[f"i{n}"] for n in range(self.parts)):
            for field, blob in kept["items"].items():
                found[json.loads(kept["catalogue"][field])["item"]] = kind.read(blob)
        return found

    def recount(self) -> Recount:
        """Return what is stored in the form of the recount."""
        return stored_recount(self.settings, self.rows, self.metas)


def item_kind(settings: Settings, kind: str = "items") -> Kind:
    """Return how rows of a kind lie in bytes."""
    return ItemSchema(sources_of(settings)).kinds[kind]


def keep(rows: dict[str, dict[bytes, bytes]], changed: Any, deleted: Any) -> None:
    """Store what one commit changed and deleted, by kind."""
    for kind, fields in deleted.items():
        for field in fields:
            rows.setdefault(kind, {}).pop(field, None)
    for kind, fields in changed.items():
        assert all(type(blob) is bytes for blob in fields.values())
        rows.setdefault(kind, {}).update(fields)


def meta_bytes(meta: Mapping[str, Any]) -> dict[bytes, bytes]:
    """Return meta fields as Redis gives them back."""
    return {k.encode(): str(v).encode() for k, v in meta.items()}


def stored_recount(
    settings: Settings,
    rows: Mapping[str, Mapping[str, Mapping[bytes, bytes]]],
    metas: Mapping[str, Mapping[bytes, bytes]],
) -> Recount:
    """Return stored rows, by shard and kind, in the form of the recount."""
    names, found, kind = dict[bytes, str](), Recount(), item_kind(settings)
    owners = {name: kinds for name, kinds in rows.items() if name.startswith("i")}
    for name, kinds in owners.items():
        for field, blob in kinds["catalogue"].items():
            names[field] = json.loads(blob)["item"]
            assert owner_of(field, len(owners)) == int(name[1:])
            assert field_of(names[field]) == field
    for kinds in owners.values():
        for field, blob in kinds["items"].items():
            row, item = kind.read(blob), names[field]
            found.item_events[item], found.item_pairs[item] = row["events"], row["pairs"]
        for field, blob in kinds["similarity"].items():
            keys, _, counts = read_list(blob)
            for key, count in zip(keys, counts.tolist(), strict=True):
                found.pairs[names[field], names[key.tobytes()]] = count
    for name, meta in metas.items():
        if name.startswith("u"):
            _recount_users(int(name[1:]), rows[name]["users"], meta, names, found)
    return found


def _recount_users(number: int, users: Any, meta: Any, names: Any, found: Recount) -> None:
    types, counters = json.loads(meta[b"types"]), json.loads(meta[b"counters"])
    for user, blob in users.items():
        row = decode_user(blob)
        visits = zip(row.ts.tolist(), row.keys, row.types.tolist(), strict=True)
        history = [Visit(ts, 0, names[key.tobytes()], types[t]) for ts, key, t in visits]
        assert len({visit.item for visit in history}) == len(history)
        columns = row.earlier_keys, row.earlier_types.tolist(), row.earlier_ts.tolist()
        earlier = [(names[k.tobytes()], types[t], ts) for k, t, ts in zip(*columns, strict=True)]
        found.users[user.decode()] = User(row.events, history, earlier=earlier)
    if int(meta[b"offset"]):
        found.partitions[number] = {"offset": int(meta[b"offset"])} | counters
    assert 2 * counters["consumed"] == sum(counters.values())


def fill(table: ItemTable, changed: dict[str, dict[bytes, bytes]], deleted: list[bytes]) -> None:
    """Bring a table up to date with the changes of one commit."""
    if deleted:
        table.remove(np.frombuffer(b"".join(deleted), "<u8"))
    for kind, stored in changed.items():
        table.apply(kind, list(stored.items()))


def counted(settings: Settings, *partitions: Sequence[Raw]) -> Recount:
    """Return the recount of the logs; messages without an effect on users leave none."""
    users = settings.users.recent_items, settings.events.duplicate_window
    count = Recount(settings.similarity.window, *users, seen_items=settings.users.seen_items)
    count.newcomer_items = settings.users.newcomer_items
    count.newcomer_ratio = settings.users.newcomer_ratio
    for number, log in enumerate(partitions):
        count.partition(number, log)
    count.rejected.clear()
    count.partitions = {n: c for n, c in count.partitions.items() if c["offset"]}
    return count
