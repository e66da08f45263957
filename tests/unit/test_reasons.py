"""Reasons are the past items that add most to what the item stands out for; explain says so too."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as budget_of
from hypothesis import strategies as st
from oracle import (
    NAMES,
    PAST,
    SEGMENT,
    M,
    Slow,
    learned,
    make,
    maker_of,
    only,
    rank,
    settings,
    summed,
    table,
    user,
)  # fmt: skip

from streamrec.blend.rules import extras_of
from streamrec.ranking.explain import explain
from streamrec.ranking.reasons import stands_out
from streamrec.settings.sections import Settings
from streamrec.state.item_table import ItemTable
from streamrec.state.user_rows import UserRow

HISTORY = [3, 1, 4, 15, 7]  # newest first
WHO = user(*reversed(HISTORY), segment=SEGMENT)


def near(seed: int, config: Settings) -> ItemTable:
    """Return a table of lists so near each other that past items share what they point to."""
    mine, rng = table(40, seed, config), np.random.default_rng(seed)
    a = mine.arrays
    for lists in (a.similarity_keys, a.cosine_keys):
        lists[:41, :5] = [rng.permutation(np.arange(20, 27))[:5] for _ in range(41)]
    a.successors_keys[:41] = rng.integers(20, 24, (41, 7))
    return mine


@pytest.mark.parametrize("source", NAMES)
@pytest.mark.parametrize("seed", range(3))
def test_reasons_are_what_past_items_add_to_the_source(source: str, seed: int) -> None:
    config = settings(lists={"exclude": "none", "because": 3}, blend=only(source))
    mine = near(seed, config)
    made = make(mine, WHO)
    assert made.items
    reasons = 0
    for entry in made.items:
        support = Slow(mine, config, WHO).support(source)[int(entry.item[1:])] if (
            source in PAST) else np.zeros(5)  # fmt: skip
        found = [support[HISTORY.index(int(name[1:]))] for name in entry.because]
        best = sorted(support[support > 1e-7], reverse=True)[:3]
        assert found == pytest.approx(best, abs=1e-6), entry.item
        reasons += len(found)
    assert (reasons > 0) == (source in PAST)


def test_of_few_pairs_little_is_known() -> None:
    """One of one pair says less than twenty of sixty: a score has `similarity.prior` below."""
    config = settings(similarity={"prior": 10.0}, blend=only("similarity"))
    mine = table(40, config=config)
    a = mine.arrays
    a.similarity_size[[1, 3]], a.similarity_keys[[1, 3], 0] = (2, 1), 30
    a.similarity_weights[1, :2], a.similarity_weights[3, 0] = (20.0, 40.0), 1.0
    summed(mine)
    assert {e.item: e.because for e in make(mine, user(1, 3)).items}["a30"] == ["a1", "a3"]


@budget_of(max_examples=80)
@given(
    st.sampled_from([*NAMES, "weighted", "learned", "vote", "borda", "cascade"]),
    st.integers(0, 10**6),
    st.sampled_from([WHO, user(), user(8), user(5, 2, 99, 11, segment=SEGMENT)]),
)
def test_reasons_stand_in_the_order_of_what_explain_says(how: str, seed: int, who: UserRow) -> None:
    rng = np.random.default_rng(seed)
    blend: dict[str, Any] = only(how) if how in NAMES else {
        "kind": how, "weights": dict(zip(NAMES, rng.uniform(0, 1, M).tolist(), strict=True))
    }  # fmt: skip
    config = settings(
        lists={"exclude": "none", "because": 9}, blend=blend, factors={"prior": seed % 2 / 2}
    )
    mine = near(seed, config)
    mine.blend = learned(extras=len(extras_of(config))) if how == "learned" else None
    maker = maker_of(mine)
    ranked, made = rank(maker, mine, who), make(mine, who)
    history = ranked.shopper.history.tolist()
    for entry, at in zip(made.items, ranked.order.tolist(), strict=True):
        told = explain(maker, mine, ranked, at)
        score = sum(told.parts.values()) + told.mean
        assert score + ranked.level == pytest.approx(ranked.scores[at], rel=1e-4, abs=1e-4)
        if entry.source not in told.by_item:
            assert entry.because == []
            continue
        m, row = NAMES.index(entry.source), int(ranked.candidates[at])
        where = np.zeros(len(mine.arrays.clock), np.int32)
        support = maker.sources[m].support(mine.arrays, ranked.shopper, np.array([row]), where)
        # what adds to the source's score adds to its part, unless a blend makes of a score below 0
        # a part above that of silence, or learnt against the source
        sign = np.sign(told.by_item[entry.source] @ support[0])
        assert sign > 0 or how not in (*NAMES, "weighted")
        lifts = sign * told.by_item[entry.source]
        found = [lifts[history.index(int(name[1:]))] for name in entry.because]
        assert found == sorted(lifts[lifts > 0], reverse=True)


def test_an_item_stands_out_for_the_part_most_above_its_mean_of_those_that_list_it() -> None:
    parts = np.array([[9.0, 1.0, 0.0, 5.0], [9.0, 0.0, 2.0, -5.0]])  # an extra comes last
    ranks = np.array([[1, 2, 0], [2, 0, 1]], np.uint8)
    assert stands_out(parts, ranks, np.zeros(len(parts))).tolist() == [1, 2]
    ranks[0, 1] = 0
    assert stands_out(parts, ranks, np.zeros(len(parts))).tolist() == [0, 2]
    assert stands_out(np.zeros((0, 4)), np.zeros((0, 3), np.uint8), np.zeros(0)).tolist() == []


@pytest.mark.parametrize("most", [0, 1, 3])
def test_no_more_reasons_than_asked_for(most: int) -> None:
    config = settings(lists={"because": most}, blend=only("factors"))
    made = make(table(40), user(15, 4, 1, 3), config)
    found = [entry.because for entry in made.items]
    assert max(map(len, found)) == most
    assert {name for because in found for name in because} <= {"a3", "a1", "a4"}  # the context


def test_no_reason_that_did_not_count() -> None:
    """a15 is the third newest: outside similarity.window, so it added nothing to the score."""
    mine = table(40)
    a = mine.arrays
    for h in (15, 3):
        a.similarity_keys[h, 0], a.similarity_size[h] = 30, max(1, a.similarity_size[h])
    summed(mine)
    made = make(mine, user(15, 1, 3), settings(blend=only("similarity")))
    assert {e.item: e.because for e in made.items}["a30"] == ["a3"]


def test_the_reason_of_a_repeat_is_the_item_itself() -> None:
    config = settings(lists={"exclude": "none"}, blend=only("repeats"))
    made = make(table(40), user(3, 1, 4), config)
    assert made.items and all(entry.because == [entry.item] for entry in made.items)
