"""The copy of the item table equals the owners' rows, whatever the feed went through."""

import random
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

import numpy as np
import pytest
from laws.spine import Spine
from laws.world import event, small

from streamrec.blend.rules import BLEND_KEY, blend_owner
from streamrec.errors import StoreError, UnknownVersion
from streamrec.settings.sections import Settings
from streamrec.state.item_rows import ITEMS
from streamrec.state.item_table import ItemTable
from streamrec.transport.redis import item_feed
from streamrec.transport.redis.item_feed import ItemFeed
from streamrec.transport.redis.store import Store

Make = Callable[..., Spine]


@pytest.fixture
def make(make_spine: Callable[[Settings, int], Spine]) -> Make:
    return lambda parts=2, **sections: make_spine(small(**sections), parts)


def clicks(count: int, seed: int = 1, items: int = 12) -> list[dict[str, Any]]:
    rng = random.Random(seed)
    return [event(f"u{rng.randrange(6)}", f"i{rng.randrange(items)}", ts=n) for n in range(count)]


def check(spine: Spine, table: ItemTable) -> None:
    """Compare every row of the table with what the owners have stored."""
    kinds = {name: k for name, k in table.schema.kinds.items() if table.with_lists or name == ITEMS}
    stored: dict[str, dict[int, dict[str, Any]]] = {name: {} for name in kinds}
    for n in range(spine.parts):
        for name, kind in kinds.items():
            for field, blob in spine.store.all_rows(f"i{n}", name).items():
                stored[name][int.from_bytes(field, "little")] = kind.read(blob)
    a, keys = table.arrays, table.keys.tolist()
    assert {k for k, there in zip(keys, a.stored, strict=False) if there} == stored[ITEMS].keys()
    for row, key in enumerate(keys):
        for name in kinds:
            check_row(table, name, row, stored[name].get(key))
        if key in stored[ITEMS]:
            parts = [np.float32(stored[ITEMS][key][name]) for name in ("targets", "deltas")]
            assert (a.contexts[row] == sum(parts)).all()
            assert table.ids[row] is not None
    check_blend(spine, table)


def check_row(table: ItemTable, kind: str, row: int, stored: dict[str, Any] | None) -> None:
    """Compare one row of a table with a stored one of a kind; None: there is none."""
    for column in [c for c in table.columns if c.kind == kind and c.stored]:
        mine = table.arrays.named(column.name)[row]
        if not column.sized_by:
            if stored is not None:
                assert np.array_equal(mine, stored[column.name]), column.name
            continue
        size = int(table.arrays.named(column.sized_by)[row])
        assert size == (stored[column.sized_by] if stored else 0), column.name
        mine = mine[: min(size, column.width)]
        mine = table.keys[mine] if column.table == "rows" else mine
        assert mine.tolist() == (stored[column.name].tolist() if stored else []), column.name


def check_blend(spine: Spine, table: ItemTable) -> None:
    """Compare the table's blend with the stored one, if any; the user stage reads none."""
    shard = f"i{blend_owner(spine.parts)}"
    stored = spine.store.all_rows(shard, "blend")
    mine = {BLEND_KEY: table.blend.to_bytes()} if table.blend else {}
    assert mine == (stored if table.with_lists else {})


def test_refreshes_follow_the_owners(make: Make) -> None:
    spine = make()
    feed, rng = spine.new_feed(), random.Random(3)
    for n, one in enumerate(clicks(100)):
        spine.learn([one])
        if rng.random() < 0.4:
            assert feed.refresh(float(n), spine.metrics)
            check(spine, feed.table)
    assert spine.value("item_table_loads_total", kind="full") == 2 + 2  # two shards, two tables
    assert set(feed.table.ids[: len(feed.table)]) == {f"i{n}" for n in range(12)}


def test_a_table_for_the_user_stage_has_no_neighbours(make: Make) -> None:
    spine = make()
    spine.learn(clicks(80), batch=10)
    feed = spine.new_feed(with_lists=False)
    feed.refresh(1.0, spine.metrics)
    spine.learn(clicks(80, seed=2), batch=10)
    feed.refresh(2.0, spine.metrics)
    assert not any(column.sized_by for column in feed.table.columns)
    stored = feed.table.arrays.stored[: len(feed.table)]
    assert stored.all() and len(stored) == 12


@pytest.mark.parametrize("entries_seen", [0, 1])
def test_a_reader_that_falls_behind_loads_all_rows(make: Make, entries_seen: int) -> None:
    spine = make(items={"feed_entries": 3})
    feed = spine.new_feed()
    spine.learn(clicks(30), batch=10)
    feed.refresh(1.0, spine.metrics)
    for n in range(entries_seen):
        spine.learn(clicks(10))
        feed.refresh(1.1 + n, spine.metrics)
    full = spine.value("item_table_loads_total", kind="full")
    spine.learn(clicks(60, seed=2, items=20), batch=10)
    feed.refresh(8.0, spine.metrics)
    check(spine, feed.table)
    assert spine.value("item_table_loads_total", kind="full") >= full + 2
    spine.learn(clicks(10, seed=3))
    feed.refresh(9.0, spine.metrics)
    check(spine, feed.table)


@pytest.mark.parametrize("field", ["version", "schema"])
def test_rows_of_another_release_or_other_sources_are_refused(make: Make, field: str) -> None:
    spine = make(parts=1)
    spine.learn(clicks(5))
    spine.store.client("sr:{i0}:meta").hset("sr:{i0}:meta", field, "2")
    with pytest.raises(UnknownVersion):
        spine.new_feed().refresh(1.0, spine.metrics)


