"""Neighbour lists against a dictionary that follows the equations."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamrec.sources import similarity

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

    def __init__(self, bound: int, half_life_ms: float) -> None:
        self.keys = np.zeros((2, 2 * bound), np.uint64)
        self.weights = np.zeros((2, 2 * bound), np.float32)
        self.counts = np.zeros((2, 2 * bound), np.uint32)
        self.sizes, self.clocks = np.zeros(2, np.int32), np.zeros(2, np.int64)
        self.half_life_ms = half_life_ms

    def add(self, other: int, weight: float, count: int, ts: int) -> None:
        similarity.add_pair(
            self.keys, self.weights, self.counts, self.sizes, self.clocks, 1, np.uint64(other),
            weight, np.uint32(count), ts, self.half_life_ms,
        )  # fmt: skip

    def row(self) -> dict[int, tuple[float, int]]:
        n = self.sizes[1]
        assert not self.sizes[0]
        found = zip(self.keys[1, :n], self.weights[1, :n], self.counts[1, :n], strict=True)
        return {int(k): (float(w), int(c)) for k, w, c in found}


@settings(deadline=None)
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


@settings(deadline=None)
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
    assert lists.clocks[1] == 10_000_000


def score(
    rows: dict[int, dict[int, float]], history: list[int], decay: float, items: int = 12
) -> tuple[np.ndarray, np.ndarray]:
    """Return the dense scores and the touched rows of a history, newest first."""
    width = 6
    neighbours = np.full((items, width), -1, np.int32)
    weights = np.zeros((items, width), np.float32)
    sizes, totals = np.zeros(items, np.int32), np.zeros(items, np.float32)
    for row, near in rows.items():
        neighbours[row, : len(near)] = list(near)
        weights[row, : len(near)] = list(near.values())
        sizes[row], totals[row] = len(near), sum(near.values())
    scores, touched = np.zeros(items), np.full(items + 1, -1, np.int32)
    found, mass = similarity.score(
        neighbours, weights, sizes, totals, np.array(history, np.int32), decay, PRIOR,
        scores, touched,
    )  # fmt: skip
    assert mass == pytest.approx(
        sum(decay**b * PRIOR / (PRIOR + totals[h]) for b, h in enumerate(history) if h >= 0)
    )
    return scores, touched[:found]


PRIOR = 3.0
ROWS = st.dictionaries(
    st.integers(0, 11),
    # 0: what decay leaves of an old weight
    st.dictionaries(st.integers(-1, 11), st.just(0.0) | st.floats(0.125, 4), max_size=6),
    max_size=8,
)


@settings(deadline=None)
@given(ROWS, st.lists(st.integers(-1, 11), max_size=5), st.sampled_from([1.0, 0.7]))
def test_score_is_the_decayed_mean_of_shares(
    rows: dict[int, dict[int, float]], history: list[int], decay: float
) -> None:
    scores, touched = score(rows, history, decay)
    expected = np.zeros(12)
    for b, h in enumerate(history):
        near = rows.get(h, {})
        for j, weight in near.items():
            if j >= 0:
                expected[j] += decay**b * weight / (sum(near.values()) + PRIOR)
    assert scores == pytest.approx(expected, rel=1e-5)
    assert sorted(touched.tolist()) == np.flatnonzero(expected).tolist()


@settings(deadline=None)
@given(
    ROWS,
    st.lists(st.integers(0, 11), max_size=5),
    st.lists(st.integers(0, 9), min_size=12, max_size=12),
)
def test_cosine_score_is_the_sum_over_the_history_of_normalised_counts(
    rows: dict[int, dict[int, float]], history: list[int], events: list[int]
) -> None:
    neighbours, weights = np.full((12, 6), -1, np.int32), np.zeros((12, 6), np.float32)
    sizes = np.zeros(12, np.int32)
    for row, near in rows.items():
        neighbours[row, : len(near)], weights[row, : len(near)] = list(near), list(near.values())
        sizes[row] = len(near)
    scores, touched = np.zeros(12), np.full(12 + 1, -1, np.int32)
    found = similarity.score_cosine(
        neighbours, weights, sizes, np.array(events, np.uint32), np.array(history, np.int32),
        scores, touched,
    )  # fmt: skip
    n = np.maximum(events, 1)
    expected = np.zeros(12)
    for b, h in enumerate(history, 1):
        for j, weight in rows.get(h, {}).items():
            if j >= 0:
                expected[j] += weight / (b * np.sqrt(n[h] * n[j]))
    assert scores == pytest.approx(expected, rel=1e-5)
    assert sorted(touched[:found].tolist()) == np.flatnonzero(expected).tolist()


@settings(deadline=None)
@given(PAIRS, st.sampled_from([0.0, HALF_LIFE]))
def test_a_list_without_counts_keeps_the_same_weights(
    pairs: list[tuple[int, float, int, int]], half_life: float
) -> None:
    """The cosine's lists have none."""
    with_counts, without = Lists(BOUND, half_life), Lists(BOUND, half_life)
    without.counts = np.zeros((2, 0), np.uint32)
    for other, raw, count, ts in pairs:
        with_counts.add(other, raw, count, ts)
        without.add(other, raw, count, ts)
    for name in ("keys", "weights", "sizes", "clocks"):
        assert (getattr(with_counts, name) == getattr(without, name)).all(), name


def test_the_row_is_found_among_others_of_the_bound_it_was_given() -> None:
    lists = Lists(100, 0.0)
    for other in range(200):
        lists.add(other, 1.0 + other, 1, 0)
    assert len(lists.row()) == 200
    lists.add(999, 0.5, 1, 0)  # even the weakest newcomer is given a chance
    assert lists.row().keys() == {*range(100, 200), 999}
