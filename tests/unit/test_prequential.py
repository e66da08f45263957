"""Evaluation looks before it learns, at lists that only know what came before."""

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from laws.world import NOW, small
from oracle import NAMES

from streamrec.blend.rules import blend_owner
from streamrec.evaluation.prequential import Lag, Prequential, Scored
from streamrec.events.event import Event, Item
from streamrec.settings.sections import Settings

COUNTING = [m for m, s in enumerate(NAMES) if s not in ("factors", "content")]
EVENTS = st.lists(
    st.tuples(
        st.integers(0, 2),  # user
        st.integers(0, 9),  # item
        st.sampled_from(["click", "click", "purchase", "view", "dislike", "remove", "impression"]),
        st.integers(0, 40),  # seconds since the one before; the session ends after 30
        st.sampled_from([None, "at", "de"]),
    ),
    min_size=1,
    max_size=30,
)
WAYS = st.fixed_dictionaries(
    {
        "exclude": st.sampled_from(["user", "session", "none"]),
        "kind": st.sampled_from(["learned", "learned", "weighted", "vote", "borda", "cascade"]),
        "workers": st.sampled_from([1, 3]),
        "lag": st.sampled_from([Lag(), Lag(), Lag(events=3), Lag(milliseconds=25_000)]),
    }
)


def config(exclude: str = "none", kind: str = "learned", **sections: dict[str, Any]) -> Settings:
    base = {
        "lists": {"exclude": exclude, "length": 5, "session_seconds": 30.0},
        "blend": {"kind": kind, "candidates": 5, "hidden": 3},
        "users": {"recent_items": 6, "seen_items": 6},
    }
    return small(**(base | sections))


def event(user: int, item: object, kind: str, ts: int, segment: str | None = None) -> Event:
    return Event(f"u{user}", f"i{item}", kind, NOW + 1000 * ts, segment=segment)


def stream(drawn: list[tuple[int, int, str, int, str | None]]) -> list[Event]:
    at, found = 0, []
    for user, item, kind, passed, segment in drawn:
        at += passed
        found.append(event(user, item, kind, at, segment))
    return found


def prequential(way: dict[str, Any]) -> Prequential:
    return Prequential(config(way["exclude"], way["kind"]), way["workers"], way["lag"])


def served(live: Prequential, scored: Scored | None) -> Any:
    """Return all that was served: every source's list, the candidates, the blend's list."""
    if scored is None or scored.ranked is None:
        return None
    ids, r = live.table.ids, scored.ranked
    return (
        [ids[j] for j in r.candidates],
        [[ids[j] for j in row if j >= 0] for row in r.alone],
        [ids[j] for j in r.candidates[r.order]],
        r.scores.tolist(),
        *(part.tolist() for part in r.features[:3]),
        scored.history,
    )


def run(way: dict[str, Any], events: list[Event]) -> list[tuple[Any, Any]]:
    """Return what was served at each event, and where the clicked item stood."""
    live, found = prequential(way), []
    for each in events:
        if each.item not in live.known:
            live.announce(Item(each.item, title=f"the one of {each.item}"))
        scored = live.step(each)
        ranks = None if scored is None else [scored.new_item, scored.rank, *scored.full_ranks]
        found.append((served(live, scored), ranks))
    return found


def equal(one: Any, two: Any) -> bool:
    return repr(one) == repr(two)  # nan is nan


@settings(max_examples=40)
@given(EVENTS, EVENTS, WAYS)
def test_no_list_knows_what_comes_after(
    before: list[Any], after: list[Any], way: dict[str, Any]
) -> None:
    """A stream that ends at t, or goes on otherwise, has had the same lists before t."""
    past = stream(before)
    whole = stream([*before, *after])
    assert whole[: len(past)] == past
    assert equal(run(way, past), run(way, whole)[: len(past)])


@settings(max_examples=40)
@given(EVENTS, st.integers(0, 9), st.integers(0, 9), WAYS)
def test_no_list_knows_the_click_that_it_is_looked_up_for(
    drawn: list[Any], one: int, other: int, way: dict[str, Any]
) -> None:
    """Whichever item is clicked, the user would have been served the same."""
    all_known = [(n % 2, n, "click", 1, None) for n in range(10)]
    past = stream([*all_known, *drawn])
    found = []
    for item in (one, other):
        live = prequential(way)
        for each in past:
            live.step(each)
        clicked = Event("u2", f"i{item}", "click", past[-1].ts + 5000)
        found.append(served(live, live.step(clicked)))
    if None not in found:  # that would be an item which the user may not be shown
        assert equal(*found)


