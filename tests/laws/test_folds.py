"""Laws of the two folds, as pure functions, against the independent recount."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from laws.world import World, counted, event, logs, raws, small
from recovery.recount import Raw

from streamrec.errors import GapError
from streamrec.settings.types import changed
from streamrec.state import updates

SETTINGS = small(users={"cached_users": 2})
PLANS = st.lists(
    st.tuples(st.sampled_from(["commit", "commit", "crash", "late", "restart"]), st.integers(0, 8)),
    max_size=12,
)


def cut(log: list[Raw], sizes: list[int]) -> list[list[Raw]]:
    """Cut the log into batches of these sizes, and the rest."""
    batches, at = [], 0
    for size in sizes:
        batches.append(log[at : at + size])
        at += size
    return [*batches, log[at:]]


def run(world: World, log: list[Raw], plan: list[tuple[str, int]]) -> None:
    """Learn the log by a plan of batches, crashes and zombies, then the rest."""
    late = []
    for what, size in [*plan, ("commit", len(log))]:
        left = [raw for raw in log if raw.offset >= world.users[0].offset]
        if what == "restart":
            world.restart_users()
            world.restart_items()
            continue
        fold = world.fold(left[:size])
        if what == "late":  # a zombie: its records come when others have gone on
            late.append(fold)
        else:
            world.send(fold)
        if what == "commit":
            world.commit_users()
        else:
            world.restart_users()
        if size % 2:
            world.deliver()
            for each in late[:1]:
                world.send(each)
            late = late[1:]
    world.deliver()


@settings(max_examples=60)
@given(logs(), PLANS, st.sampled_from([1, 2, 4]))
def test_any_cut_crash_repeat_and_number_of_owners_gives_the_recount(
    log: list[Raw], plan: list[tuple[str, int]], parts: int
) -> None:
    world = World(SETTINGS, parts)
    run(world, log, plan)
    assert counted(SETTINGS, log).difference(world.recount()) == []
    for n, shard in enumerate(world.items):
        assert shard.offset == len(world.sent[n])
        assert shard.marks.get("u0", 0) == world.users[0].offset


@settings(max_examples=15)
@given(logs(20), logs(20), st.sampled_from([1, 2, 4]))
def test_two_sources_add_up(one: list[Raw], two: list[Raw], parts: int) -> None:
    two = [raw for raw in two if raw.value]
    two = [raw._replace(value=raw.value.replace(b'"u', b'"v')) for raw in two if raw.value]
    world = World(SETTINGS, parts, sources=2)
    for n in range(0, 20, 4):
        for source, log in enumerate((one, two)):
            world.learn(log[n : n + 4], source)
    assert counted(SETTINGS, one, two).difference(world.recount()) == []


@settings(max_examples=20)
@given(logs(), st.lists(st.integers(0, 8), max_size=8))
def test_the_same_log_and_seed_give_the_same_bytes(log: list[Raw], sizes: list[int]) -> None:
    worlds = [World(SETTINGS, 2), World(SETTINGS, 2)]
    for world in worlds:
        for batch in cut(log, sizes):
            world.learn(batch)
    assert worlds[0].sent == worlds[1].sent
    assert worlds[0].rows == worlds[1].rows
    assert worlds[0].metas == worlds[1].metas


def test_another_seed_gives_other_vectors_and_the_same_counts() -> None:
    log = raws([event(f"u{n % 3}", f"i{n % 7}", ts=n) for n in range(40)])
    worlds = [World(SETTINGS), World(changed(SETTINGS, factors={"seed": 2}))]
    for world in worlds:
        world.learn(log)
    assert worlds[0].rows["u0"] == worlds[1].rows["u0"]
    assert worlds[0].rows["i0"]["items"] != worlds[1].rows["i0"]["items"]
    assert worlds[0].recount().difference(worlds[1].recount()) == []


@settings(max_examples=30)
@given(logs(), st.lists(st.integers(0, 8), max_size=8), st.integers(0, 8), st.integers(1, 500))
def test_a_restart_changes_nothing_that_is_counted(
    log: list[Raw], sizes: list[int], at: int, cached: int
) -> None:
    """User rows, rings and counters are equal to the byte, with any bound of the cache."""
    going_on, restarted = World(small()), World(small(users={"cached_users": cached}))
    for n, batch in enumerate(cut(log, sizes)):
        if n == at:
            restarted.restart_users()
            restarted.restart_items()
        for world in (going_on, restarted):
            world.learn(batch)
    assert restarted.rows["u0"] == going_on.rows["u0"]
    assert restarted.metas == going_on.metas
    assert restarted.rows["i0"]["catalogue"] == going_on.rows["i0"]["catalogue"]
    assert restarted.recount().difference(going_on.recount()) == []


@settings(max_examples=30)
@given(logs(), st.lists(st.integers(0, 8), max_size=8), st.integers(0, 8))
def test_an_owner_that_restarts_learns_the_same_bytes(
    log: list[Raw], sizes: list[int], at: int
) -> None:
    going_on, restarted = World(small(), 2), World(small(), 2)
    for n, batch in enumerate(cut(log, sizes)):
        if n == at:
            restarted.restart_items()
        for world in (going_on, restarted):
            world.learn(batch)
    assert restarted.rows == going_on.rows


def test_a_user_stage_that_restarts_beside_the_same_table_draws_the_same() -> None:
    log = raws([event(f"u{n % 3}", f"i{n % 7}", ts=n) for n in range(40)])
    going_on, restarted = World(small()), World(small())
    for n, batch in enumerate(cut(log, [5] * 8)):
        if n == 5:
            restarted.restart_users(new_table=False)
        for world in (going_on, restarted):
            world.learn(batch)
    assert restarted.rows == going_on.rows


def test_a_missing_record_is_refused_and_changes_nothing() -> None:
    log = raws([event("u0", f"i{n}", ts=n) for n in range(9)])
    world = World(SETTINGS)
    first, second, third = (world.fold(log[n : n + 3]).records[0] for n in (0, 3, 6))
    [shard] = world.items
    shard.fold(first)
    shard.changes()
    with pytest.raises(GapError, match="u0 jump from offset 3 to 6"):
        shard.fold(third)
    assert not any(shard.changes()[0].values())
    assert shard.marks == {"u0": 3}
    for record in (second, third):
        assert not shard.fold(record).repeat
    assert shard.marks == {"u0": 9}


def test_a_log_that_begins_late_is_no_gap() -> None:
    world = World(SETTINGS)
    world.users[0].start = world.users[0].offset = 5
    world.learn(raws([event("u0", f"i{n}", ts=n) for n in range(9)])[5:])
    assert world.items[0].marks == {"u0": 9}


@settings(max_examples=30)
@given(logs(), st.lists(st.integers(0, 8), max_size=8), st.data())
def test_records_sent_again_change_nothing(
    log: list[Raw], sizes: list[int], data: st.DataObject
) -> None:
    world = World(SETTINGS, 2)
    for batch in cut(log, sizes):
        world.learn(batch)
    kept = {name: {k: dict(v) for k, v in kinds.items()} for name, kinds in world.rows.items()}
    for n, sent in enumerate(list(world.sent)):
        again = data.draw(st.lists(st.sampled_from(sent), max_size=5))
        assert all(world.items[n].fold(updates.decode(r)).repeat for r in again if not_empty(r))
    world.deliver()
    assert world.rows == kept


def not_empty(record: bytes) -> bool:
    header = updates.decode(record).header
    return header.first < header.next


def test_an_event_type_added_and_reordered_keeps_the_stored_ones() -> None:
    log = raws([event("u0", "a", "click"), event("u0", "b", "purchase", 1)])
    log += [r._replace(offset=r.offset + 2) for r in raws([event("u0", "c", "wish", 2)])]
    world = World(SETTINGS)
    world.learn(log[:2])
    weights = {"wish": 2.0} | dict(reversed(SETTINGS.events.weights.items()))
    other = World(changed(SETTINGS, events={"weights": weights}))
    other.rows, other.metas = world.rows, world.metas
    other.restart_users()
    other.restart_items()
    other.items[0].offset = 0
    other.learn(log[2:])
    history = other.recount().users["u0"].history
    assert [(v.item, v.type) for v in history] == [("a", "click"), ("b", "purchase"), ("c", "wish")]
    gained = {item: row["popularity"][2] for item, row in other.item_rows().items()}
    assert gained == pytest.approx({"a": 1.0, "b": 3.0, "c": 2.0}, rel=1e-4)
