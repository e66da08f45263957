"""Lists: the best of the candidates by the blend, without what must be left out."""

import math

import numpy as np
import pytest
from oracle import (
    MINUTE,
    NAMES,
    NOW,
    SEGMENT,
    USERS,
    M,
    Slow,
    check,
    learned,
    make,
    maker_of,
    names,
    only,
    settings,
    summed,
    table,
    user,
)

from streamrec.blend.combine import Blend
from streamrec.state.item_table import ItemTable
from streamrec.state.keys import key_of
from streamrec.state.user_rows import no_user


@pytest.mark.parametrize("kind", ["weighted", "cascade", "vote", "borda", "learned"])
def test_a_list_is_the_best_of_the_candidates(kind: str) -> None:
    config = settings(blend={"kind": kind})
    mine = table(40, 2, config)
    mine.blend = learned() if kind == "learned" else None
    who = USERS[0]
    made = make(mine, who, config)
    slow = Slow(mine, config, who)
    ranked = made.ranked
    assert ranked is not None
    check(ranked, slow)
    weights = np.full(M, 0.5, np.float32)
    scores = Blend(kind, weights).scores(ranked.features.filled(), mine.blend)
    order = np.argsort(-scores, kind="stable")[:10]
    rows = ranked.candidates[order]
    assert names(made) == [f"a{j}" for j in rows]
    chances = scores - np.log(np.exp(scores).sum())
    assert [entry.score for entry in made.items] == pytest.approx(chances[order], abs=1e-3)
    assert made.shown[0].tolist() == [key_of(f"a{j}") for j in rows]
    assert made.candidates.tolist() == [key_of(f"a{j}") for j in ranked.candidates]
    for m in range(M):
        alone = [key_of(f"a{j}") for j in ranked.alone[m] if j >= 0]
        assert made.shown[1 + m].tolist() == (alone + [0] * 10)[:10]
    for entry, at in zip(made.items, order, strict=True):  # a source that has it among its best
        assert ranked.features.ranks[at, NAMES.index(entry.source)] > 0


@pytest.mark.parametrize("leader", [None, -1, *range(M)])
def test_scores_are_logs_of_chances_whoever_leads(leader: int | None) -> None:
    """None: nothing is learnt yet. The console draws e^(score - best) of each."""
    config = settings(lists={"length": 40})
    mine = table(40, 2, config)
    mine.blend = None if leader is None else learned(leader=leader)
    for who in USERS:
        made = make(mine, who, config)
        scores = np.array([entry.score for entry in made.items])
        assert (np.diff(scores) <= 0.0).all() and scores.max(initial=-1.0) <= 0.0
        assert np.exp(scores).sum() <= 1.0 + 1e-3
        if len(scores) == len(made.candidates) > 0:
            assert np.exp(scores).sum() == pytest.approx(1.0, abs=1e-2)


def test_a_boost_of_log_2_counts_an_item_double_whoever_leads() -> None:
    for leader in (-1, *range(M)):
        mine = table(40, 2, settings())
        mine.blend = learned(leader=leader)
        who, boosted = (
            USERS[0],
            settings(lists={"length": 40, "boosts": {'item == "a7"': math.log(2.0)}}),
        )
        plain, more = (
            {entry.item: entry.score for entry in make(mine, who, config).items}
            for config in (settings(lists={"length": 40}), boosted)
        )
        if "a7" in plain:
            assert more["a7"] - plain["a7"] == pytest.approx(math.log(2.0), abs=1e-3)


def test_a_finer_source_without_weight_reorders_a_list() -> None:
    own = {"kind": "cascade", "reorder": "factors"}
    config = settings(blend=only("popularity_short") | own)
    mine, who = table(40, 2, config), USERS[0]
    slow = Slow(mine, config, who)
    popular, said = slow.pool("popularity_short"), slow.said("factors")
    made = make(mine, who, config)
    assert len(popular) == 10
    assert names(made) == [f"a{j}" for j in sorted(popular, key=lambda j: -said.scores[j])]
    assert {entry.source for entry in made.items} == {"popularity_short"}
    plain = make(mine, who, settings(blend=only("popularity_short") | {"kind": "cascade"}))
    assert set(names(plain)) == set(names(made)) and names(plain) != names(made)


