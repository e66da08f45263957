"""What each kind of event does, floods, bounds and evictions, in both folds."""

import numpy as np
import pytest
from laws.world import NOW, World, event, raws, small
from recovery.recount import Raw

from streamrec.errors import ConfigurationError, StreamrecError
from streamrec.ranking.lists import ListMaker
from streamrec.roles.learn import check_record_size
from streamrec.settings.load import load
from streamrec.settings.profiles import PROFILES
from streamrec.settings.sections import BatchSettings, Settings
from streamrec.sources.similarity import read_list
from streamrec.state.history import is_seen
from streamrec.state.keys import field_of, key_of
from streamrec.state.user_rows import decode_user, no_user

SETTINGS = small()


def learn(*events: dict[str, object]) -> World:
    world = World(SETTINGS)
    for raw in raws(list(events)):
        world.learn([raw])
    return world


def history(world: World, user: str = "u0") -> list[str]:
    return [visit.item for visit in world.recount().users[user].history]


def seen(world: World, item: str, user: str = "u0") -> bool:
    row = decode_user(world.rows["u0"]["users"][user.encode()])
    return bool(is_seen(row.seen, len(row.seen), np.uint64(key_of(item))))


def popularity(world: World, item: str) -> np.ndarray:
    return np.array(world.item_rows()[item]["popularity"])


def test_a_dislike_takes_the_item_out_and_keeps_it_seen() -> None:
    world = learn(*(event("u0", i, ts=n) for n, i in enumerate("abc")), event("u0", "b", "dislike"))
    assert history(world) == ["a", "c"]
    assert seen(world, "b") and not seen(world, "a")
    assert dict(world.recount().item_events) == {"a": 1, "b": 2, "c": 1}
    assert world.recount().item_pairs["b"] == 1  # b > c, from before
    assert popularity(world, "b")[0] == pytest.approx(0.0, abs=0.01)


def test_a_dislike_teaches_against_in_the_factors_and_makes_no_pairs() -> None:
    world = learn(event("u0", "a"), event("u0", "b", ts=1))
    before = world.item_rows()["b"]["bias"]
    pairs = world.rows["i0"]["similarity"].copy()
    world.learn([Raw(2, NOW, raws([event("u0", "b", "dislike", 2)])[0].value)])
    assert world.item_rows()["b"]["bias"] < before
    assert world.rows["i0"]["similarity"] == pairs


def test_remove_forgets_the_item_and_gives_its_popularity_back() -> None:
    log = [event("u0", i, "purchase", ts=n) for n, i in enumerate("abcdefg")]  # a, b fall out
    world = learn(*log)
    assert history(world) == list("cdefg")
    assert seen(world, "a") and seen(world, "b")
    before = popularity(world, "g")
    for n, item in enumerate("ag"):
        world.learn([Raw(7 + n, NOW, raws([event("u0", item, "remove", 6)])[0].value)])
    assert history(world) == list("cdef")
    assert not seen(world, "a") and not seen(world, "g") and seen(world, "b")
    assert before == pytest.approx(3.0)
    assert popularity(world, "g") == pytest.approx(0.0, abs=1e-5)
    # a is out of the history, so nobody knows any more what it had been given
    assert popularity(world, "a") == pytest.approx(3.0, rel=0.01)


def test_impressions_are_counted_and_teach_nothing() -> None:
    world = learn(event("u0", "a"), event("u0", "b", ts=1))
    before = dict(world.rows["i0"]["items"])
    near = world.rows["i0"]["similarity"].copy()
    user = decode_user(world.rows["u0"]["users"][b"u0"])
    fold = world.learn([Raw(2, NOW, raws([event("u0", "a", "impression", 2)])[0].value)])
    after = decode_user(world.rows["u0"]["users"][b"u0"])
    assert after.events == user.events + 1
    assert after.offset == user.offset  # the list need not change
    assert (after.keys == user.keys).all()
    assert world.rows["i0"]["similarity"] == near
    changed = [k for k, blob in world.rows["i0"]["items"].items() if blob != before[k]]
    assert changed == [field_of("a")]
    assert world.item_rows()["a"]["events"] == 2
    [record] = fold.records
    assert len(record["scored"]) == len(record["context"]) == 0
    assert fold.scorable == [False]


