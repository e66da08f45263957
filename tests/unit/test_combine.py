"""From what sources say to one score: fixed blends by hand, and the learned one as it is served."""

import math

import numpy as np
import pytest
from oracle import FLOOR, NAMES, SILENCE, WEIGHTS, M, learned

from streamrec.blend import combine as blend
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
        scores = blend.scores(kind, features, WEIGHTS, mine, reorder)
        parts = blend.parts(kind, features, WEIGHTS, mine, reorder)
        assert parts.shape == (len(features.values), M + E + 1)
        assert parts.sum(axis=1) == pytest.approx(scores, rel=1e-4, abs=1e-4)


def test_weighted_is_a_product_of_powers_of_shares() -> None:
    f = drawn()
    expected = [sum(w * v for w, v in zip(WEIGHTS, row, strict=True)) for row in f.values]
    for kind in ("weighted", "learned"):  # also before anything was learnt
        assert blend.scores(kind, f, WEIGHTS, None) == pytest.approx(expected, rel=1e-5)


def test_vote_is_reciprocal_rank_fusion() -> None:
    f = drawn()
    expected = []
    for row in f.ranks:
        expected.append(sum(WEIGHTS[m] / (60 + int(r)) for m, r in enumerate(row) if r > 0))
    assert blend.scores("vote", f, WEIGHTS, None) == pytest.approx(expected, rel=1e-4)


def few(**said: list[int]) -> Features:
    """Return five candidates a to e with these ranks; the factors like e best, then d, c, b, a."""
    ranks, values = np.zeros((5, M), np.uint8), np.full((5, M), FLOOR, np.float32)
    for source, its in said.items():
        ranks[:, NAMES.index(source)] = its
    values[:, FACTORS] = [-1.0, 0.5, 3.0, 9.0, 20.0]
    return Features(values, ranks, np.zeros((5, E), np.float32), 1, SILENCE)


def weights(**of: float) -> np.ndarray:
    return np.array([of.get(s, 0.0) for s in NAMES], np.float32)


def test_borda_counts_the_candidates_below() -> None:
    f = few(similarity=[1, 2, 3, 0, 0], popularity_short=[0, 1, 0, 2, 5])
    scores = blend.scores("borda", f, weights(similarity=2.0, popularity_short=1.0), None)
    # of 5: a has 4 below it twice; b 3 twice and 4; c 2 twice; d 3; e, the last, none
    assert scores == pytest.approx([8 / 5, 10 / 5, 4 / 5, 3 / 5, 0.0])
    many = np.zeros((600, M), np.uint8)
    many[:2, 0], many[599, 0] = (1, 255), 100
    long = Features(np.zeros((600, M), np.float32), many, np.zeros((600, E)), 0, SILENCE)
    found = blend.scores("borda", long, weights(popularity_short=3.0), None)
    assert found[[0, 1, 599]] == pytest.approx([3 * 599 / 600, 3 * 345 / 600, 3 * 500 / 600])
    assert not found[2:599].any()


def test_a_finer_source_reorders_what_each_stage_of_a_cascade_proposes() -> None:
    f = few(similarity=[1, 2, 3, 0, 0], popularity_short=[0, 1, 0, 2, 0], factors=[0, 0, 0, 2, 1])
    stages = weights(similarity=2.0, popularity_short=1.0)
    plain = blend.scores("cascade", f, stages, None)
    assert plain[:4] == pytest.approx([5.0, 4 + 1 / math.log2(3), 4.5, 2 + 1 / math.log2(3)])
    assert plain[4] == 0.0
    parts = blend.parts("cascade", f, stages, None, FACTORS)
    s, p, x = map(NAMES.index, ("similarity", "popularity_short", "factors"))
    # c, b, a of similarity, by what the factors say; then d of popularity; then e, of neither
    assert parts[:, s].tolist() == [4.0, 4.0, 4.0, 0.0, 0.0]
    assert parts[:, p].tolist() == [0.0, 0.0, 0.0, 2.0, 0.0]
    assert parts[:, x] == pytest.approx([0.5, 1 / math.log2(3), 1.0, 1.0, 1.0])
    assert not np.delete(parts, [s, p, x], axis=1).any()
    assert np.argsort(-parts.sum(axis=1)).tolist() == [2, 1, 0, 3, 4]


def test_what_the_finer_source_is_silent_about_keeps_the_order_of_its_stage() -> None:
    f = few(similarity=[3, 1, 2, 4, 5])
    f.values[3, COSINE] = -2.0  # of the rest it says nothing
    scores = blend.scores("cascade", f, weights(similarity=1.0), None, COSINE)
    assert np.argsort(-scores).tolist() == [3, 1, 2, 0, 4]
    itself = blend.parts("cascade", f, weights(similarity=1.0), None, NAMES.index("similarity"))
    assert np.argsort(-itself.sum(axis=1)).tolist() == [1, 2, 0, 3, 4]


def test_cascade_asks_the_source_of_most_weight_first() -> None:
    f = drawn()
    order: list[int] = []
    for m in sorted(range(M), key=lambda m: -WEIGHTS[m]):
        if WEIGHTS[m] > 0:
            listed = sorted(np.flatnonzero(f.ranks[:, m]), key=lambda j: f.ranks[j, m])
            order += [int(j) for j in listed if j not in order]
    scores = blend.scores("cascade", f, WEIGHTS, None)
    assert np.argsort(-scores, kind="stable")[: len(order)].tolist() == order
    rest = [j for j in range(len(scores)) if j not in order]
    assert (scores[rest] == 0).all()


def test_learned_scores_are_the_blends_own_unless_a_source_leads() -> None:
    f, mine = drawn(), learned()
    assert blend.scores("learned", f, WEIGHTS, mine) == pytest.approx(mine.scores(f), rel=1e-5)
    led = np.argsort(-blend.scores("learned", f, WEIGHTS, learned(leader=4)), kind="stable")
    listed = sorted(np.flatnonzero(f.ranks[:, 4]).tolist(), key=lambda j: f.ranks[j, 4])
    rest = sorted(set(range(9)) - set(listed), key=lambda j: -f.values[j, 4])
    assert led.tolist() == listed + rest