def test_evicted_items_leave_the_table(make: Make) -> None:
    spine = make(parts=1, items={"max_items": 10})
    feed = spine.new_feed()
    for n in range(8):
        spine.learn(clicks(20, seed=n, items=5 + 4 * n))
        feed.refresh(float(n + 1), spine.metrics)
        check(spine, feed.table)


def test_evicted_items_leave_the_table_of_a_reader_that_fell_behind(make: Make) -> None:
    spine = make(parts=1, items={"max_items": 10, "feed_entries": 2})
    feed = spine.new_feed()
    spine.learn(clicks(20, items=9))
    feed.refresh(1.0, spine.metrics)
    for n in range(5):
        spine.learn([event("u9", f"new {n} {k}", ts=100) for k in range(9) for _ in "123"])
    feed.refresh(2.0, spine.metrics)
    check(spine, feed.table)


def test_after_many_evictions_the_table_is_made_anew(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(item_feed, "MOST_REMOVED", 20)
    spine = make(parts=1, items={"max_items": 10})
    feed = spine.new_feed()
    longest = 0
    for n in range(12):
        spine.learn([event("u9", f"new {n} {k}", ts=n) for k in range(9)])
        feed.refresh(float(n + 1), spine.metrics)
        longest = max(longest, len(feed.table))
    feed.refresh(99.0, spine.metrics)
    check(spine, feed.table)
    assert longest < 60


def test_metadata_arrives(make: Make) -> None:
    spine = make()
    feed = spine.new_feed()
    spine.learn(clicks(20))
    feed.refresh(1.0, spine.metrics)
    row = feed.table.row_of["i3"]
    assert feed.table.arrays.available[row]
    spine.describe(item="i3", title="Three", available=False)
    spine.describe(item="never clicked", title="New")
    spine.turn()
    feed.refresh(2.0, spine.metrics)
    assert not feed.table.arrays.available[row]
    new = feed.table.row_of["never clicked"]
    assert feed.table.arrays.stored[new] and feed.table.arrays.available[new]
    spine.describe(item="i3", available=True)
    spine.turn()
    fresh = spine.new_feed()
    for each in (feed, fresh):
        each.refresh(3.0, spine.metrics)
        assert each.table.arrays.available[each.table.row_of["i3"]]


class FailingStore(Store):
    """Fails at the n-th call; does something at the n-th scan of rows."""

    fail_at = 0
    at_scan: Callable[[], None] | None = None

    def run(self, calls: Any) -> list[Any]:
        self.fail_at -= 1
        if self.fail_at == 0:
            raise StoreError("a reply was lost")
        return super().run(calls)

    def each(self, calls: Sequence[tuple[Any, ...]]) -> list[Any]:
        self.fail_at -= 1
        if self.fail_at == 0:
            raise StoreError("a reply was lost")
        return super().each(calls)

    def all_rows(self, shard: str, kind: str) -> dict[bytes, bytes]:
        self.fail_at -= 1
        if self.fail_at == 0:
            raise StoreError("a reply was lost")
        found = super().all_rows(shard, kind)
        if self.at_scan is not None:
            self.at_scan, act = None, self.at_scan
            act()
        return found


@pytest.mark.parametrize("loaded", [False, True])
def test_a_lost_reply_loses_no_rows(make: Make, loaded: bool) -> None:
    """Redis fails at any call of a refresh, of the first one or of a later one."""
    spine = make()
    wrong = []
    for fail_at in range(1, 8):
        store = FailingStore(spine.settings.redis)
        feed = spine.new_feed(store=store)
        if loaded:
            feed.refresh(1.0, spine.metrics)
        spine.learn(clicks(20, seed=fail_at))
        store.fail_at = fail_at
        with suppress(StoreError):
            feed.refresh(2.0, spine.metrics)
        store.fail_at = 0
        feed.refresh(3.0, spine.metrics)
        try:
            check(spine, feed.table)
        except AssertionError:
            wrong.append(fail_at)
        store.close()
    assert wrong == []


def test_a_feed_that_is_trimmed_during_a_full_load(make: Make) -> None:
    spine = make(parts=1, items={"feed_entries": 2})
    spine.learn(clicks(20))
    store = FailingStore(spine.settings.redis)
    store.at_scan = lambda: spine.learn(clicks(60, seed=2, items=80), batch=10)
    feed = spine.new_feed(store=store)
    for now in (1.0, 2.0, 3.0):
        feed.refresh(now, spine.metrics)
    check(spine, feed.table)
    store.close()


def test_commits_during_a_full_load_come_through_the_feed(make: Make) -> None:
    spine = make(parts=1)
    spine.learn(clicks(20))
    store = FailingStore(spine.settings.redis)
    store.at_scan = lambda: spine.learn(clicks(60, seed=2), batch=10)
    feed = spine.new_feed(store=store)
    feed.refresh(1.0, spine.metrics)
    check(spine, feed.table)
    store.close()


def test_ages(make: Make) -> None:
    spine = make()
    feed = ItemFeed(spine.store, ["i0", "i1"], spine.new_feed()._new_table, every=5.0)
    spine.learn(clicks(10))
    assert feed.refresh(100.0, spine.metrics)
    assert (feed.refreshed, feed.age_events("u0", 10)) == (100.0, 0)
    spine.learn(clicks(7))
    assert not feed.refresh(104.9, spine.metrics)
    assert feed.age_events("u0", 17) == 7
    assert feed.refresh(105.0, spine.metrics)
    assert feed.age_events("u0", 17) == 0
    assert [marks["u0"] for marks in feed.marks.values()] == [17, 17]
