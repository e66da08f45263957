"""The factor kernels against numpy, against finite differences, and against the joint softmax."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamrec.sources import factors
from streamrec.sources.factors import Vectors
from streamrec.sources.user_vector import user_vector
from streamrec.state import user_kernel
from streamrec.state.keys import start_vectors

K = 8
RATE = 0.1


class Example:
    """A small table, a user vector and drawn rows."""

    def __init__(self, seed: int, negatives: int = 5, items: int = 12) -> None:
        rng = np.random.default_rng(seed)
        self.targets = rng.normal(size=(items, K)).astype(np.float32)
        self.biases = rng.normal(size=items).astype(np.float32)
        self.contexts = rng.normal(size=(items, K)).astype(np.float32)
        self.rows = rng.permutation(items)[: 1 + negatives].astype(np.int32)
        self.log_q = np.log(rng.uniform(0.01, 1, 1 + negatives)).astype(np.float32)
        self.z = rng.normal(size=K).astype(np.float32)

    def loss(self, z: np.ndarray, targets: np.ndarray, biases: np.ndarray) -> float:
        """-log softmax of the first row, in double precision."""
        used = self.rows >= 0
        rows = self.rows[used]
        a = targets[rows].astype(float) @ z + biases[rows] - self.log_q[used]
        return float(np.log(np.exp(a - a.max()).sum()) + a.max() - a[0])

    def softmax(self) -> np.ndarray:
        used = self.rows >= 0
        rows = self.rows[used]
        a = self.targets[rows].astype(float) @ self.z + self.biases[rows] - self.log_q[used]
        p = np.zeros(len(self.rows))
        p[used] = np.exp(a - a.max()) / np.exp(a - a.max()).sum()
        return p

    def gradient(self, positive: bool = True) -> tuple[np.ndarray, np.ndarray]:
        rest, g = np.zeros(len(self.rows), np.float32), np.zeros(K, np.float32)
        table, drawn = (self.targets, self.biases), (self.rows, self.log_q)
        factors.gradient(table, drawn, positive, self.z, rest, g)
        return rest, g

    def vectors(self, before: float = 0.0) -> Vectors:
        """Return copies for an owner to step, whose sums of squares begin at `before`."""
        deltas, sums = np.zeros((len(self.targets), K), np.float32), np.full(12, before, np.float32)
        return Vectors(
            self.targets.copy(), deltas, self.biases.copy(), sums, sums.copy(), sums.copy()
        )

    def step(self, vectors: Vectors, n: int, rest: float, y: int) -> bool:
        """Step the n-th drawn row."""
        wanted = (self.log_q[n], np.float32(rest), np.uint8(y), np.float32(1.0))
        return bool(factors.step_target(vectors, self.rows[n], self.z, wanted, RATE))


@pytest.mark.parametrize("seed", range(5))
def test_g_is_the_slope_of_the_loss_in_z(seed: int) -> None:
    example = Example(seed)
    example.rows[3] = -1  # a draw that hit the target
    _, g = example.gradient()
    for k in range(K):
        step = np.zeros(K)
        step[k] = 1e-5
        z = example.z.astype(float)
        up = example.loss(z + step, example.targets, example.biases)
        down = example.loss(z - step, example.targets, example.biases)
        assert -g[k] == pytest.approx((up - down) / 2e-5, abs=1e-4)


@pytest.mark.parametrize("seed", range(5))
def test_a_dislike_pushes_away_from_every_row(seed: int) -> None:
    example = Example(seed)
    _, g = example.gradient(positive=False)
    expected = -(example.softmax()[:, None] * example.targets[example.rows]).sum(axis=0)
    assert g == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("seed", range(5))
def test_rest_is_the_log_sum_of_the_others(seed: int) -> None:
    example = Example(seed)
    rest, _ = example.gradient()
    a = example.targets[example.rows] @ example.z + example.biases[example.rows] - example.log_q
    for n in range(len(a)):
        assert rest[n] == pytest.approx(np.log(np.exp(np.delete(a, n)).sum()), abs=1e-4)


@pytest.mark.parametrize("seed", range(10))
def test_owners_with_a_fresh_copy_step_like_the_joint_softmax(seed: int) -> None:
    """D = 0: sigmoid(s - log q - R) of each owner alone is the softmax over all of them."""
    example = Example(seed)
    rest, _ = example.gradient()
    p = example.softmax()
    vectors = example.vectors(1.0)
    for n, row in enumerate(example.rows):
        d = float(n == 0) - p[n]
        stepped = example.step(vectors, n, rest[n], n == 0)
        assert stepped == (abs(d) >= factors.SKIP)
        if not stepped:
            continue
        square = float(example.z @ example.z) / K
        expected = RATE / np.sqrt(1 + d * d * square) * d * example.z
        moved = vectors.targets[row] - example.targets[row]
        assert moved == pytest.approx(expected, rel=1e-3, abs=1e-6)
        moved = vectors.biases[row] - example.biases[row]
        assert moved == pytest.approx(RATE / np.sqrt(1 + d * d) * d, rel=1e-3, abs=1e-6)
        assert vectors.target_sums[row] == pytest.approx(1 + d * d * square, rel=1e-5)
        assert vectors.bias_sums[row] == pytest.approx(1 + d * d, rel=1e-5)


@pytest.mark.parametrize("seed", range(5))
def test_the_target_step_goes_down_the_slope_of_the_loss(seed: int) -> None:
    """Finite differences in t_j give (y - p) z, which Adagrad only scales."""
    example = Example(seed)
    p = example.softmax()
    for n in (0, 1):
        row = example.rows[n]
        slope = np.zeros(K)
        for k in range(K):
            up, down = example.targets.astype(float), example.targets.astype(float)
            up[row, k] += 1e-5
            down[row, k] -= 1e-5
            z = example.z.astype(float)
            slope[k] = (
                example.loss(z, up, example.biases) - example.loss(z, down, example.biases)
            ) / 2e-5
        assert -slope == pytest.approx((float(n == 0) - p[n]) * example.z, abs=1e-4)


def test_a_sure_prediction_is_skipped() -> None:
    example = Example(1)
    example.log_q[0] = 0.0
    vectors = example.vectors()
    for y, rest in ((1, -100.0), (0, 100.0)):
        assert not example.step(vectors, 0, rest, y)
    assert (vectors.targets == example.targets).all()
    assert not vectors.target_sums.any() and not vectors.bias_sums.any()


@pytest.mark.parametrize("extreme", [1e4, -1e4])
def test_extreme_scores_stay_finite(extreme: float) -> None:
    example = Example(2)
    example.biases[example.rows[0]] = extreme
    rest, g = example.gradient()
    assert np.isfinite(rest).all() and np.isfinite(g).all()
    vectors = example.vectors()
    for n in range(len(example.rows)):
        example.step(vectors, n, rest[n], n == 0)
    assert np.isfinite(vectors.targets).all() and np.isfinite(vectors.biases).all()


def test_the_context_step_goes_to_both_parts_with_sums_of_their_own() -> None:
    example = Example(3)
    vectors = example.vectors()
    vectors.target_sums[:] = 4.0
    g, w = example.z, 0.25
    factors.step_context(vectors, 5, g, w, RATE)
    square = w * w * float(g @ g) / K
    assert vectors.targets[5] - example.targets[5] == pytest.approx(
        RATE * w * g / np.sqrt(4 + square), rel=1e-3, abs=1e-6
    )
    assert vectors.deltas[5] == pytest.approx(RATE * w * g / np.sqrt(square), rel=1e-3)
    assert vectors.target_sums[5] == pytest.approx(4 + square)
    assert vectors.delta_sums[5] == pytest.approx(square)
    assert (vectors.targets[:5] == example.targets[:5]).all() and not vectors.deltas[6:].any()


@given(
    st.lists(st.integers(0, 11), min_size=1, max_size=8),
    st.sampled_from([1.0, 0.7, 0.2]),
    st.sampled_from([1.0, 0.5, 0.0]),
)
def test_the_user_vector_is_the_weighted_sum_over_its_weight_to_a_power(
    history: list[int], decay: float, norm: float
) -> None:
    example = Example(4)
    z, weights = np.full(K, 9, np.float32), np.zeros(len(history), np.float32)
    user_vector((example.contexts, np.array(history)), (decay, norm), weights, z)
    expected = decay ** np.arange(len(history))
    expected /= expected.sum() ** norm
    assert weights == pytest.approx(expected, rel=1e-5)
    assert z == pytest.approx(expected @ example.contexts[history], rel=1e-4, abs=1e-5)


def draw(state: int, share: float, ring: list[int], items: int = 10, n: int = 4000):  # type: ignore[no-untyped-def]
    rows, log_q = np.zeros(1 + n, np.int32), np.zeros(1 + n, np.float32)
    counts = np.bincount(ring, minlength=items).astype(np.int32)
    held = np.array(ring + [0] * 5, np.int32)
    live = np.arange(items, dtype=np.int32)
    latest = held, len(ring), counts
    user_kernel.draw(3, live, latest, share, np.uint64(state), (rows, log_q))
    return rows, log_q, counts


@pytest.mark.parametrize("ring", [[], [1, 1, 1, 2], [3, 3, 3, 3, 5]])
def test_draws_follow_the_q_that_they_name(ring: list[int]) -> None:
    share = 0.25 if ring else 1.0
    rows, log_q, counts = draw(7, 0.25, ring)
    q = share / 10 + (1 - share) * counts / max(1, len(ring))
    assert q.sum() == pytest.approx(1.0)
    assert rows[0] == 3
    used = rows >= 0
    assert log_q[used] == pytest.approx(np.log(q[rows[used]]), abs=1e-5)
    assert not (rows[1:] == 3).any()  # what hits the target is dropped ...
    drawn = np.bincount(rows[1:][used[1:]], minlength=10) / 4000
    q[3] = 0.0
    assert drawn == pytest.approx(q, abs=0.03)  # ... and nothing else is


def test_draws_depend_on_the_state_alone() -> None:
    one, two, other = (draw(state, 0.25, [1, 2])[0] for state in (5, 5, 6))
    assert (one == two).all()
    assert (one != other).any()


def test_initial_vectors_depend_on_key_and_seed_alone() -> None:
    keys = np.array([10, 20, 30], np.uint64)
    one, two = np.zeros((3, K), np.float32), np.zeros((3, K), np.float32)
    start_vectors(one, keys, 0, 1, factors.INIT_SCALE)
    start_vectors(two, keys[::-1].copy(), 1, 1, factors.INIT_SCALE)
    assert not two[0].any()  # before `first`
    assert (two[1:] == one[::-1][1:]).all()
    assert len(np.unique(one)) == 3 * K
    assert np.abs(one).max() <= factors.INIT_SCALE / 2
    start_vectors(two, keys, 0, 2, factors.INIT_SCALE)
    assert (two != one).all()
    wide = np.zeros((300, 64), np.float32)
    start_vectors(wide, np.arange(300, dtype=np.uint64), 0, 1, factors.INIT_SCALE)
    assert abs(wide.mean()) < 1e-3
    assert wide.std() == pytest.approx(factors.INIT_SCALE / np.sqrt(12), rel=0.02)