@settings(max_examples=40)
@given(EVENTS, WAYS)
def test_an_item_is_unknown_until_its_first_event(drawn: list[Any], way: dict[str, Any]) -> None:
    live, seen = prequential(way), set[str]()
    for each in stream(drawn):
        scored = live.step(each)
        if scored is not None:
            assert scored.new_item == (each.item not in seen) or scored.ranked is None
            if scored.new_item:
                assert math.isnan(scored.rank) and scored.ranked is None
            if scored.ranked is not None:
                listed = {live.table.ids[j] for j in scored.ranked.candidates}
                assert listed <= seen
                assert (scored.clicked is not None) == (each.item in listed)
        seen.add(each.item)


def test_an_item_that_was_announced_is_proposed_from_its_text_alone() -> None:
    live = Prequential(config(exclude="user", content={"size": 64}))
    for n, title in enumerate(["red teapot", "red cup", "blue boat", "green boat"]):
        live.announce(Item(f"i{n}", title=title))
    for n in (0, 2, 3, 2):  # nobody takes the red cup
        live.step(event(n, n, "click", n))
    scored = live.step(event(0, 3, "click", 9))
    assert scored is not None and scored.ranked is not None
    content = scored.ranked.alone[NAMES.index("content")]
    assert live.table.ids[content[0]] == "i1"


def test_events_of_one_time_keep_their_order() -> None:
    live = Prequential(config())
    for item in "abc":
        live.step(event(0, item, "click", 7))
    scored = live.step(event(0, "a", "click", 7))
    assert scored is not None and scored.ranked is not None
    assert [live.table.ids[row] for row in scored.ranked.shopper.history] == ["ic", "ib", "ia"]


def walks(count: int, groups: int = 12, users: int = 60, seed: int = 3) -> list[Event]:
    """Users walk through groups of items, each item leading to the next of its group."""
    rng = np.random.default_rng(seed)
    at = rng.integers(0, groups, users) * 8
    found = []
    for n in range(count):
        user = int(rng.integers(users))
        start = at[user] - at[user] % 8
        at[user] = rng.integers(groups) * 8 if rng.random() < 0.1 else start + (at[user] + 1) % 8
        found.append(event(user, int(at[user]), "click", n))
    return found


def wide(exclude: str = "none") -> Settings:
    """Return settings that learn `walks`."""
    return config(
        exclude,
        users={"recent_items": 10},
        lists={"exclude": exclude, "length": 10, "session_seconds": 1e6},
        blend={"candidates": 10},
        factors={"size": 16, "context": 3, "ring": 200},
        similarity={"half_life_seconds": 0.0},
    )


def ranks(scored: list[Scored | None]) -> np.ndarray:
    """Return float[scored, 1 + sources], inf for a miss."""
    found = [[one.rank, *one.full_ranks] for one in scored if one is not None and not one.new_item]
    return np.nan_to_num(np.array(found), nan=np.inf)


def test_many_workers_without_lag_learn_nearly_the_same() -> None:
    events = walks(1500)
    one, four = (Prequential(wide(), workers) for workers in (1, 4))
    scored = [[live.step(each) for each in events] for live in (one, four)]
    mine, theirs = (ranks(each) for each in scored)
    assert mine.shape == theirs.shape and len(mine) > 1000
    for m in COUNTING:  # they are counted alike; only chance and the order of sums differ
        assert mine[:, 1 + m] == pytest.approx(theirs[:, 1 + m], abs=1.0), NAMES[m]
    for m in (0, 1 + NAMES.index("factors")):
        hits = [float((each[500:, m] < 5).mean()) for each in (mine, theirs)]
        assert hits[0] == pytest.approx(hits[1], abs=0.07)
        assert min(hits) > 0.5  # of 96 items
    assert {len(shard.users.row_of) > 0 for shard in four.flow.users} == {True}


@pytest.mark.parametrize("workers", [1, 3])
def test_updates_arrive_so_many_events_late(workers: int) -> None:
    events = walks(60)
    live = Prequential(wide(), workers, Lag(events=7))
    for n, each in enumerate(events):
        live.step(each)
        assert live.table.arrays.events[: len(live.table)].sum() == max(0, n - 7)


