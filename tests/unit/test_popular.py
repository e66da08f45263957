"""The order that is kept up to date from what changed equals a full sort."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamrec.ranking.popular import Popular

ITEMS, MOST = 200, 6
FEW = 25  # of 200 items: more are no longer few, and all lists are made anew
CHANGES = st.lists(
    st.lists(
        st.tuples(
            st.integers(0, ITEMS - 1) | st.integers(0, 9),
            st.sampled_from(["more", "less", "none", "gone", "back", "touched"]),
            st.floats(0.0, 3.0),
        ),
        min_size=1,
        max_size=FEW,
    ),
    max_size=20,
)


class Catalogue:
    """Heats of some items, random at first."""

    def __init__(self, items: int = ITEMS, seed: int = 1) -> None:
        rng = np.random.default_rng(seed)
        self.heats = rng.normal(0.0, 1.0, (items, 3))
        self.servable = rng.random(items) < 0.9

    def change(self, row: int, what: str, by: float) -> None:
        if what == "more":
            raised = np.maximum(self.heats[row], -3.0) + by
            self.heats[row] = raised
        elif what == "less":
            self.heats[row] -= by
        elif what == "none":
            self.heats[row] = -np.inf
        elif what in ("gone", "back"):
            self.servable[row] = what == "back"


def check(popular: Popular, catalogue: Catalogue) -> None:
    """Compare with a full sort; items that are equally popular may stand in any order."""
    most = popular.order.shape[1]
    for h, order in enumerate(popular.order):
        worth = np.where(catalogue.servable, catalogue.heats[:, h], -np.inf)
        expected = np.sort(worth[np.isfinite(worth)])[::-1][:most]
        rows = order[order >= 0]
        assert len(set(rows.tolist())) == len(rows) == len(expected)
        assert (order[len(rows) :] == -1).all()
        assert catalogue.servable[rows].all()
        assert worth[rows].tolist() == expected.tolist()


@settings(deadline=None, max_examples=200)
@given(CHANGES, st.sampled_from([1, MOST, 150, 300]))
def test_the_kept_order_is_that_of_a_full_sort(
    turns: list[list[tuple[int, str, float]]], most: int
) -> None:
    catalogue, popular = Catalogue(), Popular(most, 3)
    popular.refresh(catalogue.heats, catalogue.servable, np.arange(ITEMS))
    for turn in turns:
        for change in turn:
            catalogue.change(*change)
        changed = np.unique([row for row, _, _ in turn])
        popular.refresh(catalogue.heats, catalogue.servable, changed)
        check(popular, catalogue)


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 30), st.floats(-2, 2)), max_size=60))
def test_items_that_come_one_by_one(steps: list[tuple[int, float]]) -> None:
    popular, empty = Popular(MOST, 3), Catalogue(0)
    catalogue = empty
    for more, heat in steps:
        catalogue.heats = np.concatenate([catalogue.heats, np.full((more % 3, 3), -np.inf)])
        new = np.zeros(more % 3, np.bool_)
        catalogue.servable = np.concatenate([catalogue.servable, new])
        if len(catalogue.heats):
            row = more % len(catalogue.heats)
            catalogue.heats[row], catalogue.servable[row] = heat, True
            popular.refresh(catalogue.heats, catalogue.servable, np.array([row]))
            check(popular, catalogue)


def test_two_that_rise_at_once() -> None:
    """The first stops below the second while that has not moved yet."""
    catalogue, popular = Catalogue(), Popular(MOST, 3)
    catalogue.servable[:] = True
    catalogue.heats[:3] = [[2.0] * 3, [5.0] * 3, [3.0] * 3]
    catalogue.heats[3:] = -9.0
    popular.refresh(catalogue.heats, catalogue.servable, np.arange(ITEMS))
    assert popular.order[0, :3].tolist() == [1, 2, 0]
    catalogue.heats[:3] = [[7.0] * 3, [5.0] * 3, [10.0] * 3]
    popular.refresh(catalogue.heats, catalogue.servable, np.array([0, 2]))
    assert popular.order[0, :3].tolist() == [2, 0, 1]


def test_the_last_that_falls_makes_room() -> None:
    catalogue, popular = Catalogue(), Popular(3, 3)
    catalogue.servable[:] = True
    catalogue.heats[:] = -np.arange(float(ITEMS))[:, None]
    popular.refresh(catalogue.heats, catalogue.servable, np.arange(ITEMS))
    catalogue.heats[2] = -50.0
    popular.refresh(catalogue.heats, catalogue.servable, np.array([2]))
    assert popular.order.tolist() == [[0, 1, 3]] * 3


def test_few_changes_do_not_sort_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    catalogue, popular = Catalogue(), Popular(MOST, 3)
    popular.refresh(catalogue.heats, catalogue.servable, np.arange(ITEMS))
    monkeypatch.setattr(popular, "_make_anew", None)
    rng = np.random.default_rng(2)
    for _ in range(300):
        rows = rng.permutation(ITEMS)[:3]
        catalogue.heats[rows] += rng.random((3, 1))
        popular.refresh(catalogue.heats, catalogue.servable, rows)
        check(popular, catalogue)
