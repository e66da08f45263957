"""`streamrec export`: what Redis holds, as sorted JSON lines that any tool can compare."""

import heapq
import itertools
import json
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import IO, Any

from streamrec.commands.stored_state import Stored
from streamrec.settings.sections import Settings
from streamrec.sources.registry import sources_of
from streamrec.sources.segment import SEGMENT_PREFIX
from streamrec.state.item_rows import ITEMS, ItemSchema
from streamrec.state.user_rows import decode_user

RUN_LINES = 100_000
Line = dict[str, Any]


def run(settings: Settings, directory: Path) -> int:
    """Write users, items, pairs and partitions of the stored state into `directory`; returns 0.

    Rows are read in pieces while learning may go on, so only an idle system (`streamrec audit`
    exits with 0) gives files that belong to one moment. In memory are at most 100,000 lines, and
    the ids of all items. What is known of segments is not written.
    """
    directory.mkdir(parents=True, exist_ok=True)
    with closing(Stored(settings.redis)) as stored:
        ids, schema = _item_ids(stored), ItemSchema(sources_of(settings))
        _write(directory / "users.jsonl", _users(stored, ids))
        _write(directory / "items.jsonl", _items(stored, ids, schema))
        _write(directory / "pairs.jsonl", _pairs(stored, ids, schema))
        _write(directory / "partitions.jsonl", _partitions(stored))
    return 0


def _item_ids(stored: Stored) -> dict[bytes, str]:
    return {key: json.loads(entry)["item"] for key, entry in stored.rows("i", "catalogue")}


def _name(ids: dict[bytes, str], key: bytes) -> str:
    """Return the item's id; an evicted item's id is gone, so its key stands for it."""
    return ids.get(key) or f"key:{key.hex()}"


def _users(stored: Stored, ids: dict[bytes, str]) -> Iterator[Line]:
    for shard, meta in stored.metas("u").items():
        for user, blob in stored.store.scan(shard, "users"):
            row = decode_user(blob)
            recent = [
                {"item": _name(ids, key.tobytes()), "type": meta.types[kind], "ts": ts}
                for key, kind, ts in zip(row.keys, row.types.tolist(), row.ts.tolist(), strict=True)
            ]
            yield {"user": user.decode(), "events": row.events, "recent": recent}


def _items(stored: Stored, ids: dict[bytes, str], schema: ItemSchema) -> Iterator[Line]:
    for key, blob in stored.rows("i", ITEMS):
        row = schema.kinds[ITEMS].read(blob)
        counts = {"events": int(row["events"]), "pairs": int(row["pairs"])}
        name = _name(ids, key)
        if not name.startswith(SEGMENT_PREFIX):
            yield {"item": name, **counts}


def _pairs(stored: Stored, ids: dict[bytes, str], schema: ItemSchema) -> Iterator[Line]:
    for key, blob in stored.rows("i", "similarity"):
        if _name(ids, key).startswith(SEGMENT_PREFIX):
            continue
        row = schema.kinds["similarity"].read(blob)
        pairs = zip(row["similarity_keys"], row["similarity_counts"].tolist(), strict=True)
        for neighbour, count in pairs:
            if count:  # the reverse of a pair has a weight and no count
                names = {"item": _name(ids, key), "neighbour": _name(ids, neighbour.tobytes())}
                yield {**names, "count": count}


def _partitions(stored: Stored) -> Iterator[Line]:
    for shard, meta in stored.metas("u").items():
        yield {"partition": int(shard[1:]), "offset": meta.offset, **meta.counters}


def _write(path: Path, found: Iterable[Line]) -> None:
    """Write rows as sorted lines, equal ones once: a scan of Redis may return a row twice.

    Sorted runs of 100,000 lines go to temporary files beside the result and are merged.
    """
    lines = (json.dumps(line, ensure_ascii=False) + "\n" for line in found)
    with ExitStack() as files:
        runs: list[IO[str]] = []
        while piece := sorted(itertools.islice(lines, RUN_LINES)):
            run = tempfile.TemporaryFile("w+", encoding="utf-8", newline="\n", dir=path.parent)
            runs.append(files.enter_context(run))
            run.writelines(piece)
            run.seek(0)
        out = files.enter_context(path.open("w", encoding="utf-8", newline="\n"))
        out.writelines(line for line, _ in itertools.groupby(heapq.merge(*runs)))
