"""The interval of a difference: coverage, power, and what it does at the edges."""

import math
import tracemalloc

import numpy as np
import pytest

from streamrec.evaluation.intervals import interval


def alike(rng: np.random.Generator, n: int, memory: float) -> np.ndarray:
    """Return n values of mean 0, each `memory` times the one before plus noise."""
    noise = rng.normal(size=n + 100)
    values = np.empty(n + 100)
    last = 0.0
    for k, shock in enumerate(noise):
        last = memory * last + shock
        values[k] = last
    return values[100:]


def coverage(block: int, memory: float, streams: int = 200) -> float:
    rng = np.random.default_rng(5)
    inside = 0
    for seed in range(streams):
        a = alike(rng, 1500, memory) + 0.3
        found = interval(a, np.zeros(1500), block, 200, seed, level=0.9)
        inside += found.low <= 0.3 <= found.high
    return inside / streams


def test_nine_in_ten_intervals_hold_the_truth_though_events_are_alike() -> None:
    assert 0.8 < coverage(block=50, memory=0.7) < 0.97


def test_drawing_single_events_would_be_too_sure_of_itself() -> None:
    assert coverage(block=1, memory=0.7) < 0.7


def test_a_real_difference_excludes_zero() -> None:
    rng = np.random.default_rng(1)
    hard = rng.uniform(0.0, 0.3, 20_000)  # what is hard for both is no part of the difference
    a = (rng.uniform(size=20_000) < hard + 0.02).astype(float)
    b = (rng.uniform(size=20_000) < hard).astype(float)
    found = interval(a, b)
    assert found.difference == pytest.approx(a.mean() - b.mean())
    assert 0 < found.low < found.difference < found.high


def test_noise_includes_zero() -> None:
    rng = np.random.default_rng(2)
    shared = rng.uniform(size=5000)
    found = interval(shared + rng.normal(0, 0.1, 5000), shared + rng.normal(0, 0.1, 5000))
    assert found.low < 0 < found.high
    assert interval(shared, shared) == (0.0, 0.0, 0.0)


def test_sides_are_paired() -> None:
    """A difference far below the spread of either side is seen when both move together."""
    shared = np.random.default_rng(3).normal(0, 10, 5000)
    found = interval(shared + 0.01, shared)
    assert found == pytest.approx((0.01, 0.01, 0.01))


def test_same_seed_same_interval() -> None:
    a, b = np.random.default_rng(4).normal(size=(2, 3000))
    assert interval(a, b, seed=7) == interval(a, b, seed=7) != interval(a, b, seed=8)
    before = a.copy()
    interval(a, b)
    assert (a == before).all()


@pytest.mark.parametrize("n", [1, 2, 7, 39, 41, 499, 501])
def test_streams_shorter_than_some_blocks(n: int) -> None:
    a = np.random.default_rng(n).normal(size=n)
    found = interval(a, np.zeros(n))
    assert found.low <= found.difference <= found.high
    if n > 2:
        assert found.low < found.high, "one block would be the whole ring: no width at all"


def test_every_resample_has_n_values() -> None:
    """With all values 1 each replicate is 1, also where the last block is cut."""
    for n in (20, 997, 10_250):
        assert interval(np.ones(n), np.zeros(n), block=100) == pytest.approx((1.0, 1.0, 1.0))


def test_it_agrees_with_a_plain_bootstrap_of_rows() -> None:
    a = np.random.default_rng(6).normal(size=400)
    rng = np.random.default_rng(0)
    plain = [a[rng.integers(400, size=400)].mean() for _ in range(4000)]
    found = interval(a, np.zeros(400), block=1, rounds=4000)
    assert found[1:] == pytest.approx(np.quantile(plain, [0.025, 0.975]), abs=0.01)


def test_a_wider_level_is_a_wider_interval() -> None:
    a = np.random.default_rng(8).normal(size=2000)
    narrow, wide = (interval(a, np.zeros(2000), level=level) for level in (0.5, 0.99))
    assert wide.low < narrow.low < narrow.high < wide.high


def test_memory_does_not_grow_with_rounds() -> None:
    a, b = np.zeros(200_000), np.ones(200_000)
    tracemalloc.start()
    interval(a, b, block=1, rounds=50)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 40e6, "50 rounds of 200,000 starts would be 80 MB"


def test_nothing_has_no_difference() -> None:
    assert all(math.isnan(x) for x in interval(np.zeros(0), np.zeros(0)))


def test_senseless_arguments_are_refused() -> None:
    one, two = np.zeros(1), np.zeros(2)
    with pytest.raises(ValueError, match="both sides"):
        interval(one, two)
    for wrong in ({"block": 0}, {"rounds": 0}, {"level": 1.0}):
        with pytest.raises(ValueError, match="at least 1"):
            interval(one, one, **wrong)
