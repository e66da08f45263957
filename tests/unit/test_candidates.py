"""Candidates against a slow reimplementation of the documented formulas of every source."""

from typing import Any

import numpy as np
import pytest
from oracle import NAMES, SEGMENT, USERS, M, Slow, check, maker_of, only, rank, settings, table
from oracle import user as took

from streamrec.sources.registry import SOURCES
from streamrec.sources.source import Source
from streamrec.state.item_table import ItemTable

RULES: list[dict[str, dict[str, Any]]] = [
    {},
    {"lists": {"exclude": "session"}, "factors": {"context_norm": 0.5, "prior": 0.8}},
    {"lists": {"exclude": "none"}, "similarity": {"prior": 0.0, "reverse_weight": 0.0}},
    {"blend": {"kind": "learned", "weights": {"cosine": 1.0}, "off": ["factors", "successors"]}},
    {"factors": {"prior": 1.0, "prior_half_life": "long"}, "blend": only("factors", "repeats")},
]


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("sections", RULES, ids=range(len(RULES)))
def test_each_source_says_what_is_documented(sections: dict[str, Any], seed: int) -> None:
    config = settings(**sections)
    mine = table(40, seed, config)
    mine.arrays.available[[30, 31]] = False
    mine.arrays.stored[32] = False
    maker = maker_of(mine)
    for who in USERS:
        check(rank(maker, mine, who), Slow(mine, config, who))
    shoppers = [maker.shopper(who, mine) for who in USERS]
    assert len(maker.rank(shoppers, mine)) == len(USERS)


def test_what_each_source_is_silent_about() -> None:
    """A stranger: popularity speaks of all, the others of nothing; with a history, factors do."""
    config = settings(lists={"exclude": "none"}, similarity={"prior": 0.0})
    mine = table(40, config=config)
    maker = maker_of(mine)
    speaks = {who: ~np.isnan(rank(maker, mine, row).features.values) for who, row in (
        ("stranger", took()), ("of a segment", took(segment=SEGMENT)), ("buyer", took(3, 1))
    )}  # fmt: skip
    for who, loud in speaks.items():
        all_said = {"popularity_short", "popularity_medium", "popularity_long"}
        all_said |= {"factors", "content"} if who == "buyer" else set()
        assert {NAMES[m] for m in range(M) if loud[:, m].all()} == all_said
        some = {NAMES[m] for m in range(M) if loud[:, m].any()} - all_said
        assert some == {
            "stranger": set(), "of a segment": {"segment"},
            "buyer": {"similarity", "cosine", "successors", "repeats"},
        }[who]  # fmt: skip


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("sections", RULES[:3], ids=range(3))
def test_what_past_items_add_is_what_is_documented(sections: dict[str, Any], seed: int) -> None:
    config = settings(**sections)
    mine = table(40, seed, config)
    maker, rng = maker_of(mine), np.random.default_rng(seed)
    for who in USERS:
        shopper, slow = maker.shopper(who, mine), Slow(mine, config, who)
        rows = rng.permutation(len(mine))[:25]
        for m, source in enumerate(maker.sources):
            where = rng.integers(0, 99, len(mine)).astype(np.int32)  # with anything in it
            found = source.support(mine.arrays, shopper, rows, where)
            if type(source).support is Source.support:
                assert found is None
            elif source.active():
                wanted = slow.support(NAMES[m])[rows]
                assert found == pytest.approx(wanted, rel=1e-4, abs=1e-6), NAMES[m]
    assert [s.name for s in SOURCES if not s.optional] == list(NAMES)


def test_the_work_arrays_hold_all_that_a_source_can_touch() -> None:
    """The kernels do not check bounds: each item once, and one place more."""
    mine = ItemTable(settings(), with_lists=True)
    for size in (900, 901, 3000):
        mine.rows(np.arange(size, dtype=np.uint64))
        scratch = maker_of(mine).scratch
        assert scratch.touched.shape[1] > size <= scratch.scores.shape[1]


def test_weights_that_decay_left_nothing_of_overflow_no_work_array() -> None:
    """Each neighbour counts once in what a source has touched, even with score 0."""
    config = settings(
        similarity={"reverse_weight": 0.0, "window": 5}, lists={"exclude": "none"}
    )  # fmt: skip
    mine = table(12, config=config)
    a = mine.arrays
    a.similarity_weights[:], a.cosine_weights[:] = 0.0, 0.0
    a.similarity_total[:] = 0.0
    a.successors_ranks[:] |= 128
    a.similarity_size[:12] = a.cosine_size[:12] = 5
    a.successors_total[:12] = 12
    maker = maker_of(mine)
    for _ in range(50):
        [made] = maker.make([maker.shopper(took(*range(12)), mine)], mine)
    for source in ("similarity", "cosine", "successors"):
        assert not made.shown[1 + NAMES.index(source)].any()
    assert len(made.items) == 10
