"""Fresh fakes reach nobody's list; newcomers of a young site, and those who stay, teach as ever."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as given_settings
from hypothesis import strategies as st
from laws.world import World, counted, event, raws, small
from prometheus_client import CollectorRegistry
from recovery.recount import Crowd

from benchmarks.fakes import ATTACKS, Click, Site, apart, fake_clicks, having, honest, pushed
from streamrec.flow import Flow
from streamrec.monitoring.metrics import Metrics
from streamrec.roles.reports.learnt_metrics import count_fold
from streamrec.settings.load import load
from streamrec.settings.sections import Settings
from streamrec.state.keys import key_of
from streamrec.state.newcomers import ONE, WINDOW, Newcomers, lives_of_newcomers, note
from streamrec.state.ring import Ring
from streamrec.state.user_rows import decode_user

SEED = 1
GROWN_SEED = 5
ON: dict[str, str] = {}
OFF = {"users.newcomer_items": "0"}


def reached(flags: dict[str, str], attack: str) -> tuple[int, bool]:
    """Return how many honest lists, and whether strangers', hold the target after an attack."""
    clicks = honest(SEED, users=80)
    targets = pushed(clicks, 1, SEED)
    site = Site(load(None, {}, flags), SEED)
    site.learn(clicks)
    before = having(site, clicks, targets)
    site.learn(fake_clicks(clicks, ATTACKS[attack], targets, fakes=200))
    gained = having(site, clicks, targets) - before
    return len(gained - {""}), "" in gained


@pytest.mark.parametrize("attack", ["hit, target", "target, hit", "target twice"])
def test_fakes_reach_no_list(attack: str) -> None:
    assert reached(ON, attack) == (0, False)


def test_without_the_guard_they_reach_most() -> None:
    lists, strangers = reached(OFF, "hit, target")
    assert lists > 40 and strangers


@pytest.fixture(scope="module")
def grown() -> tuple[Site, list[Click]]:
    """A site that has learnt 400 honest users, for `apart`, and their clicks."""
    clicks = honest(GROWN_SEED)
    site = Site(load(None, {}, ON), GROWN_SEED)
    site.learn(clicks)
    return site, clicks


@pytest.mark.parametrize("attack", ["hit, target", "target, hit"])
@pytest.mark.parametrize("targets, place", [(5, 0), (1, 120), (5, 200)])
def test_what_others_took_over_days_buys_no_place_at_once(
    grown: tuple[Site, list[Click]], attack: str, targets: int, place: int
) -> None:
    """Targets with honest takers, 6 to 30 of them; the fakes come all at once."""
    site, clicks = grown
    wanted = pushed(clicks, targets, GROWN_SEED, place)
    before = having(site, clicks, wanted)

    def after() -> set[str]:
        site.learn(fake_clicks(clicks, ATTACKS[attack], wanted))
        return having(site, clicks, wanted)

    assert apart(after) - before == set()


def regulars(users: int = 8, items: int = 18) -> list[dict[str, object]]:
    """Return events of users who take many items each."""
    log: list[dict[str, object]] = []
    for n in range(items):
        for user in range(users):
            log.append(event(f"u{user}", f"i{(n + user) % items}", ts=n))
    return log


def learnt(log: list[dict[str, object]], settings: Settings | None = None) -> World:
    world = World(settings or small(users={"recent_items": 20, "seen_items": 4}))
    for raw in raws(log):
        world.learn([raw])
    return world


def popularity(world: World, item: str) -> float:
    return float(world.item_rows()[item]["popularity"][2])


def test_all_users_of_a_young_site_teach() -> None:
    """Everybody is new, and so is every item: what they take is popular, and goes together."""
    log = [event(f"f{n}", item, ts=n) for n in range(9) for item in ("hit", "new")]
    world = learnt(log)
    assert popularity(world, "new") == pytest.approx(9.0, rel=0.01)
    assert world.recount().pairs["hit", "new"] == 9
    assert world.recount().difference(counted(world.settings, raws(log))) == []


def test_held_events_stay_in_the_history_and_teach_once_their_user_stays() -> None:
    visits = [event("f", item, ts=30 + n) for n, item in enumerate(("fresh", "i1", "i2", "i3"))]
    others = [event(f"f{n}", "fresh", ts=19) for n in range(5)]
    world = learnt([*regulars(), *others, *visits[:3]])
    row = decode_user(world.rows["u0"]["users"][b"f"])
    assert row.held.tolist() == [1, 1, 1]  # after one that is held, all are
    before = popularity(world, "fresh")
    assert before < 2.0 and "fresh" in [v.item for v in world.recount().users["f"].history]
    assert world.item_rows()["fresh"]["events"] == 6  # they are counted
    assert world.recount().pairs["fresh", "i1"] == 0

    log = [*regulars(), *others, *visits, *(event("f", f"i{n}", ts=40 + n) for n in (4, 5))]
    world = learnt(log)
    row = decode_user(world.rows["u0"]["users"][b"f"])
    assert row.held.tolist() == [0] * 6  # one was released with each event
    assert popularity(world, "fresh") == pytest.approx(before + 1.0, abs=0.01)
    assert world.recount().pairs["fresh", "i1"] == 1
    assert world.item_rows()["fresh"]["events"] == 6
    assert world.recount().difference(counted(world.settings, raws(log))) == []


