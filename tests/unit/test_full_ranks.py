"""Ranks in the order of the whole catalogue, against the documented formulas."""

import numpy as np
import pytest
from oracle import NAMES, USERS, Slow, maker_of, rank, settings, table


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("exclude", ["user", "session", "none"])
def test_the_rank_of_an_item_is_that_in_the_whole_order(exclude: str, seed: int) -> None:
    """Whatever the list's length and the number of candidates, with ties at their middle."""
    config = settings(lists={"exclude": exclude}, blend={"candidates": 10, "kind": "learned"})
    mine = table(40, seed, config)
    maker = maker_of(mine)
    for who in USERS:
        slow = Slow(mine, config, who)
        for target in slow.allowed[seed::3]:
            found = rank(maker, mine, who, target).full_ranks
            expected = [slow.rank(source, target) for source in NAMES]
            assert found == pytest.approx(expected, nan_ok=True), target


def test_no_rank_without_a_target_nor_of_a_source_that_is_off() -> None:
    mine = table(40, config=settings(blend={"off": ["cosine"]}))
    maker = maker_of(mine)
    assert np.isnan(rank(maker, mine, USERS[0]).full_ranks).all()
    ranks = dict(zip(NAMES, rank(maker, mine, USERS[0], 20).full_ranks, strict=True))
    assert np.isnan([ranks["cosine"], ranks["repeats"]]).all()
    assert np.isfinite(ranks["factors"])


def test_what_could_not_be_shown_has_no_rank() -> None:
    mine = table(40)
    mine.arrays.available[20], mine.arrays.stored[21] = False, False
    maker = maker_of(mine)
    later = mine.row("not known when the maker was prepared")
    for target in (20, 21, later):
        assert np.isnan(rank(maker, mine, USERS[0], target).full_ranks).all()
