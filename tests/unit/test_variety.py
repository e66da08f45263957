"""Every way of variety under one suite of laws; then each against its own definition."""

import itertools
from typing import get_args, get_type_hints

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamrec.evaluation.tally import intra_list_distance
from streamrec.ranking.dpp import RIDGE, dpp
from streamrec.ranking.mmr import mmr
from streamrec.ranking.variety import WAYS, Way, cosines_of, diversify, scaled
from streamrec.settings.sections import ListSettings

ways = pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
varied = pytest.mark.parametrize("way", [mmr, dpp], ids=["mmr", "dpp"])


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


def by_relevance(relevance: np.ndarray) -> np.ndarray:
    return np.argsort(-relevance, kind="stable")


def loss(relevance: np.ndarray, order: np.ndarray) -> float:
    """Return 1 - DCG(order) / DCG(original), where softmax is the chance of a click."""
    chances = np.exp(relevance - np.max(relevance, initial=-np.inf))
    discounts = 1 / np.log2(2.0 + np.arange(len(order)))
    best = chances[by_relevance(relevance)[: len(order)]] @ discounts
    return float(1 - chances[order] @ discounts / best) if len(order) else 0.0


def test_the_settings_name_every_way() -> None:
    assert set(get_args(get_type_hints(ListSettings)["diversity"])) == set(WAYS)


lists = st.tuples(st.integers(0, 25), st.integers(0, 99), st.integers(-1, 30))


@ways
@given(lists, st.floats(0, 1), st.floats(0.01, 5))
@settings(max_examples=100)
def test_an_order_names_a_candidate_once_and_keeps_the_budget(
    way: Way | None, shape: tuple[int, int, int], budget: float, spread: float
) -> None:
    n, seed, length = shape
    relevance, vectors = random_list(n, seed)
    relevance *= spread
    before = relevance.copy(), vectors.copy()
    order = diversify(way, relevance, vectors, length, budget)
    assert len(order) == len(set(order.tolist())) == max(0, min(n, length))
    assert set(order.tolist()) <= set(range(n))
    assert -1e-9 <= loss(relevance, order) <= budget + 1e-9
    assert (relevance == before[0]).all() and (vectors == before[1]).all()


@varied
def test_variety_grows_with_the_budget(way: Way) -> None:
    relevance, vectors, length = clustered()
    budgets = (0.0, 0.02, 0.1, 0.3, 1.0)
    orders = [diversify(way, relevance, vectors, length, b) for b in budgets]
    spread = [intra_list_distance(vectors[order]) for order in orders]
    assert orders[0].tolist() == list(range(length))
    assert spread[0] < spread[2] < spread[4]
    assert spread[0] < 0.2 and spread[4] > 0.7


def test_none_is_the_original_order() -> None:
    relevance, vectors, length = clustered()
    assert diversify(None, relevance, vectors, length, 1.0).tolist() == list(range(length))


@varied
@given(lists)
@settings(max_examples=50)
def test_dial_1_is_the_original_order(way: Way, shape: tuple[int, int, int]) -> None:
    n, seed, length = shape
    relevance, vectors = random_list(n, seed)
    relevance = np.random.default_rng(seed).permutation(relevance)
    room = max(0, min(n, length))
    order = way(scaled(relevance), cosines_of(vectors), 1.0, room)
    assert order.tolist() == by_relevance(relevance)[:room].tolist()


@ways
@pytest.mark.parametrize("n", [0, 1, 2, 30])
def test_alike_unknown_and_equal_candidates(way: Way | None, n: int) -> None:
    alike = unit(np.ones((n, 3)))
    for vectors, relevance in itertools.product(
        (alike, np.zeros((n, 3), np.float32), np.zeros((n, 0), np.float32)),
        (np.arange(n, 0.0, -1.0), np.zeros(n), np.linspace(0, -1e6, n)),
    ):
        order = diversify(way, relevance, vectors, 12, 0.2)
        assert sorted(order.tolist()) == list(range(min(n, 12))), "nothing speaks for a change"
        assert loss(relevance, order) <= 0.2


@ways
def test_scores_need_not_be_sorted(way: Way | None) -> None:
    relevance, vectors, length = clustered()
    shuffle = np.random.default_rng(3).permutation(len(relevance))
    plain = diversify(way, relevance, vectors, length, 0.1)
    mixed = diversify(way, relevance[shuffle], vectors[shuffle], length, 0.1)
    assert shuffle[mixed].tolist() == plain.tolist()


def test_mmr_by_hand() -> None:
    """1 is a copy of 0; 2 is unlike both."""
    cosines = cosines_of(np.array([[1, 0], [1, 0], [0, 1]], np.float32))
    r = np.array([1.0, 0.5, 0.0])
    assert mmr(r, cosines, 0.9, 3).tolist() == [0, 1, 2]  # .45 - .1 against 0 - 0
    assert mmr(r, cosines, 0.6, 3).tolist() == [0, 2, 1]  # .3 - .4 against 0 - 0


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
        r = scaled(relevance)
        q = np.exp(strength * r / 2)
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
        dial = strength / (1 + strength)
        assert dpp(r, cosines_of(vectors), dial, 9, window).tolist() == expected


def test_dpp_keeps_opposite_items_apart_from_copies() -> None:
    vectors = np.array([[1, 0], [1, 0], [-1, 0]], np.float32)
    r = scaled(np.array([3.0, 2.9, 0.0]))
    assert dpp(r, cosines_of(vectors), 0.5, 3).tolist() == [0, 2, 1]


@given(st.integers(2, 12), st.integers(0, 99))
@settings(max_examples=50)
def test_distance_is_the_mean_over_pairs(k: int, seed: int) -> None:
    _, vectors = random_list(k, seed)
    pairs = [1 - float(a @ b) for a, b in itertools.combinations(vectors.astype(float), 2)]
    assert intra_list_distance(vectors) == pytest.approx(np.mean(pairs), abs=1e-6)


def test_distance_at_the_edges() -> None:
    one = np.ones((1, 1), np.float32)
    assert intra_list_distance(one) == intra_list_distance(one[:0]) == 0.0
    assert intra_list_distance(np.ones((3, 1), np.float32)) == 0.0
    assert intra_list_distance(np.array([[1.0], [-1.0]], np.float32)) == 2.0