def test_late_events_find_their_place_and_pair_with_what_was_older() -> None:
    world = learn(
        event("u0", "a", ts=10), event("u0", "c", ts=30), event("u0", "b", ts=20),
        event("u0", "a", ts=25), event("u0", "c", ts=5),
    )  # fmt: skip
    assert history(world) == ["b", "a", "c"]  # the late c does not move c back
    pairs = {("a", "c"): 1, ("a", "b"): 1, ("b", "a"): 1}
    assert {pair: n for pair, n in world.recount().pairs.items() if n} == pairs
    [row] = world.rows["u0"]["users"].values()
    assert decode_user(row).takes.tolist() == [1, 2, 2]


def test_reverse_entries_have_half_the_weight_and_no_count() -> None:
    world = learn(event("u0", "a", ts=1), event("u0", "b", ts=1), event("u0", "c", ts=1))
    field = field_of("c")
    keys, weights, counts = read_list(world.rows["i0"]["similarity"][field])
    found = {int(k): (float(w), int(c)) for k, w, c in zip(keys, weights, counts, strict=True)}
    assert found == {key_of("b"): (0.5, 0), key_of("a"): (0.25, 0)}


def flooding(per_minute: float, burst: int) -> Settings:
    return small(events={"flood_per_minute": per_minute, "flood_burst": burst})


def flood(gaps_ms: list[int], items: int = 9) -> list[Raw]:
    at = np.cumsum(gaps_ms).tolist()
    log = raws([event("u0", f"i{n % items}", ts=n) for n in range(len(at))])
    return [raw._replace(timestamp=NOW + t) for raw, t in zip(log, at, strict=True)]


def test_a_burst_is_let_through_and_its_excess_is_suppressed() -> None:
    world = World(flooding(60, 5))
    world.learn(flood([0] * 12))
    counters = world.users[0].counters
    assert (counters.consumed, counters.accepted, counters.suppressed) == (12, 5, 7)
    assert counters.consumed == counters.explained
    world.learn([Raw(99, NOW + 2000, flood([0])[0].value)])  # two seconds give two tokens
    assert world.users[0].counters.accepted == 6
    assert sum(world.recount().item_events.values()) == 6


def test_only_the_excess_of_a_steady_flood_is_suppressed() -> None:
    """Two events a second where one is allowed: half of them are the excess."""
    world = World(flooding(60, 5))
    world.learn(flood([500] * 100))
    assert world.users[0].counters.accepted == pytest.approx(50 + 5, abs=2)


@pytest.mark.parametrize("at", [7, 12, 19])  # with events suppressed before it
def test_a_restart_suppresses_the_same_events(at: int) -> None:
    """Otherwise users and items would count different events after a crash."""
    log = flood([0] * 4 + [300] * 16)
    going_on, restarted = World(flooding(60, 3)), World(flooding(60, 3))
    for world in (going_on, restarted):
        for n, raw in enumerate(log):
            if world is restarted and n == at:
                world.restart_users()
            world.learn([raw])
    assert restarted.users[0].counters == going_on.users[0].counters


def test_log_times_that_go_back_give_no_tokens() -> None:
    world = World(flooding(60, 1))
    world.learn(flood([0, *[10_000, -10_000] * 20]))
    assert world.users[0].counters.accepted <= 12


def test_users_that_are_not_stored_are_not_counted_as_stored() -> None:
    world = World(flooding(60, 1))
    log = flood([0] * 3)
    world.learn([log[0]._replace(timestamp=-1)])  # no log time: no token
    assert int(world.metas["u0"][b"users"]) == len(world.rows["u0"]["users"])


def test_batches_whose_records_a_broker_could_refuse_are_refused_at_the_start() -> None:
    for profile in PROFILES:
        check_record_size(load(None, {}, {"profile": profile}))
    with pytest.raises(ConfigurationError, match=r"batches\.max_events = 9000"):
        check_record_size(Settings(batches=BatchSettings(max_events=9000)))


def popular(items: int, most: int) -> World:
    """Return a world whose item n was clicked n + 1 times, with room for `most`."""
    world = World(small(items={"max_items": most}))
    log = raws([event(f"u{n}", f"i{n}", ts=0) for n in range(items) for _ in range(n + 1)])
    world.learn(log)
    return world