def test_what_only_the_finer_source_proposes_comes_last() -> None:
    own = {"kind": "cascade", "reorder": "factors"}
    config = settings(lists={"exclude": "none"}, blend=only("repeats") | own)
    mine, who = table(40, 2, config), user(8, 3, 1)
    slow = Slow(mine, config, who)
    said = slow.said("factors").scores
    first = sorted([8, 3, 1], key=lambda j: -said[j])
    rest = [j for j in slow.pool("factors") if j not in first]
    made = make(mine, who, config)
    assert names(made) == [f"a{j}" for j in [*first, *rest]][:10]
    assert [entry.source for entry in made.items] == ["repeats"] * 3 + ["factors"] * 7


@pytest.mark.parametrize("rule", ["user", "session", "none"])
def test_the_seen_rule(rule: str) -> None:
    config = settings(lists={"exclude": rule, "length": 30}, blend={"candidates": 30})
    who = user(1, 2, 3, 4, seen=(5,), minutes=(90, 60, 8, 3))  # 3 and 4: the last ten minutes
    listed = set(names(make(table(12, config=config), who, config)))
    left_out = {"user": {1, 2, 3, 4, 5}, "session": {3, 4, 5}, "none": {5}}[rule]  # 5: marked
    assert listed == {f"a{n}" for n in range(12) if n not in left_out}


@pytest.mark.parametrize("source", [s for s in NAMES if s != "repeats"])
def test_a_source_alone_is_its_own_list(source: str) -> None:
    who = user(3, 1, segment=SEGMENT)
    made = make(table(40), who, settings(blend=only(source)))
    assert made.shown[0].tolist() == made.shown[1 + NAMES.index(source)].tolist()
    assert {entry.source for entry in made.items} == {source}


def test_one_who_takes_things_again_gets_them_again() -> None:
    config = settings(lists={"exclude": "none"}, blend=only("repeats"))
    who = user(8, 3, 1, takes=(9, 1, 2), minutes=(900, 30, 1))
    assert names(make(table(40), who, config)) == ["a8", "a3", "a1"]  # 9/7, 1/6, 2/50
    assert names(make(table(40), who, settings(blend=only("repeats")))) == []


def test_weight_0_switches_a_source_off_unless_the_blend_learns() -> None:
    who, m = USERS[0], NAMES.index("factors")
    without = {"weights": {s: 0.5 for s in NAMES if s != "factors"}}
    fixed = make(table(40), who, settings(blend=without))
    assert not fixed.shown[1 + m].any()
    assert "factors" not in {entry.source for entry in fixed.items}
    learns = make(table(40), who, settings(blend=without | {"kind": "learned"}))
    assert learns.shown[1 + m].all()
    off = settings(blend=without | {"kind": "learned", "off": ["factors"]})
    assert not make(table(40), who, off).shown[1 + m].any()


def test_items_without_a_stored_row_or_unavailable_are_not_listed() -> None:
    mine = table(12)
    mine.arrays.available[[2, 5]] = False
    mine.arrays.stored[7] = False
    made = make(mine, user(3), settings(lists={"length": 30}, blend={"candidates": 30}))
    assert set(names(made)) == {f"a{n}" for n in range(12) if n not in (2, 3, 5, 7)}
    gone = {key_of(f"a{n}") for n in (2, 5, 7)}
    assert not gone & set(made.shown.ravel().tolist())


def test_what_becomes_available_is_listed_at_the_next_refresh() -> None:
    mine, config = table(12), settings(lists={"length": 30}, blend={"candidates": 30})
    maker = maker_of(mine, config)
    for available in (False, True, False):
        mine.arrays.available[2] = available
        mine.note_changed([2])
        maker.prepare(mine)
        assert ("a2" in names(maker.make([maker.shopper(no_user(), mine)], mine)[0])) == available


