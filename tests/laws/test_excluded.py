"""What a place leaves out by event type and age, against all events of the log."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as budget_of
from hypothesis import strategies as st
from laws.test_merging import Site
from laws.world import World, event, raws, small

from streamrec.ranking.shoppers import excluded_by, shopper_of
from streamrec.settings.places import EVER, SESSION
from streamrec.settings.types import changed
from streamrec.state.keys import key_of
from streamrec.state.user_rows import decode_user

TYPES = ("view", "cart", "purchase")
GAP = 30
CONFIG = small(users={"recent_items": 12}, lists={"session_seconds": float(GAP)})
Log = list[tuple[str, str, int]]
AGES = st.dictionaries(st.sampled_from(TYPES), st.sampled_from([SESSION, EVER, 20_000.0, 90_000.0]))
LOGS = st.lists(
    st.tuples(st.sampled_from("abcdef"), st.sampled_from(TYPES), st.integers(0, 150)), max_size=24
)


def learnt(log: Log, recent_items: int = 12) -> World:
    world = World(changed(CONFIG, users={"recent_items": recent_items}))
    world.learn(raws([event("u0", *one) for one in log]))
    return world


def excluded(log: Log, ages: dict[str, float]) -> set[str]:
    """Return what the user's row says after these events: (item, type, seconds)."""
    world = learnt(log)
    row = decode_user(world.rows["u0"]["users"][b"u0"])
    who = shopper_of(CONFIG, world.table, row, "u0", {}, world.users[0].types)
    rows = excluded_by(ages, CONFIG, who, world.table)
    return {world.table.ids[row] or "" for row in rows.tolist()}


@pytest.mark.parametrize(
    ("log", "ages", "out"),
    [
        ([("a", "purchase", 0), ("a", "view", 10)], {"purchase": EVER}, {"a"}),
        ([("a", "view", 0), ("a", "purchase", 10)], {"purchase": EVER}, {"a"}),
        ([("a", "view", 0), ("a", "purchase", 10)], {"view": EVER}, {"a"}),
        ([("a", "purchase", 0), ("a", "view", 10)], {"purchase": 5_000.0}, set()),
        ([("a", "purchase", 0), ("a", "view", 10)], {"purchase": SESSION}, {"a"}),
        ([("a", "purchase", 0), ("a", "view", 90)], {"purchase": SESSION}, set()),
        ([("a", "view", 10), ("a", "purchase", 0)], {"purchase": EVER}, {"a"}),  # it came late
        ([("a", "purchase", 0), ("a", "view", 10), ("a", "remove", 11)], {"purchase": EVER}, set()),
    ],
)
def test_a_purchase_that_was_looked_at_again_is_still_one(
    log: Log, ages: dict[str, float], out: set[str]
) -> None:
    assert excluded([*log, ("z", "view", 12)], ages) - {"z"} == out


@budget_of(max_examples=60)
@given(LOGS.filter(bool), AGES)
def test_every_item_goes_by_its_newest_event_of_each_type(log: Log, ages: dict[str, float]) -> None:
    newest = max(ts for _, _, ts in log)
    times: dict[tuple[str, str], int] = {}
    for item, kind, ts in log:
        times[item, kind] = max(ts, times.get((item, kind), ts))
    began = newest
    for ts in sorted(times.values(), reverse=True):
        if began - ts > GAP:
            break
        began = ts
    out = set()
    for (item, kind), ts in times.items():
        age = ages.get(kind, -1e9)
        if (age == SESSION and ts >= began) or (age >= 0 and 1000 * (newest - ts) <= age):
            out.add(item)
    assert excluded(log, ages) == out


@budget_of(max_examples=40)
@given(LOGS)
def test_what_was_done_before_is_bounded_and_of_items_of_the_history(log: Log) -> None:
    """The newest of each type is kept, but for the latest event's, of which the history says it."""
    world = learnt(log, 5)
    for blob in world.rows.get("u0", {}).get("users", {}).values():
        row = decode_user(blob)
        pairs = list(zip(row.earlier_keys.tolist(), row.earlier_types.tolist(), strict=True))
        latest = dict(zip(row.keys.tolist(), row.types.tolist(), strict=True))
        assert len(set(pairs)) == len(pairs) <= 5
        assert all(key in latest and latest[key] != kind for key, kind in pairs)


def test_the_newest_stay_where_there_are_too_many() -> None:
    log = [(item, kind, n) for n, item in enumerate("abcdefgh") for kind in TYPES]
    world = learnt(log, 8)
    row = decode_user(world.rows["u0"]["users"][b"u0"])
    assert len(row.earlier_keys) == 8
    kept = set(row.earlier_keys.tolist())
    assert {int(np.uint64(key_of(item))) for item in "efgh"} == kept


def test_what_was_done_with_an_item_goes_with_it() -> None:
    log = [("a", "purchase", 0), ("a", "view", 1), ("b", "cart", 2), ("b", "view", 3)]
    full = [*log, *((item, "view", 4 + n) for n, item in enumerate("cdef"))]
    for events, left in ((log, "ab"), (full, "b"), ([*full, ("b", "remove", 20)], "")):
        world = learnt(events, 5)
        row = decode_user(world.rows["u0"]["users"][b"u0"])
        assert row.earlier_keys.tolist() == [key_of(item) for item in left]


def test_what_a_visitor_bought_is_what_the_user_bought() -> None:
    """Whoever did it first, and whoever looked at it later; what is hidden by neither is new."""
    site = Site()
    for partition, user, kind, items in (
        (0, "ann", "purchase", "0"), (1, "anon-9", "view", "0"),
        (1, "anon-9", "purchase", "1"), (1, "anon-9", "view", "1"),
        (1, "anon-9", "purchase", "2"), (0, "ann", "view", "2"),
    ):  # fmt: skip
        ts = 10 * len(site.logs[0]) + 20 * len(site.logs[1])
        site.send(partition, *(event(user, f"i{item}", kind, ts) for item in items))
    site.learn()
    site.send(0, {"user": "ann", "type": "merge", "from": "anon-9"})
    site.learn()
    row = decode_user(site.world.rows["u0"]["users"][b"ann"])
    types = site.world.users[0].types
    told = {
        (key, types[kind])
        for key, kind in zip(row.earlier_keys.tolist(), row.earlier_types.tolist(), strict=True)
    }
    hidden = {
        (key, types[kind]) for key, kind in zip(row.keys.tolist(), row.types.tolist(), strict=True)
    }
    done = {(key_of(f"i{n}"), kind) for n in range(3) for kind in ("purchase", "view")}
    assert told | hidden == done and not told & hidden and len(told) == 3
