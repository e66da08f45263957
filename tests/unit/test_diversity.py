"""Rerankers against brute force, and the promises they make for any list."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamrec.ranking.diversity import (
    RIDGE,
    by_relevance,
    diversify,
    dpp,
    intra_list_distance,
    loss,
    mmr,
    rotate,
    scaled,
)

METHODS = ("none", "mmr", "dpp")


def unit(vectors: np.ndarray) -> np.ndarray:
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    return (vectors / np.where(norms > 0, norms, 1)).astype(np.float32)


def random_list(n: int, seed: int, d: int = 5) -> tuple[np.ndarray, np.ndarray]:
    """Return falling relevance and vectors of n candidates, some alike and some unknown."""
    rng = np.random.default_rng(seed)
    vectors = unit(rng.normal(size=(n, d)))
    if n > 4:
        vectors[3] = vectors[1]
        vectors[n - 1] = 0
    return np.sort(rng.normal(size=n))[::-1].copy(), vectors


def clustered(n: int = 60, length: int = 10) -> tuple[np.ndarray, np.ndarray, int]:
    """Return candidates of which the most relevant are all of one cluster of six."""
    rng = np.random.default_rng(9)
    centres = rng.normal(size=(6, 8))
    cluster = np.sort(rng.integers(0, 6, n))
    vectors = unit(centres[cluster] + rng.normal(0, 0.1, (n, 8)))
    return np.linspace(0.0, -1.0, n), vectors, length


lists = st.tuples(st.integers(0, 25), st.integers(0, 99), st.integers(0, 30))


@given(lists, st.sampled_from(METHODS), st.floats(0, 1))
@settings(max_examples=150, deadline=None)
def test_an_order_names_each_candidate_at_most_once(
    shape: tuple[int, int, int], method: str, budget: float
) -> None:
    n, seed, length = shape
    relevance, vectors = random_list(n, seed)
    order = diversify(method, relevance, vectors, length, budget)
    assert len(order) == min(n, length)
    assert len(set(order.tolist())) == len(order)
    assert set(order.tolist()) <= set(range(n))


@given(lists, st.sampled_from(METHODS), st.floats(0, 0.5), st.floats(0.01, 5))
@settings(max_examples=150, deadline=None)
def test_the_budget_is_kept(
    shape: tuple[int, int, int], method: str, budget: float, spread: float
) -> None:
    n, seed, length = shape
    relevance, vectors = random_list(n, seed)
    order = diversify(method, relevance * spread, vectors, length, budget)
    assert -1e-9 <= loss(relevance * spread, order) <= budget + 1e-9


def test_loss_by_hand() -> None:
    relevance = np.log([0.5, 0.3, 0.2])
    best = 0.5 + 0.3 / np.log2(3)
    assert loss(relevance, np.array([0, 1])) == 0
    assert loss(relevance, np.array([1, 2])) == pytest.approx(1 - (0.3 + 0.2 / np.log2(3)) / best)
    assert loss(relevance - 1000, np.array([1, 2])) == pytest.approx(1 - 0.4261860 / 0.6892789)


@pytest.mark.parametrize("method", ["mmr", "dpp"])
def test_variety_grows_with_the_budget(method: str) -> None:
    relevance, vectors, length = clustered()
    budgets = (0.0, 0.02, 0.1, 0.3, 1.0)
    orders = [diversify(method, relevance, vectors, length, b) for b in budgets]
    spread = [intra_list_distance(vectors[order]) for order in orders]
    assert orders[0].tolist() == list(range(length))
    assert spread[0] < spread[2] < spread[4]
    assert spread[0] < 0.2 and spread[4] > 0.7
    assert diversify("none", relevance, vectors, length, 1.0).tolist() == list(range(length))


def test_mmr_by_hand() -> None:
    """1 is a copy of 0; 2 is unlike both."""
    vectors = np.array([[1, 0], [1, 0], [0, 1]], np.float32)
    relevance = np.array([10.0, 9.0, 8.0])
    assert mmr(relevance, vectors, 0.9, 3).tolist() == [0, 1, 2]  # .45 - .1 against 0 - 0
    assert mmr(relevance, vectors, 0.6, 3).tolist() == [0, 2, 1]  # .3 - .4 against 0 - 0


@given(lists)
@settings(max_examples=50, deadline=None)
def test_all_trade_and_much_strength_are_the_original_order(shape: tuple[int, int, int]) -> None:
    n, seed, length = shape
    relevance, vectors = random_list(n, seed)
    relevance = np.random.default_rng(seed).permutation(relevance)
    original = by_relevance(relevance)[:length].tolist()
    assert mmr(relevance, vectors, 1.0, length).tolist() == original
    assert dpp(relevance, vectors, 1e9, length).tolist() == original


def likeness(vectors: np.ndarray) -> np.ndarray:
    exact = vectors.astype(float)
    s = (1 + exact @ exact.T) / 2
    np.fill_diagonal(s, 1 + RIDGE)
    return s


@pytest.mark.parametrize("strength", [0.0, 0.5, 3.0])
@pytest.mark.parametrize("window", [1, 2, 3, 4, 6, 100])
def test_dpp_is_the_greedy_choice_by_determinants(strength: float, window: int) -> None:
    for seed in range(4):
        relevance, vectors = random_list(12, seed, d=4)
        q = np.exp(strength * scaled(relevance) / 2)
        kernel = q[:, None] * likeness(vectors) * q
        expected = [int(by_relevance(relevance)[0])]
        while len(expected) < 9:
            held = expected[-(window - 1) :] if window > 1 else []
            gains = {
                j: np.linalg.slogdet(kernel[np.ix_([*held, j], [*held, j])])[1]
                for j in range(12)
                if j not in expected
            }
            expected.append(max(gains, key=gains.__getitem__))
        assert dpp(relevance, vectors, strength, 9, window).tolist() == expected


def test_dpp_keeps_opposite_items_apart_from_copies() -> None:
    vectors = np.array([[1, 0], [1, 0], [-1, 0]], np.float32)
    assert dpp(np.array([3.0, 2.9, 0.0]), vectors, 1.0, 3).tolist() == [0, 2, 1]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("n", [0, 1, 2, 30])
def test_alike_unknown_and_equal_candidates(method: str, n: int) -> None:
    alike = unit(np.ones((n, 3)))
    for vectors, relevance in itertools.product(
        (alike, np.zeros((n, 3), np.float32), np.zeros((n, 0), np.float32)),
        (np.arange(n, 0.0, -1.0), np.zeros(n), np.linspace(0, -1e6, n)),
    ):
        order = diversify(method, relevance, vectors, 12, 0.2)
        assert sorted(order.tolist()) == list(range(min(n, 12))), "nothing speaks for a change"
        assert np.isfinite(intra_list_distance(vectors[order]))
        assert loss(relevance, order) <= 0.2
        for length in (0, -1):
            assert len(diversify(method, relevance, vectors, length, 0.2)) == 0


def test_inputs_are_not_edited() -> None:
    relevance, vectors = random_list(20, 1)
    before = relevance.copy(), vectors.copy()
    for method in METHODS:
        diversify(method, relevance, vectors, 10, 0.1)
    assert (relevance == before[0]).all() and (vectors == before[1]).all()


def test_scores_need_not_be_sorted() -> None:
    relevance, vectors, length = clustered()
    shuffle = np.random.default_rng(3).permutation(len(relevance))
    for method in METHODS:
        plain = diversify(method, relevance, vectors, length, 0.1)
        mixed = diversify(method, relevance[shuffle], vectors[shuffle], length, 0.1)
        assert shuffle[mixed].tolist() == plain.tolist()


def test_an_unknown_method_is_refused() -> None:
    relevance, vectors = random_list(5, 1)
    with pytest.raises(ValueError, match="shuffle"):
        diversify("shuffle", relevance, vectors, 3, 0.1)


def test_shown_items_sink() -> None:
    scores, shown = np.array([3.0, 2.0, 1.0]), np.array([4, 0, 1], np.uint32)
    found = rotate(scores, shown, 0.5)
    assert found == pytest.approx([3 - 0.5 * np.log(5), 2.0, 1 - 0.5 * np.log(2)])
    assert rotate(scores, shown, 0.0).tolist() == scores.tolist() == [3.0, 2.0, 1.0]


@given(st.integers(2, 12), st.integers(0, 99))
@settings(max_examples=50, deadline=None)
def test_distance_is_the_mean_over_pairs(k: int, seed: int) -> None:
    _, vectors = random_list(k, seed)
    pairs = [1 - float(a @ b) for a, b in itertools.combinations(vectors.astype(float), 2)]
    assert intra_list_distance(vectors) == pytest.approx(np.mean(pairs), abs=1e-6)


def test_distance_at_the_edges() -> None:
    one = np.ones((1, 1), np.float32)
    assert intra_list_distance(one) == intra_list_distance(one[:0]) == 0.0
    assert intra_list_distance(np.ones((3, 1), np.float32)) == 0.0
    assert intra_list_distance(np.array([[1.0], [-1.0]], np.float32)) == 2.0