def test_the_least_popular_items_go() -> None:
    world = popular(30, 20)
    kept = world.item_rows()
    assert sorted(kept) == sorted(f"i{n}" for n in range(11, 30))  # 95 % of 20
    assert {item: row["events"] for item, row in kept.items()} == {
        f"i{n}": n + 1 for n in range(11, 30)
    }
    for kind in (*world.items[0].schema.kinds, "catalogue"):
        assert len(world.rows["i0"][kind]) <= 19
    assert world.metas["i0"][b"items"] == b"19"


def test_owners_go_on_after_an_eviction_like_after_a_restart() -> None:
    going_on, restarted = popular(30, 20), popular(30, 20)
    restarted.restart_items()
    more = raws([event(f"u{n % 30}", f"i{20 + n % 10}", ts=n) for n in range(60)])
    for world in (going_on, restarted):
        at = world.users[0].offset
        world.learn([raw._replace(offset=raw.offset + at) for raw in more])
    assert restarted.rows["i0"] == going_on.rows["i0"]
    assert restarted.unknown == going_on.unknown > 0
    stored, memory = restarted.rows["i0"]["items"], restarted.items[0].index
    assert sorted(stored) == sorted(
        int(k).to_bytes(8, "little") for k in memory.keys[: memory.size]
    )


def test_the_table_forgets_evicted_items() -> None:
    world = popular(30, 20)
    table = world.table
    stored = {table.ids[row] for row in np.flatnonzero(table.arrays.stored[: len(table)])}
    assert stored == set(world.item_rows())


def test_a_bound_of_one_keeps_one() -> None:
    assert len(popular(3, 1).item_rows()) == 1


def test_records_of_another_factor_size_are_refused() -> None:
    log = raws([event("u0", "a"), event("u0", "b", ts=1)])
    other = World(small(factors={"size": 2}))
    world = World(SETTINGS)
    with pytest.raises(StreamrecError, match="size"):
        world.items[0].fold(other.fold(log).records[0])


def test_a_late_removal_gives_back_what_is_left() -> None:
    """A click, and its removal a half-life later: the item is as popular as before."""
    world = learn(event("u0", "a"))
    world.learn([Raw(1, NOW, raws([event("u0", "a", "remove", 900)])[0].value)])
    assert popularity(world, "a") == pytest.approx(0.0, abs=1e-3)


def test_negatives_are_items_that_exist() -> None:
    """New items all the time, room for 20: nine of ten draws would be of items that are gone."""
    sections = {"items": {"max_items": 20}, "factors": {"uniform_share": 1.0, "negatives": 20}}
    world = World(small(**sections))
    drawn = 0
    for turn in range(8):
        clicks = [
            event(f"{turn}/{n}", f"{turn}/{(n + t) % 15}", ts=t) for t in (0, 1) for n in range(15)
        ]
        at = world.users[0].offset
        before = world.unknown
        fold = world.learn([raw._replace(offset=raw.offset + at) for raw in raws(clicks)])
        drawn = len(fold.records[0]["scored"])
    assert world.unknown - before < 0.2 * drawn


def test_reading_writes_nothing() -> None:
    world = learn(*(event(f"u{n % 3}", f"i{n % 7}", ts=n) for n in range(40)))
    maker = ListMaker(SETTINGS)
    maker.prepare(world.table)
    users = [decode_user(blob) for blob in world.rows["u0"]["users"].values()]
    unknown = users[0]._replace(keys=users[0].keys + np.uint64(1), ts=users[0].ts + 5)
    everybody = [*users, no_user(), unknown]
    before = [a.tobytes() for a in world.table.arrays], len(world.table), list(world.table.ids)
    for _ in range(3):
        first, again = (
            maker.make([maker.shopper(row, world.table) for row in everybody], world.table)
            for _ in "12"
        )
        assert [m.items for m in first] == [m.items for m in again]
    after = [a.tobytes() for a in world.table.arrays], len(world.table), list(world.table.ids)
    assert after == before
    assert not any(world.items[0].changes()[0].values())
