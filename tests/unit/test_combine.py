"""From what sources say to one score: its parts, and the learned blend as it is served."""

import numpy as np
import pytest
from oracle import NAMES, SILENCE, WEIGHTS, M, learned

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


def test_learned_scores_are_the_blends_own_unless_a_source_leads() -> None:
    f, mine = drawn(), learned()
    assert blend.scores("learned", f, WEIGHTS, mine) == pytest.approx(mine.scores(f), rel=1e-5)
    led = np.argsort(-blend.scores("learned", f, WEIGHTS, learned(leader=4)), kind="stable")
    listed = sorted(np.flatnonzero(f.ranks[:, 4]).tolist(), key=lambda j: f.ranks[j, 4])
    rest = sorted(set(range(9)) - set(listed), key=lambda j: -f.values[j, 4])
    assert led.tolist() == listed + rest