def test_updates_arrive_so_much_time_late() -> None:
    events = walks(60)
    live = Prequential(wide(), 1, Lag(milliseconds=9_500))
    for n, each in enumerate(events):  # one a second
        live.step(each)
        assert live.table.arrays.events[: len(live.table)].sum() == max(0, n - 9)


def test_lag_makes_the_lists_older_and_not_the_users() -> None:
    events = walks(1500)
    runs = [Prequential(wide(), 1, Lag(events=lag)) for lag in (0, 400)]
    fresh, late = ([live.step(each) for each in events] for live in runs)
    known = [n for n, one in enumerate(late) if one and one.ranked]
    assert known
    histories = [[one.history if one else 0 for one in each] for each in (fresh, late)]
    assert histories[0] == histories[1]
    both = [n for n in known if n > 600]
    popular = NAMES.index("popularity_long")
    for n in both[:50]:
        one = late[n]
        assert one is not None and one.ranked is not None
        shown = [runs[1].table.ids[j] for j in one.ranked.alone[popular]]
        first = {each.item for each in events[: n - 400]}
        assert set(shown) <= first
    hits = [
        np.mean([one.rank < 5 for one in each[600:900] if one and not one.new_item])
        for each in (fresh, late)
    ]
    assert hits[0] > hits[1]


def test_an_item_whose_first_event_has_not_arrived_is_a_miss() -> None:
    """Its row exists since the user stage named it; lists know nothing of it yet."""
    live = Prequential(wide(), 1, Lag(milliseconds=20_000))
    for n in range(30):
        live.step(event(n % 3, n % 4, "click", n))
    for n in range(200):
        live.step(event(5, f"new {n}", "click", 30))
    scored = live.step(event(1, "new 199", "click", 31))
    assert scored is not None and not scored.new_item
    assert math.isnan(scored.rank) and scored.clicked is None
    assert np.isnan(scored.full_ranks).all()


def test_what_is_not_scored_is_learnt_all_the_same() -> None:
    live = Prequential(config())
    assert live.step(event(0, "a", "click", 1)) is None  # no event before it
    assert live.step(event(0, "b", "impression", 3)) is None
    assert live.step(event(0, "b", "dislike", 4)) is None
    scored = live.step(event(0, "a", "click", 5))
    assert scored is not None and scored.history == 1
    assert live.table.arrays.events[: len(live.table)].sum() == 3


def test_sessions_that_the_log_names_go_before_the_gap() -> None:
    for exclude, scored in (("session", True), ("user", False)):
        live = Prequential(config(exclude))
        live.step(event(0, "a", "click", 0))
        live.step(event(1, "b", "click", 0))
        late = live.step(event(0, "b", "click", 500), in_session=True)
        assert (late is not None) or not scored
    live = Prequential(config("session"))
    live.step(event(0, "a", "click", 0))
    live.step(event(1, "b", "click", 0))
    assert live.step(event(0, "b", "click", 1), in_session=False) is None


def test_a_click_on_a_candidate_teaches_the_blend() -> None:
    live = Prequential(wide())
    clicked = 0
    for each in walks(300):
        scored = live.step(each)
        clicked += scored is not None and scored.clicked is not None
    live._arrive(NOW + 10**9)
    assert live.table.blend is not None and live.table.blend.seen[0] == clicked > 100
    fixed = Prequential(config(kind="weighted"))
    for each in walks(100):
        fixed.step(each)
    assert fixed.table.blend is None


def test_rotation_counts_how_often_an_item_was_in_the_last_lists_in_a_row() -> None:
    live = Prequential(config("none", lists={"exclude": "none", "length": 2, "rotation": 5.0}))
    for n in range(8):
        live.step(event(n % 2, n % 8, "click", n))
    for n in range(8, 14):
        scored = live.step(event(0, n % 8, "click", n))
        assert scored is not None and scored.ranked is not None
        listed = live.table.keys[scored.ranked.candidates[scored.ranked.order]].tolist()
        assert live.times["u0"].keys() == set(listed)
    assert max(live.times["u0"].values()) < 6  # nothing stays for ever


def test_only_the_owner_of_the_blend_learns_it() -> None:
    live = Prequential(config(), 4)
    for n in range(60):
        live.step(event(n % 3, n % 7, "click", n))
    learners = [shard.name for shard in live.flow.items if shard.blend is not None]
    assert learners == [f"i{blend_owner(4)}"] != ["i0"]
