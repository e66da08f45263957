"""Decayed counts against the sum that defines them."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamrec.learners import popularity

HALF_LIVES = np.array([900_000.0, 14_400_000.0, 604_800_000.0])
NOW = 1_700_000_000_000
EVENTS = st.lists(
    st.tuples(
        st.integers(0, 7 * 86_400_000),  # how long ago, ms
        st.sampled_from([0.3, 1.0, 2.0, 3.0, -1.0]),
    ),
    min_size=1,
    max_size=30,
)


def after(events: list[tuple[int, float]]) -> tuple[np.ndarray, int]:
    """Return the three counts and the clock of one row after the events, in that order."""
    counts, clocks = np.zeros((2, 3), np.float32), np.zeros(2, np.int64)
    for age, weight in events:
        popularity.add(counts, clocks, 1, weight, NOW - age, HALF_LIVES)
    assert not counts[0].any() and not clocks[0]
    return counts[1], int(clocks[1])


@settings(deadline=None)
@given(EVENTS)
def test_counts_are_the_decayed_sum(events: list[tuple[int, float]]) -> None:
    counts, clock = after(events)
    newest = min(age for age, _ in events)
    assert clock == NOW - newest
    for h, half_life in enumerate(HALF_LIVES):
        expected = sum(weight * 2 ** (-(age - newest) / half_life) for age, weight in events)
        assert counts[h] == pytest.approx(expected, rel=1e-4, abs=1e-4)


@settings(deadline=None)
@given(EVENTS, st.randoms(use_true_random=False))
def test_the_order_of_events_does_not_matter(events: list[tuple[int, float]], random) -> None:  # type: ignore[no-untyped-def]
    other = list(events)
    random.shuffle(other)
    (one, one_clock), (two, two_clock) = after(events), after(other)
    assert one_clock == two_clock
    assert one == pytest.approx(two, rel=1e-4, abs=1e-4)


def test_one_half_life_halves_and_a_late_event_arrives_halved() -> None:
    half_life = int(HALF_LIVES[0])
    assert after([(half_life, 8.0), (0, 1.0)])[0][0] == pytest.approx(5.0)
    assert after([(0, 1.0), (half_life, 8.0)])[0][0] == pytest.approx(5.0)


def test_shares_are_decayed_to_now_and_sum_to_one() -> None:
    counts = np.array([[8.0] * 3, [1.0] * 3, [-5.0] * 3, [0.0] * 3], np.float32)
    half_life = int(HALF_LIVES[0])
    clocks = np.array([NOW - 3 * half_life, NOW, NOW, 0])
    shares = popularity.shares(counts, clocks, NOW, HALF_LIVES)
    assert shares[:, 0] == pytest.approx([0.5, 0.5, 0.0, 0.0])
    assert shares.sum(axis=0) == pytest.approx([1.0] * 3, abs=1e-6)
    assert shares.dtype == np.float32


def test_shares_of_nothing_are_zero() -> None:
    none = popularity.shares(np.zeros((2, 3), np.float32), np.zeros(2, np.int64), NOW, HALF_LIVES)
    assert not none.any()
    assert popularity.shares(none[:0], np.zeros(0, np.int64), NOW, HALF_LIVES).shape == (0, 3)