def test_each_of_two_makers_sees_all_changes_of_a_table() -> None:
    """Whoever looks first takes nothing from the other, nor does one who looks less often."""
    config = settings(lists={"length": 4}, blend=only("popularity_long"))
    mine, rng = table(60), np.random.default_rng(1)
    often, seldom = maker_of(mine, config), maker_of(mine, config)
    for turn in range(20):
        rows = rng.choice(60, 2, replace=False)
        mine.arrays.heats[rows] += rng.normal(0, 9, (2, 3))
        mine.note_changed(rows)
        makers = [often, seldom] if turn % 3 == 2 else [often]
        for maker in makers:
            maker.prepare(mine)
        fresh = make(mine, no_user(), config)
        for maker in makers:
            [again] = maker.make([maker.shopper(no_user(), mine)], mine)
            assert names(again) == names(fresh)


@pytest.mark.parametrize("items", [0, 1, 3])
def test_tiny_catalogues(items: int) -> None:
    mine = table(items)
    mine.arrays.popularity[:items] = 1.0
    summed(mine)
    assert sorted(names(make(mine, no_user()))) == [f"a{n}" for n in range(items)]
    assert sorted(names(make(mine, user(0)))) == [f"a{n}" for n in range(1, items)]
    assert names(make(mine, user(*range(items)))) == []
    assert make(mine, no_user()).shown.shape == (1 + M, 10)
    assert maker_of(mine).ready == (items > 0)


def test_an_empty_table() -> None:
    mine = ItemTable(settings(), with_lists=True)
    made = make(mine, user(3))
    assert (made.items, made.ranked, made.shown.any()) == ([], None, False)
    assert not maker_of(mine).ready


def test_strangers_get_what_is_popular() -> None:
    mine = table(40)
    made = make(mine, no_user())
    assert len(made.items) == 10
    assert {entry.source for entry in made.items} <= set(NAMES[:3])
    assert all(entry.because == [] for entry in made.items)
    assert not made.shown[1 + NAMES.index("factors")].any()
    unknown = user(5_000)
    assert names(make(mine, unknown)) == names(made)


def test_one_who_has_seen_the_most_popular_gets_what_comes_next() -> None:
    config = settings(blend=only("popularity_long"), users={"recent_items": 5, "seen_items": 30})
    mine = table(60)
    order = np.argsort(-mine.arrays.heats[:60, 2])
    who = user(0, seen=tuple(order[:30].tolist()))
    assert len(make(mine, who, config).items) == 10  # all candidates


@pytest.mark.parametrize("rule", ["session", "none"])
def test_what_was_just_disliked_is_not_listed(rule: str) -> None:
    config = settings(lists={"exclude": rule}, blend={"candidates": 30})
    who = user(1, seen=(2,))  # a dislike leaves only this mark
    assert "a2" not in names(make(table(8), who, config))


def test_lists_of_many_users_are_those_of_each_alone() -> None:
    """No list leaves anything in the work arrays for the next one."""
    config = settings(blend={"kind": "learned"}, lists={"exclude": "none"})
    mine = table(40, config=config)
    maker = maker_of(mine)
    together = maker.make([maker.shopper(who, mine) for who in [*USERS, *USERS]], mine)
    for one, each in zip(together, [*USERS, *USERS], strict=True):
        alone = make(mine, each)
        assert one.items == alone.items and (one.shown == alone.shown).all()
    assert maker.make([], mine) == []


def test_another_table_is_not_ranked_by_the_order_of_the_one_before() -> None:
    """A reader of the feed makes its table anew after many evictions: rows are other items then."""
    maker = maker_of(table(30))
    for items, seed in ((30, 5), (3, 6), (60, 7)):
        mine = table(items, seed)
        mine.arrays.changed[: len(mine)] = 0
        maker.prepare(mine)
        for who in (no_user(), user(1, 2, seen=(0,))):
            [again] = maker.make([maker.shopper(who, mine)], mine)
            fresh = make(mine, who)
            assert again.items == fresh.items
            assert (again.shown == fresh.shown).all()


def test_the_popular_share_is_of_the_newest_event_time() -> None:
    mine = table(8)
    config = settings(blend=only("popularity_short"))
    mine.arrays.popularity[:8, 0] = 1.0
    mine.arrays.clock[:8] = NOW - np.arange(8) * 15 * MINUTE  # a half-life each
    summed(mine)
    made = make(mine, no_user(), config)
    assert names(made) == [f"a{n}" for n in range(8)]
    steps = np.diff([entry.score for entry in made.items])
    assert steps == pytest.approx([-math.log(2)] * 7, abs=1e-3)
