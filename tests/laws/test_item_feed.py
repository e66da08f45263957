"""The copy of the item table equals the owners' rows, whatever the feed went through."""

import random
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest
from laws.spine import Spine
from laws.world import event, small

from streamrec.blend.rules import BLEND_KEY, blend_owner
from streamrec.errors import StoreError
from streamrec.settings.sections import Settings
from streamrec.state import rows
from streamrec.state.item_table import ItemTable
from streamrec.transport import item_feed
from streamrec.transport.item_feed import ItemFeed
from streamrec.transport.redis_store import Store

Make = Callable[..., Spine]


@pytest.fixture
def make(make_spine: Callable[[Settings, int], Spine]) -> Make:
    return lambda parts=2, **sections: make_spine(small(**sections), parts)


def clicks(count: int, seed: int = 1, items: int = 12) -> list[dict[str, Any]]:
    rng = random.Random(seed)
    return [event(f"u{rng.randrange(6)}", f"i{rng.randrange(items)}", ts=n) for n in range(count)]


def check(spine: Spine, table: ItemTable) -> None:
    """Compare every row of the table with what the owners have stored."""
    factors: dict[int, Any] = {}
    lists: dict[str, dict[int, bytes]] = {kind: {} for kind in rows.LIST_COLUMNS}
    size = spine.settings.factors.size
    for n in range(spine.parts):
        for field, blob in spine.store.all_rows(f"i{n}", "factors").items():
            factors[int.from_bytes(field, "little")] = rows.decode_factors([blob], size)[0]
        for kind, found in lists.items():
            for field, blob in spine.store.all_rows(f"i{n}", kind).items():
                found[int.from_bytes(field, "little")] = blob
    a, keys = table.arrays, table.keys.tolist()
    assert {k for k, stored in zip(keys, a.stored, strict=False) if stored} == factors.keys()
    for row, key in enumerate(keys):
        if key in factors:
            record = factors[key]
            assert (a.targets[row] == record["target"]).all()
            assert (a.contexts[row] == record["target"] + record["offset"]).all()
            assert a.biases[row] == record["bias"] and a.clocks[row] == record["clock"]
            assert (a.popularity[row] == record["popularity"]).all()
            assert (a.events[row], a.born[row]) == (record["events"], record["born"])
            assert table.ids[row] is not None
        for kind, found in lists.items() if table.with_lists else ():
            others, values, totals = (array[row] for array in table.lists_of(kind))
            expected = decoded(kind, found.get(key))
            assert totals == expected.total, kind
            assert table.keys[others[: len(expected.keys)]].tolist() == expected.keys
            assert values[: len(expected.keys)].tolist() == expected.values, kind
    check_blend(spine, table)


class Decoded(NamedTuple):
    """A stored list."""

    total: int
    keys: list[int]
    values: list[Any]


def decoded(kind: str, blob: bytes | None) -> Decoded:
    if blob is None:
        return Decoded(0, [], [])
    header = np.frombuffer(blob, rows.LIST_HEADER, 1)[0]
    at, n = rows.LIST_HEADER.itemsize, int(header["size"])
    keys = np.frombuffer(blob, "<u8", n, at).tolist()
    values = np.frombuffer(blob, rows.LIST_COLUMNS[kind][1], n, at + 8 * n).tolist()
    return Decoded(int(header["total"]), keys, values)


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
    assert feed.table.arrays.neighbours.shape[1] == 1
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
        try:
            feed.refresh(2.0, spine.metrics)
        except StoreError:
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
