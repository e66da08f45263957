"""From what sources say to one score: its parts, and the learned blend as it is served."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from oracle import NAMES, SILENCE, WEIGHTS, M, learned

from streamrec.blend import kernels
from streamrec.blend.combine import STEP, Blend, led
from streamrec.blend.learned import E, Features

FACTORS, COSINE = NAMES.index("factors"), NAMES.index("cosine")


def drawn(count: int = 9, seed: int = 3) -> Features:
    rng = np.random.default_rng(seed)
    ranks = np.zeros((count, M), np.uint8)
    for m in range(M):
        listed = rng.permutation(count)[:5]
        ranks[listed, m] = 1 + np.arange(len(listed))
    values = rng.normal(-5, 2, (count, M)).astype(np.float32)
    return Features(values, ranks, rng.normal(size=(count, E)).astype(np.float32), 4, SILENCE)


KINDS = ("weighted", "cascade", "vote", "borda", "learned")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("leader", [None, -1, 4])
@pytest.mark.parametrize("reorder", [-1, FACTORS, COSINE])
def test_parts_add_up_to_scores(kind: str, leader: int | None, reorder: int) -> None:
    for features in (drawn(), drawn(0)):
        mine = None if leader is None else learned(leader=leader)
        scores = Blend(kind, WEIGHTS, reorder).scores(features, mine)
        parts = Blend(kind, WEIGHTS, reorder).parts(features, mine)
        assert parts.shape == (len(features.values), M + E + 1)
        assert parts.sum(axis=1) == pytest.approx(scores, rel=1e-4, abs=1e-4)


def test_learned_scores_are_the_blends_own_unless_a_source_leads() -> None:
    f, mine = drawn(), learned()
    assert Blend("learned", WEIGHTS).scores(f, mine) == pytest.approx(mine.scores(f), rel=1e-5)
    order = np.argsort(-Blend("learned", WEIGHTS).scores(f, learned(leader=4)), kind="stable")
    listed = sorted(np.flatnonzero(f.ranks[:, 4]).tolist(), key=lambda j: f.ranks[j, 4])
    rest = sorted(set(range(9)) - set(listed), key=lambda j: -f.values[j, 4])
    assert order.tolist() == listed + rest


@given(st.integers(0, 300), st.integers(0, 10_000))
def test_a_leader_orders_by_rank_and_then_by_value(count: int, seed: int) -> None:
    """As by 1,000 / log2(1 + rank) + value, and within the range of the values."""
    rng = np.random.default_rng(seed)
    values = rng.choice(rng.normal(-8, 3, 40), count).astype(np.float32)  # some are equal
    ranks = np.minimum(rng.integers(0, 2, count) * (1 + rng.permutation(count)), 255)
    ranks = ranks.astype(np.uint8)
    keys = values + 1e3 * kernels.GAINS[ranks]
    scores = led(values, ranks)
    order = np.argsort(-keys, kind="stable")
    assert np.argsort(-scores, kind="stable").tolist() == order.tolist()
    falls = np.diff(scores[order])
    assert ((falls == 0.0) == (np.diff(keys[order]) == 0.0)).all()
    assert (falls[falls != 0.0] < -0.9 * STEP).all()
    if count:
        assert scores.max() <= values.max() and scores.min() > values.min() - count * STEP


def test_a_leader_whose_values_fall_with_its_ranks_is_quoted() -> None:
    values = np.array([-3.0, -1.0, -9.0, -2.0], np.float32)
    ranks = np.array([3, 1, 0, 2], np.uint8)
    assert led(values, ranks).tolist() == values.tolist()