def test_what_is_released_teaches_the_factors_as_an_event_of_its_own() -> None:
    others = [event(f"f{n}", "fresh", ts=19) for n in range(5)]
    visits = [event("f", item, ts=30 + n) for n, item in enumerate(("fresh", "i1", "i2", "i3"))]
    log = [*regulars(), *others, *visits, event("f", "i4", ts=40)]
    world = learnt(log[:-1])
    assert world.users[0].users.row("f").held.tolist() == [0, 1, 1, 0]
    fold = world.learn([raws(log)[-1]])
    taught: list[int] = []
    before: list[int] = []
    for record in fold.records:
        keys, scored, context = record["keys"], record["scored"], record["context"]
        taught += keys[scored["key"][scored["y"] > 0]].tolist()
        late = record["ts"][context["event"]] == visits[1]["ts"]
        before += keys[context["key"][late]].tolist()
    assert sorted(taught) == sorted([key_of("i4"), key_of("i1")])
    assert before == [key_of("fresh")]
    latest = world.users[0].latest.ring.latest()[-2:].tolist()
    assert latest == [key_of("i4"), key_of("i1")]


def test_a_removal_gives_back_only_what_was_given() -> None:
    others = [event(f"f{n}", "i1", ts=19) for n in range(40)]
    world = learnt([*regulars(), *others])
    before = popularity(world, "i1")
    removed = [event(f"f{n}", "i1", "remove", ts=19) for n in range(30, 40)]
    world = learnt([*regulars(), *others, *removed])
    assert popularity(world, "i1") == pytest.approx(before, abs=0.01)


def test_events_of_nobody_are_newcomers() -> None:
    nameless = [event(f"n{n}", "fresh", ts=19, personal=False) for n in range(40)]
    assert popularity(learnt([*regulars(), *nameless]), "fresh") < 3.0
    off = small(users={"newcomer_items": 0})
    assert popularity(learnt([*regulars(), *nameless], off), "fresh") > 30.0


def test_the_blend_is_not_taught_by_what_is_held() -> None:
    flow = Flow(small())
    fold = flow.learn(raws([*regulars(), *(event(f"f{n}", "fresh", ts=19) for n in range(9))]))
    held = [e.user for (_, e), held in zip(fold.accepted, fold.held, strict=True) if held]
    assert set(held) <= {f"f{n}" for n in range(9)} and len(held) >= 7
    metrics = Metrics(CollectorRegistry())
    count_fold(metrics, "user", "0", fold)
    assert metrics.registry.get_sample_value("streamrec_events_held_total") == len(held)


def new_crowd() -> Newcomers:
    return Newcomers(Ring("newcomers", WINDOW))


@given_settings(max_examples=30)
@given(st.lists(st.tuples(st.integers(0, 5), st.booleans()), max_size=60), st.integers(0, 60))
def test_a_restart_forgets_none_of_the_latest_events(
    events: list[tuple[int, bool]], cut: int
) -> None:
    keys = np.array([key_of(f"i{n}") for n, _ in events], np.uint64)
    new = np.array([new for _, new in events], np.bool_)
    mine = new_crowd()
    mine.push(keys[:cut], new[:cut])
    chunks = mine.ring.changed_chunks()
    again = Newcomers(Ring.restore("newcomers", WINDOW, (WINDOW, mine.ring.total), chunks))
    again.push(keys[cut:], new[cut:])
    mine.push(keys[cut:], new[cut:])
    one, two = mine.arrays(keys[:0]), again.arrays(keys[:0])
    assert one.state.tolist() == two.state.tolist() and (one.counts == two.counts).all()
    assert one.state[0] == len(events) and one.counts[:, 1].sum() == new.sum()


@given_settings(max_examples=50)
@given(st.lists(st.tuples(st.integers(0, 3), st.booleans()), max_size=40), st.integers(1, 12))
def test_the_counts_are_those_of_the_ring(events: list[tuple[int, bool]], capacity: int) -> None:
    """Of each item: others', newcomers', and those of the latter after the last of the former."""
    crowd = new_crowd().arrays(np.array([key_of(f"i{n}") for n in range(4)], np.uint64))
    crowd = crowd._replace(rows=crowd.rows[:capacity], new=crowd.new[:capacity])
    for row, new in events:
        note(crowd, row, new)
    kept = events[-capacity:]
    shares = []
    for row in range(4):
        mine = [new for one, new in kept if one == row]
        latest = mine[::-1].index(False) if False in mine else len(mine)
        assert crowd.counts[row].tolist() == [mine.count(False), mine.count(True), latest]
        shares += [mine.count(True) * ONE // len(mine)] if mine else []
    assert crowd.state.tolist() == [
        len(kept), len(events) % capacity, len(shares), sum(shares)
    ]  # fmt: skip


@given_settings(max_examples=200)
@given(st.lists(st.tuples(st.integers(0, 7), st.booleans()), min_size=20, max_size=120))
def test_the_recount_holds_what_the_kernel_holds(events: list[tuple[int, bool]]) -> None:
    events = [(n, new and n < 3) for n, new in events]  # newcomers make less than half
    keys = np.array([key_of(f"i{n}") for n, _ in events], np.uint64)
    mine = new_crowd()
    mine.push(keys, np.array([new for _, new in events], np.bool_))
    crowd = mine.arrays(keys[:0])
    counted_again = Crowd(2.0, latest=[(f"i{n}", new) for n, new in events])
    for n in range(8):
        held = lives_of_newcomers(crowd, np.uint64(key_of(f"i{n}")), 2.0)
        assert held == counted_again.held(f"i{n}"), n
