"""What Redis holds of one user, and whether anything is left of one who was to be forgotten."""

import json
from collections.abc import Iterator, Mapping
from typing import NamedTuple

import msgspec
import numpy as np

from streamrec.inspection.stored_state import Line, Stored, earlier_of, item_ids, name_of
from streamrec.neural.sample import unpacked
from streamrec.settings.sections import Settings
from streamrec.sources.registry import names_of
from streamrec.sources.repeats import gap_hours
from streamrec.state import served
from streamrec.state.keys import key_of
from streamrec.state.user_fold import Forgotten
from streamrec.state.user_rows import decode_user
from streamrec.transport.redis.forgetting import FORGOTTEN
from streamrec.transport.redis.keys import DUE, LATER, key, reading_key, shown_key
from streamrec.transport.redis.places import all_keys, stored_places
from streamrec.transport.redis.store import Store


class Traces(NamedTuple):
    """All keys and fields that name a user, but for what was noted of their forgetting."""

    rows: dict[str, bytes]  # by shard
    due: dict[str, float]  # by shard: since when, epoch ms
    listed: bytes | None
    shown: bytes | None
    reading: bytes | None
    places: dict[str, bytes]  # lists at other places than home

    @property
    def names(self) -> list[str]:
        """What is there, in words."""
        beside = {"list": self.listed, "shown row": self.shown, "kept reading": self.reading}
        there = [name for name, blob in beside.items() if blob is not None]
        rows = [f"row in {shard}" for shard in self.rows]
        there += [f"list at {name}" for name in self.places]
        return rows + [f"due in {shard}" for shard in self.due] + there


def traces_of(stored: Stored, user: str) -> Traces:
    """Look at every kind of key that can name the user."""
    names, store = stored.names("u"), stored.store
    rows = store.many_rows([(shard, "users", [user]) for shard in names])
    waits = {(shard, kind): key(shard, kind) for kind in (LATER, DUE) for shard in names}
    since = store.run([("ZSCORE", name, user) for name in waits.values()])
    due = {s: float(at) for (s, _), at in zip(waits, since, strict=True) if at is not None}
    places = stored_places(store)
    home, *others = all_keys(user, places)
    listed, shown, reading = store.values([home, shown_key(user), reading_key(user)])
    at_places = zip(places[1:], store.values(others), strict=True)
    return Traces(
        {shard: row for shard, [row] in zip(names, rows, strict=True) if row is not None},
        due,
        listed,
        shown,
        reading,
        {name: blob for name, blob in at_places if blob is not None},
    )


def noted(stored: Stored, user: str) -> dict[str, Forgotten]:
    """Return by shard what is noted of a user who was forgotten and may not be gone everywhere."""
    names = stored.names("u")
    found = stored.store.many_rows([(shard, FORGOTTEN, [user]) for shard in names])
    return {
        shard: msgspec.json.decode(told, type=Forgotten)
        for shard, [told] in zip(names, found, strict=True)
        if told is not None
    }


def known_of(stored: Stored, settings: Settings, user: str) -> Line:
    """Return all that is stored of a user, items by their ids."""
    ids, traces = item_ids(stored), traces_of(stored, user)
    listed = traces.listed
    return {
        "user": user,
        "histories": [_history(stored, ids, shard, row) for shard, row in traces.rows.items()],
        "due_since": min(traces.due.values(), default=None),
        "list": None if listed is None else json.loads(listed),
        "places": {name: json.loads(blob) for name, blob in traces.places.items()},
        "shown": None if traces.shown is None else _shown(traces.shown, ids, settings),
        "reading": None if traces.reading is None else _reading(traces.reading, ids),
        "duplicate_ids": dict(_duplicate_ids(stored.store, stored.names("u"), user)),
        "forgotten": {shard: msgspec.structs.asdict(t) for shard, t in noted(stored, user).items()},
    }


def _history(stored: Stored, ids: Mapping[bytes, str], shard: str, blob: bytes) -> Line:
    meta, row = stored.meta(shard), decode_user(blob)
    types = meta.types if meta else []
    short = _by_hash(ids, 32)
    columns = row.keys, row.types.tolist(), row.ts.tolist(), row.takes.tolist()
    gaps = row.gaps.tolist() or [0] * len(row.keys)
    return {
        "partition": shard,
        "events": row.events,
        "last_event_at": row.clock,
        "last_offset": row.offset,
        "segment": _name(ids, row.segment)[1:] if row.segment else None,
        "recent": [
            {"item": name_of(ids, k.tobytes()), "type": types[kind], "ts": ts, "takes": takes}
            | ({"usual_gap_hours": gap_hours(gap)} if gap else {})
            for k, kind, ts, takes, gap in zip(*columns, gaps, strict=True)
        ],
        "earlier": earlier_of(row, types, ids),
        "seen_before": [short.get(seen, f"hash:{seen:08x}") for seen in row.seen.tolist()],
        "flood_tokens": row.tokens,
    }


def _shown(blob: bytes, ids: Mapping[bytes, str], settings: Settings) -> Line:
    sources, row = ("blend", *names_of(settings)), served.read_shown(blob)
    if row is None or len(row.lists) != len(sources):
        return {"bytes": len(blob)}
    short = _by_hash(ids, served.BITS)
    names = [short.get(hashed, f"hash:{hashed:06x}") for hashed in row.shorts.tolist()]
    lists = [[names[place] for place in places.tolist()] for places in row.lists]
    return {
        "at": row.at,
        "lists": dict(zip(sources, lists, strict=True)),
        "times_in_a_row": {_name(ids, k): n for k, n in served.times_shown(blob).items()},
        "candidates_with_features": names[: row.candidates],
    }


def _by_hash(ids: Mapping[bytes, str], bits: int) -> dict[int, str]:
    """Return ids by the lower bits of their keys, of which rows have no more; "a or b" of two."""
    found: dict[int, str] = {}
    for full, name in ids.items():
        short = int.from_bytes(full[: bits // 8], "little")
        found[short] = f"{found[short]} or {name}" if short in found else name
    return found


def _reading(blob: bytes, ids: Mapping[bytes, str]) -> Line:
    kept = unpacked(blob)
    if kept is None:
        return {"bytes": len(blob)}
    past, candidates = (
        [_name(ids, key) for key in keys.tolist() if key] for keys in (kept.past_keys, kept.keys)
    )
    return {"at": kept.made_at, "past_items": past, "candidates": candidates}


def _name(ids: Mapping[bytes, str], key: int) -> str:
    return name_of(ids, key.to_bytes(8, "little"))


def _duplicate_ids(store: Store, shards: list[str], user: str) -> Iterator[tuple[str, int]]:
    """Yield how many event ids of the user each shard's duplicate window has: as hashes alone."""
    mine = np.uint64(key_of(user))
    for shard in shards:
        chunks = store.all_rows(shard, "rings")
        owners = [blob for field, blob in chunks.items() if field.startswith(b"owners:")]
        if count := int((np.frombuffer(b"".join(owners), "<u8") == mine).sum()):
            yield shard, count
