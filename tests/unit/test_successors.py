"""Rings of successors against lists, and their votes against the documented sum."""

from types import SimpleNamespace

import numpy as np
import oracle
import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_similarity import ITEMS, scored, supported

from streamrec.sources import successors
from streamrec.sources.similarity import REVERSE
from streamrec.sources.successors import Successors

LENGTH = 5
PUSHES = st.lists(
    st.tuples(
        st.integers(0, ITEMS - 1),  # whose ring
        st.integers(-1, ITEMS - 1),  # the other item; -1: not known here
        st.integers(0, 4),  # its rank
        st.booleans(),  # reverse
    ),
    max_size=60,
)


def pushed(pushes: list[tuple[int, int, int, bool]]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    keys, ranks = np.zeros((ITEMS, LENGTH), np.uint64), np.zeros((ITEMS, LENGTH), np.uint8)
    totals = np.zeros(ITEMS, np.uint32)
    for row, other, rank, reverse in pushes:
        byte = np.uint8(rank | (REVERSE if reverse else 0))
        successors.push((keys, ranks, totals), row, np.uint64(other + 1), byte)
    return keys, ranks, totals


@given(PUSHES)
def test_a_ring_holds_the_latest(pushes: list[tuple[int, int, int, bool]]) -> None:
    keys, ranks, totals = pushed(pushes)
    for row in range(ITEMS):
        mine = [push[1:] for push in pushes if push[0] == row]
        assert totals[row] == len(mine)
        held = sorted(zip(keys[row].tolist(), ranks[row].tolist(), strict=True))
        latest = [(other + 1, rank + REVERSE * back) for other, rank, back in mine[-LENGTH:]]
        assert held == sorted(latest + [(0, 0)] * (LENGTH - len(latest)))


@given(
    PUSHES,
    st.lists(st.integers(0, ITEMS - 1), unique=True, max_size=4),
    st.sampled_from([1.0, 0.7]),
    st.sampled_from([0.5, 0.0, 1.0]),
)
def test_score_is_the_decayed_mean_of_votes(
    pushes: list[tuple[int, int, int, bool]], history: list[int], decay: float, reverse: float
) -> None:
    keys, ranks, totals = pushed(pushes)
    rings, newest = (keys.astype(np.int32) - 1, ranks, totals), np.array(history, np.int32)
    arrays = SimpleNamespace(
        successors_keys=rings[0], successors_ranks=rings[1], successors_total=rings[2]
    )
    source = Successors(
        oracle.settings(
            similarity={"reverse_weight": reverse},
            factors={"context_decay": decay},
            successors={"window": 4},
        )  # fmt: skip
    )
    scores, touched, said = scored(source, arrays, newest)
    expected = np.zeros(ITEMS)
    for b, h in enumerate(history):
        votes = [push[1:] for push in pushes if push[0] == h][-LENGTH:]
        weights = [(reverse if back else 1.0) / (rank + 1) for _, rank, back in votes]
        for (other, _, _), weight in zip(votes, weights, strict=True):
            if other >= 0 and weight > 0:
                expected[other] += decay**b * weight / sum(weights)
    assert scores == pytest.approx(expected)
    assert said.total == pytest.approx(expected.sum())
    assert touched == np.flatnonzero(expected).tolist()
    assert supported(source, arrays, newest) == pytest.approx(expected)


def test_the_total_of_a_ring_that_was_pushed_very_often_does_not_overflow_its_place() -> None:
    keys, ranks, totals = pushed([])
    totals[2] = 2**32 - 2
    for n in range(2):
        successors.push((keys, ranks, totals), 2, np.uint64(7 + n), np.uint8(0))
    assert {7, 8} <= set(keys[2].tolist())
