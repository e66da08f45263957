"""`streamrec size` against a real Redis and real processes with made-up rows: within 15 %."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from servers import RedisServer
from typer.testing import CliRunner

from streamrec.cli import app
from streamrec.inspection.sizes import (
    METADATA,
    NAME,
    Amount,
    Part,
    learn_parts,
    redis_parts,
    score_parts,
)
from streamrec.ranking.item_lists import ItemList, Neighbour
from streamrec.settings.load import load
from streamrec.settings.sections import Settings
from streamrec.state.item_shard import ItemShard
from streamrec.state.keys import field_of, key_of, owner_of
from streamrec.state.newcomers import WINDOW
from streamrec.state.schema import VERSION, Arrays, Kind
from streamrec.state.user_rows import USERS, user_columns
from streamrec.transport.redis.keys import LATER, key
from streamrec.transport.redis.store import Store

USERS_COUNT, ITEMS, PARTITIONS = 4_000, 12_000, 2
AT_ONCE = 500
ONE, MANY = Amount(1, 1, 1), Amount(1000, 1000, 1)
SHOWN, FEATURES = 370, 1_180
"""Bytes of a shown row, and what a quarter has more; test_sizes_learnt.py makes real ones."""
RATE, FEED = 8.0, 100
"""Events a second, so few that each list keeps its reading; and bytes of a feed entry of them."""
Calls = list[tuple[Any, ...]]


def total(parts: Sequence[Part]) -> float:
    return sum(part.bytes for part in parts)


def full(kind: Kind, count: int) -> list[bytes]:
    """Return rows with every list as long as it may be."""
    arrays = Arrays(kind.columns, count)
    for column in kind.lists:
        arrays.named(column.sized_by)[:] = column.width
        keys = column.dtype == "<u8"
        most = ITEMS if keys else 100
        drawn = np.random.default_rng(1).integers(0, most, (count, column.width))
        named = np.array([key_of(f"item {n}") for n in range(ITEMS)], np.uint64)
        arrays.named(column.name)[:] = named[drawn] if keys else drawn
    return kind.pack(arrays, np.arange(count))


def fill(settings: Settings, store: Store) -> None:
    """Store made-up rows and lists: as many, and as long, as the formula is asked for."""
    store.declare(PARTITIONS, PARTITIONS, PARTITIONS, settings.factors.size)
    users = [f"user {n:0{NAME - 5}}" for n in range(USERS_COUNT)]
    people = Kind(USERS, user_columns(settings.users.recent_items, settings.users.seen_items))
    schema = ItemShard(0, settings, 0).schema
    calls: Calls = []
    for n, (user, row) in enumerate(zip(users, full(people, USERS_COUNT), strict=True)):
        calls.append(("HSET", key(f"u{n % PARTITIONS}", USERS), user, row))
        calls.append(("ZADD", key(f"u{n % PARTITIONS}", LATER), 1795420484028 + 2 * n, user))
    items = [f"item {n}" for n in range(ITEMS)]
    for kind in schema.kinds.values():
        if kind.name != "texts":
            for item, row in zip(items, full(kind, ITEMS), strict=True):
                calls.append(of_item(item, kind.name, row))
    for item in items:
        entry = json.dumps({"item": item, "title": ""})
        title = "x" * (METADATA - len(entry))
        calls.append(of_item(item, "catalogue", json.dumps({"item": item, "title": title})))
    beside = [Neighbour(f"item {n}", 0.1234) for n in range(settings.items.similar_length)]
    for item in items:
        similar = msgspec.json.encode(ItemList(item, 1795420484028, beside, beside))
        calls.append(("SET", f"sim:{item}", similar, "EX", 600_000))
    random = np.random.default_rng(2)
    entries = [{"item": f"item {n:03}", "score": -1.0723, "source": "similarity",
                "because": ["item 012", "item 345"]} for n in range(20)]  # fmt: skip
    for user in users:
        one = {"user": user, "at": 1795420484028, "model": "m", "offset": 7, "items": entries}
        length = SHOWN + (FEATURES if random.random() < 0.25 else 0)
        calls += [
            ("SET", f"rec:{user}", json.dumps(one, separators=(",", ":")), "EX", 600_000),
            ("SET", f"sr:shown:{user}", random.bytes(length), "EX", 600_000),
            ("SET", f"sr:reading:{user}", random.bytes(6_000), "EX", 600_000),
        ]
    for n in range(PARTITIONS):
        sizes = {"ids": settings.events.duplicate_window, "latest": 5_000, "newcomers": WINDOW}
        for name, size in sizes.items():
            for at in range(0, size, 512):
                chunk = random.bytes(8 * min(512, size - at))
                calls.append(("HSET", key(f"u{n}", "rings"), f"{name}:{at // 512}", chunk))
        meta = {"version": VERSION, "schema": schema.signature, "offset": 1, "commits": 0,
                "marks": "{}"}  # fmt: skip
        calls.append(("HSET", key(f"i{n}", "meta"), *(x for pair in meta.items() for x in pair)))
        for _ in range(settings.items.feed_entries):
            entry = (b"head", b"{}", b"items", random.bytes(FEED))
            calls.append(("XADD", key(f"i{n}", "feed"), "*", *entry))
    for at in range(0, len(calls), AT_ONCE):
        store.run(calls[at : at + AT_ONCE])


def of_item(item: str, kind: str, row: bytes | str) -> tuple[Any, ...]:
    own = field_of(item)
    return ("HSET", key(f"i{owner_of(own, PARTITIONS)}", kind), own, row)


def emptied(client: Any) -> int:
    """Return the bytes of a Redis without keys, when also those flushed before are given back."""
    client.execute_command("FLUSHALL", "SYNC")
    end = time.monotonic() + 30.0
    while client.info("memory")["lazyfree_pending_objects"] and time.monotonic() < end:
        time.sleep(0.05)
    return int(client.info("memory")["used_memory"])


def peak(role: str, url: str) -> int:
    """Return the most bytes that a process in the role took, the kernels being compiled."""
    script = Path(__file__).with_name("sized.py")
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
    for each in ("warm", role):  # who compiles takes twice as much
        done = subprocess.run(
            [sys.executable, str(script), each, url],
            env=environment, check=True, capture_output=True, text=True, timeout=400,
        )  # fmt: skip
    return int(done.stdout)


def test_the_formula_is_within_15_percent_of_the_truth(clean_redis: RedisServer) -> None:
    flags = {"text.model": "hashed", "neural.sample_bytes_per_second": "50000"}
    settings = load(None, {}, {"redis.url": clean_redis.url, **flags})
    before = emptied(clean_redis.client())
    store = Store(settings.redis)
    fill(settings, store)
    of = Amount(USERS_COUNT, ITEMS, PARTITIONS, rate=RATE)
    told = {
        "redis": total(redis_parts(settings, of)),
        "learn": total(learn_parts(settings, of)),
        "score": total(score_parts(settings, of)),
    }
    found = {"redis": clean_redis.client().info("memory")["used_memory"] - before}
    found |= {role: peak(role, clean_redis.url) for role in ("learn", "score")}
    store.close()
    print({name: (round(told[name] / 1e6), round(found[name] / 1e6)) for name in told})
    for name in told:
        assert told[name] == pytest.approx(found[name], rel=0.15), name


def test_the_command_prints_the_sums(nothing_configured: None) -> None:
    options = ["--users", "1000000", "--items", "50000", "--partitions", "4"]
    common = ["--set", "text.model=hashed", "size"]
    done = CliRunner().invoke(app, [*common, *options])
    assert done.exit_code == 0
    settings = load(None, {}, {"text.model": "hashed"})
    of = Amount(1_000_000, 50_000, 4)
    for parts in (redis_parts(settings, of), learn_parts(settings, of), score_parts(settings, of)):
        assert f"{total(parts) / 1e6:,.1f}  " in done.stdout
        assert all(part.what in done.stdout for part in parts)
    fifth = of._replace(fill=0.2, item_fill=0.2)
    assert total(redis_parts(settings, fifth)) < 0.8 * total(redis_parts(settings, of))
    for more, wanted in (
        ([], fifth),
        (["--item-fill", "0.7"], fifth._replace(item_fill=0.7)),
        (["--rate", "3000"], fifth._replace(rate=3000.0)),
    ):
        less = CliRunner().invoke(app, [*common, *options, "--fill", "0.2", *more])
        assert f"{total(redis_parts(settings, wanted)) / 1e6:,.1f}  Redis" in less.stdout


@pytest.mark.parametrize("rate", [1.0, 2.0, 5.0, 20.0, 300.0])
def test_what_training_needs_takes_a_tenth_of_all_else_at_most(rate: float) -> None:
    def takes(**flags: str) -> float:
        settings = load(None, {}, {f"neural.{name}": value for name, value in flags.items()})
        return total(redis_parts(settings, Amount(1_000_000, 20_000, 4, rate=rate)))

    assert takes(on="false") == takes(sample_bytes_per_second="0")
    assert takes(on="false") < takes() <= 1.1 * takes(on="false")


def test_an_encoder_and_rules_take_more() -> None:
    hashed = load(None, {}, {"text.model": "hashed"})
    texts = load(None, {}, {"text.model": "minilm"})
    each = [part.what for part in redis_parts(texts, ONE)]
    assert "texts rows" in each
    assert "texts rows" not in [part.what for part in redis_parts(hashed, ONE)]
    rules = load(None, {}, {"text.model": "hashed", "lists.filters": '["available"]'})
    assert total(score_parts(rules, MANY)) > total(score_parts(hashed, MANY))


def test_every_place_takes_what_its_lists_do() -> None:
    home = load(None, {}, {"text.model": "hashed"})
    two = load(None, {}, {"text.model": "hashed", "places.deals": "{length = 10}"})
    lists = {part.what: part.bytes for part in redis_parts(two, MANY)}
    assert lists["lists of other places"] == pytest.approx(lists["lists"] / 2, rel=0.15)
    more = total(redis_parts(two, MANY)) - total(redis_parts(home, MANY))
    assert more == lists["lists of other places"]
    longer = load(None, {}, {"text.model": "hashed", "places.home": "{length = 40}"})
    [each] = [part.bytes for part in redis_parts(longer, MANY) if part.what == "lists"]
    assert each > 1.5 * lists["lists"]
