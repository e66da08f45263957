"""Neighbour lists against a dictionary that follows the equations."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import oracle
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamrec.sources import similarity
from streamrec.sources.similarity import PairLists, Similarity
from streamrec.sources.source import Said, Shopper

HALF_LIFE = 3_600_000.0
BOUND = 3
PAIRS = st.lists(
    st.tuples(
        st.integers(0, 9),  # the neighbour's key
        st.floats(0.01, 3.0),  # weight
        st.integers(0, 1),  # count
        st.integers(0, 10 * 3_600_000),  # time
    ),
    max_size=60,
)


class Lists:
    """Two rows of neighbour lists; all pairs go to row 1."""

    def __init__(self, bound: int, half_life_ms: float, *, counted: bool = True) -> None:
        self.arrays = PairLists(
            np.zeros((2, 2 * bound), np.uint64),
            np.zeros((2, 2 * bound), np.float32),
            np.zeros((2, 2 * bound if counted else 0), np.uint32),
            *(np.zeros(2, dtype) for dtype in (np.int32, np.int64, np.int32)),
            np.zeros(0, np.uint32),  # no row counts the pairs
            np.zeros(0, np.int32),
        )
        self.half_life_ms = half_life_ms

    def add(self, other: int, weight: float, count: int, ts: int) -> None:
        """Add a pair; the entry that is said to have changed must be the only one that did."""
        before = [array.copy() for array in self.arrays]
        pair = (np.uint64(other), weight, np.uint32(count), ts)
        entry = similarity.add_pair(self.arrays, 1, pair, self.half_life_ms)
        if entry >= 0:
            for old, new in zip(before[:2], self.arrays[:2], strict=True):
                assert set(np.flatnonzero(old[1] != new[1])) <= {entry}

    def row(self) -> dict[int, tuple[float, int]]:
        a, n = self.arrays, self.arrays.sizes[1]
        assert not a.sizes[0]
        found = zip(a.keys[1, :n], a.weights[1, :n], a.counts[1, :n], strict=True)
        return {int(k): (float(w), int(c)) for k, w, c in found}


@given(PAIRS)
def test_an_unpruned_list_is_the_decayed_sum(pairs: list[tuple[int, float, int, int]]) -> None:
    lists = Lists(10, HALF_LIFE)
    for pair in pairs:
        lists.add(*pair)
    newest = max((ts for *_, ts in pairs), default=0)
    row = lists.row()
    assert row.keys() == {other for other, *_ in pairs}
    for other, (weight, count) in row.items():
        mine = [pair for pair in pairs if pair[0] == other]
        expected = sum(w * 2 ** (-(newest - ts) / HALF_LIFE) for _, w, _, ts in mine)
        assert weight == pytest.approx(expected, rel=1e-3)
        assert count == sum(c for _, _, c, _ in mine)


@given(PAIRS)
def test_a_full_list_keeps_the_best(pairs: list[tuple[int, float, int, int]]) -> None:
    """Without decay the model is exact: grow to twice the bound, then keep the best half."""
    lists = Lists(BOUND, 0.0)
    model: dict[int, list[float]] = {}
    for n, (other, raw, count, ts) in enumerate(pairs):
        weight = float(np.float32(raw + n / 64))  # no ties
        lists.add(other, weight, count, ts)
        if other in model:
            model[other][0] = float(np.float32(model[other][0]) + np.float32(weight))
            model[other][1] += count
            continue
        if len(model) == 2 * BOUND:
            best = sorted(model, key=lambda k: -model[k][0])[:BOUND]
            model = {k: model[k] for k in model if k in best}
        model[other] = [weight, count]
    assert list(lists.row()) == list(model)  # in the order of arrival
    for other, (weight, count) in lists.row().items():
        assert weight == pytest.approx(model[other][0], rel=1e-5)
        assert count == model[other][1]


def test_a_late_pair_arrives_decayed_and_does_not_turn_the_clock_back() -> None:
    lists = Lists(5, HALF_LIFE)
    lists.add(7, 1.0, 1, 10_000_000)
    lists.add(7, 1.0, 1, 10_000_000 - int(HALF_LIFE))
    assert lists.row()[7] == (pytest.approx(1.5), 2)
    assert lists.arrays.clocks[1] == 10_000_000


PRIOR = 3.0
ITEMS = 12
ROWS = st.dictionaries(
    st.integers(0, 11),
    # 0: what decay leaves of an old weight
    st.dictionaries(st.integers(-1, 11), st.just(0.0) | st.floats(0.125, 4), max_size=6),
    max_size=8,
)
HISTORY = st.lists(st.integers(0, 11), max_size=5).map(lambda rows: np.array(rows, np.int32))


def listed(rows: dict[int, dict[int, float]]) -> tuple[np.ndarray, ...]:
    """Return the lists of some rows: neighbours, weights, sizes."""
    neighbours = np.full((ITEMS, 6), -1, np.int32)
    weights, sizes = np.zeros((ITEMS, 6), np.float32), np.zeros(ITEMS, np.int32)
    for row, near in rows.items():
        neighbours[row, : len(near)], weights[row, : len(near)] = list(near), list(near.values())
        sizes[row] = len(near)
    return neighbours, weights, sizes


def scored(source: Any, arrays: Any, history: np.ndarray) -> tuple[np.ndarray, list[int], Said]:
    """Return the scores of a user with this history, the rows touched, and what was returned."""
    scores, touched = np.zeros(ITEMS), np.full(ITEMS + 1, -1, np.int32)
    said = source.score(arrays, taken(history), scores, touched)
    return scores, sorted(touched[: said.touched].tolist()), said


def supported(source: Any, arrays: Any, history: np.ndarray) -> np.ndarray:
    """Return what all past items together add to the score of each item, in another order."""
    rows, where = np.arange(ITEMS, dtype=np.int32)[::-1].copy(), np.full(ITEMS, 7, np.int32)
    support: np.ndarray = source.support(arrays, taken(history), rows, where)
    assert support.shape == (ITEMS, len(history))
    return support.sum(axis=1)[::-1]


def taken(history: np.ndarray) -> Shopper:
    """Return a user who took these rows, the newest first."""
    ones, none = np.ones(len(history), np.uint8), np.zeros(0, np.int32)
    return Shopper(
        history, ones, ones > 0, none, none.astype(np.uint32), none, ones.astype(int), 0 * ones
    )


@given(ROWS, HISTORY, st.sampled_from([1.0, 0.7]))
def test_score_is_the_decayed_mean_of_shares(
    rows: dict[int, dict[int, float]], history: np.ndarray, decay: float
) -> None:
    neighbours, weights, sizes = listed(rows)
    totals = np.zeros(ITEMS, np.float32)
    similarity.sum_weights(weights, sizes, np.arange(ITEMS), totals)
    arrays = SimpleNamespace(
        similarity_keys=neighbours, similarity_weights=weights, similarity_size=sizes,
        similarity_total=totals,
    )  # fmt: skip
    source = Similarity(
        oracle.settings(similarity={"prior": PRIOR}, factors={"context_decay": decay})
    )
    scores, touched, said = scored(source, arrays, history)
    expected, left = np.zeros(ITEMS), 0.0
    for b, h in enumerate(history[:2]):  # oracle.BASE: the window
        near = rows.get(h, {})
        total = sum(near.values()) + PRIOR
        left += decay**b * PRIOR / total
        for j, weight in near.items():
            if j >= 0:
                expected[j] += decay**b * weight / total
    assert (said.total, said.rest) == (1.0, pytest.approx(left))
    assert scores == pytest.approx(expected, rel=1e-5)
    assert touched == np.flatnonzero(expected).tolist()
    assert supported(source, arrays, history) == pytest.approx(expected, rel=1e-5)
    alone = source.pairs(arrays, history, np.arange(ITEMS), np.zeros(ITEMS, np.int32))
    for b, h in enumerate(history):
        total = sum(rows.get(h, {}).values())
        shares = [rows.get(h, {}).get(j, 0.0) / total if total else 0.0 for j in range(ITEMS)]
        assert alone[:, b] == pytest.approx(shares, rel=1e-5)


@given(PAIRS, st.sampled_from([0.0, HALF_LIFE]))
def test_a_list_without_counts_keeps_the_same_weights(
    pairs: list[tuple[int, float, int, int]], half_life: float
) -> None:
    """The cosine's lists have none."""
    with_counts, without = Lists(BOUND, half_life), Lists(BOUND, half_life, counted=False)
    for other, raw, count, ts in pairs:
        with_counts.add(other, raw, count, ts)
        without.add(other, raw, count, ts)
    for name in ("keys", "weights", "sizes", "clocks"):
        mine, other = (getattr(lists.arrays, name) for lists in (with_counts, without))
        assert (mine == other).all(), name


def test_the_row_is_found_among_others_of_the_bound_it_was_given() -> None:
    lists = Lists(100, 0.0)
    for other in range(200):
        lists.add(other, 1.0 + other, 1, 0)
    assert len(lists.row()) == 200
    lists.add(999, 0.5, 1, 0)  # even the weakest newcomer is given a chance
    assert lists.row().keys() == {*range(100, 200), 999}
