"""The learned blend: its gradient, what it learns, when it steps aside, and its bytes."""

import tracemalloc
import zlib
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oracle import FLOOR, SILENCE, M

from streamrec.blend.combine import Blend
from streamrec.blend.kernels import LEAK, LISTED
from streamrec.blend.learned import (
    BUCKETS,
    BlendRules,
    E,
    Features,
    LearnedBlend,
    bucket_of,
    with_click,
)
from streamrec.blend.quantised import LEVELS

LINEAR = M + E
NOT_PINNED = (False,) * M


def rules(**changed: object) -> BlendRules:
    start = tuple(np.linspace(0.1, 1.0, M).tolist())
    return BlendRules(start, NOT_PINNED, tuple(SILENCE.tolist()), hidden=4)._replace(**changed)


READER = LearnedBlend(rules())


def drawn(rng: np.random.Generator, count: int = 12, history: int = 7) -> Features:
    """Return candidates with random values; each is in the lists of some of the sources."""
    ranks = np.zeros((count, M), np.uint8)
    for m in range(M):
        listed = rng.permutation(count)[: count // 2]
        ranks[listed, m] = 1 + np.arange(len(listed))
    values = rng.normal(-4.0, 2.0, (count, M)).astype(np.float32)
    extras = rng.normal(size=(count, E)).astype(np.float32)
    return Features(values, ranks, extras, history, SILENCE)


def trained(seed: int = 0, steps: int = 30, **changed: object) -> LearnedBlend:
    """Return a blend after some random clicks: no part of it is at its start any more."""
    rng, blend = np.random.default_rng(seed), LearnedBlend(rules(**changed))
    for _ in range(steps):
        blend.learn(drawn(rng, history=int(rng.integers(0, 30))), int(rng.integers(12)), 1.0)
    return blend


class Doubles:
    """The formulas of the docstring in double precision, with all parameters in one vector."""

    def __init__(self, blend: LearnedBlend, features: Features) -> None:
        self.hidden, self.bucket = blend.rules.hidden, 1 + bucket_of(features.history)
        self.raw = np.concatenate([features.values, features.extras], axis=1).astype(float)
        deviation = np.sqrt(np.maximum(blend.square - blend.mean.astype(float) ** 2, 1e-4))
        standard = np.clip((self.raw - blend.mean) / deviation, -4, 4)
        length = np.full((len(self.raw), 1), 0.3 * np.log(1 + features.history))
        ranks = features.ranks.astype(float)
        gains = np.where(ranks > 0, 1.0 / np.log2(1.0 + np.maximum(ranks, 1.0)), 0.0)
        self.x = np.concatenate([standard, gains, length], axis=1)
        parts = [blend.linear, blend.inward, blend.shift, blend.outward]
        self.start = np.concatenate([p.astype(float).ravel() for p in parts])
        self.shapes = [p.shape for p in parts]

    def split(self, vector: np.ndarray) -> list[np.ndarray]:
        sizes = np.cumsum([int(np.prod(shape)) for shape in self.shapes])[:-1]
        pieces = np.split(vector, sizes)
        return [p.reshape(s) for p, s in zip(pieces, self.shapes, strict=True)]

    def scores(self, vector: np.ndarray) -> np.ndarray:
        linear, inward, shift, outward = self.split(vector)
        hidden = self.x @ inward.T + shift
        hidden = np.where(hidden > 0, hidden, LEAK * hidden)
        return self.raw @ (linear[0] + linear[self.bucket]) + hidden @ outward

    def loss(self, vector: np.ndarray, clicked: int) -> float:
        s = self.scores(vector)
        return float(np.log(np.exp(s - s.max()).sum()) + s.max() - s[clicked])

    def slope(self, clicked: int, weight: float) -> list[np.ndarray]:
        """Return the finite differences of the weighted loss, shaped like the parameters."""
        found = np.zeros(len(self.start))
        for n in range(len(found)):
            up, down = self.start.copy(), self.start.copy()
            up[n] += 1e-5
            down[n] -= 1e-5
            found[n] = weight * (self.loss(up, clicked) - self.loss(down, clicked)) / 2e-5
        return self.split(found)


@pytest.mark.parametrize("seed", range(3))
def test_scores_are_those_of_the_docstring(seed: int) -> None:
    blend, features = trained(seed), drawn(np.random.default_rng(99 + seed))
    exact = Doubles(blend, features)
    assert blend.scores(features) == pytest.approx(exact.scores(exact.start), rel=1e-4, abs=1e-4)


@pytest.mark.parametrize(("seed", "weight"), [(0, 1.0), (1, 0.5), (2, 3.0)])
def test_the_steps_go_down_the_slope_of_the_loss(seed: int, weight: float) -> None:
    """The Adagrad sums grow by the squared slope, the step is against it; the network's alike."""
    blend, features, clicked = trained(seed), drawn(np.random.default_rng(50 + seed)), 5
    linear, inward, shift, outward = Doubles(blend, features).slope(clicked, weight)
    before = [a.copy() for a in (blend.linear, blend.linear_sums, blend.squares)]
    network = [a.copy() for a in (blend.inward, blend.shift, blend.outward)]
    seen = float(blend.seen[0])
    blend.learn(features, clicked, weight)
    own = [0, 1 + bucket_of(features.history)]
    gained = np.sqrt(np.maximum(blend.linear_sums - before[1], 0))
    assert gained[own] == pytest.approx(np.abs(linear[own]), rel=0.02, abs=2e-3)
    step = blend.rules.rate * linear[own] / np.sqrt(blend.linear_sums[own] + 1e-6)
    assert before[0][own] - blend.linear[own] == pytest.approx(step, rel=0.02, abs=1e-4)
    others = [row for row in range(len(blend.linear)) if row not in own]
    assert (blend.linear[others] == before[0][others]).all()
    slope = np.concatenate([inward.ravel(), shift, outward])
    kept = blend.rules.decay
    assert blend.squares == pytest.approx(kept * before[2] + (1 - kept) * slope**2, rel=0.05)
    unbiased = blend.squares / (1 - kept ** (seen + 1))
    step = blend.rules.network_rate * slope / np.sqrt(unbiased + 1e-8)
    moved = np.concatenate(
        [
            (old - new).ravel()
            for old, new in zip(network, (blend.inward, blend.shift, blend.outward), strict=True)
        ]
    )
    assert moved == pytest.approx(step, rel=0.05, abs=2e-5)


def taste(rng: np.random.Generator, features: Features, prefer: np.ndarray) -> int:
    """Draw a click by a softmax over a preference that no start weight knows."""
    s = np.concatenate([features.values, features.extras], axis=1) @ prefer
    p = np.exp(s - s.max())
    return int(rng.choice(len(p), p=p / p.sum()))


def mean_loss(score: Callable[[Features], np.ndarray], lists: list[tuple[Features, int]]) -> float:
    total = 0.0
    for features, clicked in lists:
        s = score(features).astype(float)
        total += float(np.log(np.exp(s - s.max()).sum()) + s.max() - s[clicked])
    return total / len(lists)


@pytest.mark.parametrize("network_rate", [0.002, 0.0])
def test_a_planted_preference_is_learnt(network_rate: float) -> None:
    rng = np.random.default_rng(4)
    prefer = np.zeros(LINEAR)
    prefer[[3, 6, M + 1]] = 1.0, 0.5, 2.0
    lists = [drawn(rng, history=int(rng.integers(0, 30))) for _ in range(1500)]
    clicked = [taste(rng, features, prefer) for features in lists]
    blend = LearnedBlend(rules(network_rate=network_rate))
    held_out = list(zip(lists, clicked, strict=True))[1200:]
    before = mean_loss(blend.scores, held_out)
    for features, click in list(zip(lists, clicked, strict=True))[:1200]:
        blend.learn(features, click, 1.0)
    after = mean_loss(blend.scores, held_out)
    best = mean_loss(lambda f: np.concatenate([f.values, f.extras], axis=1) @ prefer, held_out)
    assert after < before - 0.5 * (before - best)
    if network_rate == 0.0:
        assert not blend.outward.any()


def test_the_weight_of_a_click_counts_and_weight_0_moves_no_weight() -> None:
    features = drawn(np.random.default_rng(1))
    moved = []
    for weight in (0.0, 0.5, 2.0):
        blend = LearnedBlend(rules())
        blend.learn(features, 3, weight)
        moved.append(float(blend.linear_sums.sum()))
    assert moved[0] == 0.0
    assert moved[2] == pytest.approx(16 * moved[1], rel=1e-3)


def one_source_knows(rng: np.random.Generator, knows: int) -> tuple[Features, int]:
    """Return a list whose clicked item stands first or second with one source, anywhere else."""
    features = drawn(rng, 30)
    rank = 1 + int(rng.random() < 0.3)
    return features, int(np.flatnonzero(features.ranks[:, knows] == rank)[0])


def served_rank(blend: LearnedBlend, features: Features, clicked: int) -> float:
    """Return the reciprocal rank, 0 beyond the list, in what the scorer serves."""
    scores = Blend("learned", np.zeros(M, np.float32)).scores(features, blend)
    place = int((scores > scores[clicked]).sum())
    return 1.0 / (1 + place) if place < LISTED else 0.0


def source_rank(features: Features, clicked: int, m: int) -> float:
    rank = int(features.ranks[clicked, m])
    return 1.0 / rank if rank > 0 else 0.0


def test_the_list_is_no_worse_than_the_best_source_when_sources_change_places() -> None:
    """The linear part cannot say `rank`, and is pinned: only following a source can win."""
    rng, half = np.random.default_rng(8), 1200
    start = (0.0,) * (M - 1) + (1.0,)  # by the values of one that knows nothing
    blend = LearnedBlend(rules(start=start, pinned=(True,) * M, rate=1e-9, network_rate=0.0))
    served, alone = np.zeros(2), np.zeros((2, M))
    leaders = []
    for n in range(2 * half):
        turn = n // half
        features, clicked = one_source_knows(rng, (2, 5)[turn])
        served[turn] += served_rank(blend, features, clicked)
        alone[turn] += [source_rank(features, clicked, m) for m in range(M)]
        blend.learn(features, clicked, 1.0)
        leaders.append(blend.leader())
    assert leaders[half - 1] == 2 and leaders[-1] == 5
    assert served.sum() / (2 * half) >= alone.sum(axis=0).max() / (2 * half) - 0.02
    for turn in (0, 1):  # and in each half it finds the one that knows, after a while
        assert served[turn] / half > 0.5 * alone[turn].max() / half


def places_change(rng: np.random.Generator, good: int, steady: int | None) -> tuple[Features, int]:
    """Return a list and its click: first or second with one source, first to third with another.

    With the others it stands anywhere. Values fall with the rank, as those of real sources do.
    """
    features, clicked = drawn(rng, 30), int(rng.integers(30))
    ranks = features.ranks
    known = [(good, 1 + int(rng.random() < 0.3))]
    if steady is not None:
        known.append((steady, int(rng.integers(1, 4))))
    for m, rank in known:
        ranks[ranks[:, m] == rank, m], ranks[clicked, m] = ranks[clicked, m], rank
    values = np.where(ranks > 0, -1.0 - 0.3 * ranks + rng.normal(0, 0.1, ranks.shape), FLOOR)
    return features._replace(values=values.astype(np.float32)), clicked


@pytest.mark.parametrize("steady", [None, 7])
@pytest.mark.parametrize("seed", range(3))
def test_with_learning_on_it_is_safe_from_the_first_click(seed: int, steady: int | None) -> None:
    """Two sources change places half way, others are noise; a third is fair all the time, or not.

    Default settings. Without grace in the first half: the leader sees to that. After the change
    the blend has 200 clicks to learn it. The margin is that of BlendRules.
    """
    rng, half, grace = np.random.default_rng(seed), 1200, 200
    start = tuple(np.linspace(0.1, 1.0, M).tolist())
    blend = LearnedBlend(BlendRules(start, NOT_PINNED, tuple(SILENCE.tolist())))
    served, alone = np.zeros(2 * half), np.zeros((2 * half, M))
    for n in range(2 * half):
        features, clicked = places_change(rng, (2, 5)[n // half], steady)
        served[n] = served_rank(blend, features, clicked)
        alone[n] = [source_rank(features, clicked, m) for m in range(M)]
        blend.learn(features, clicked, 1.0)
    for part in (slice(0, half), slice(half + grace, None)):
        assert served[part].mean() >= alone[part].mean(axis=0).max() - 0.02
    assert served.mean() >= alone.mean(axis=0).max()


def test_a_good_blend_leads_itself() -> None:
    rng, blend = np.random.default_rng(9), LearnedBlend(rules(network_rate=0.0))
    prefer = np.zeros(LINEAR)
    prefer[[1, 2, 4]] = 2.0
    for _ in range(800):
        features = drawn(rng)
        blend.learn(features, taste(rng, features, prefer), 1.0)
    assert blend.leader() == -1
    assert LearnedBlend(rules()).leader() == -1  # nothing known yet


def test_a_blend_that_cannot_tell_candidates_apart_is_not_taken_for_a_good_one() -> None:
    rng, blend = np.random.default_rng(3), LearnedBlend(rules(start=(0.0,) * M))
    for _ in range(300):
        blend.learn(*one_source_knows(rng, 4), 0.0)
    assert blend.leader() == 4


def test_pinned_weights_do_not_move() -> None:
    pinned = tuple(m in (0, 4) for m in range(M))
    blend = trained(pinned=pinned)
    weights = blend.linear[:, :M]
    assert weights[0, list(pinned)].tolist() == np.float32(rules().start)[list(pinned)].tolist()
    assert not weights[1:, list(pinned)].any()
    assert (weights[0] != np.float32(rules().start))[~np.array(pinned)].all()


def test_weights_are_those_of_all_and_of_the_bucket() -> None:
    assert [bucket_of(n) for n in (0, 1, 2, 4, 5, 19, 20, 900)] == [0, 1, 2, 2, 3, 3, 4, 4]
    blend = trained()
    for history in (0, *BUCKETS):
        own = blend.linear[0] + blend.linear[1 + bucket_of(history)]
        assert blend.weights(history).tolist() == own.tolist()


@settings(max_examples=30)
@given(st.integers(0, 99), st.integers(1, 40), st.integers(0, 60))
def test_parts_add_up_to_the_scores(seed: int, count: int, history: int) -> None:
    blend, features = trained(1), drawn(np.random.default_rng(seed), count, history)
    linear, network = blend.linear_parts(features), blend.network(features)
    assert linear.shape == (count, LINEAR)
    assert linear.sum(axis=1) + network == pytest.approx(blend.scores(features), rel=1e-4, abs=1e-4)


def test_reading_writes_nothing() -> None:
    blend, features = trained(), drawn(np.random.default_rng(1))
    before = blend.to_bytes()
    for _ in range(2):
        for read in (blend.scores, blend.linear_parts, blend.network):
            read(features)
        assert blend.leader() == blend.leader()
    assert blend.to_bytes() == before


def test_the_bytes_come_back_and_go_on_alike() -> None:
    blend = trained()
    again = LearnedBlend.from_bytes(blend.to_bytes(), blend.rules)
    assert again is not None and again.to_bytes() == blend.to_bytes()
    features = drawn(np.random.default_rng(5))
    for one in (blend, again):
        one.learn(features, 2, 1.0)
    assert again.to_bytes() == blend.to_bytes()
    assert LearnedBlend(rules()).to_bytes() == LearnedBlend(rules()).to_bytes()


def test_bytes_of_another_shape_are_learnt_anew() -> None:
    blob = trained().to_bytes()
    assert LearnedBlend.from_bytes(blob, rules(hidden=5)) is None
    assert LearnedBlend.from_bytes(bytes((9,)) + blob[1:], rules()) is None
    for cut in (0, 1, 7, 8, len(blob) - 1):
        assert LearnedBlend.from_bytes(blob[:cut], rules()) is None
    assert LearnedBlend.from_bytes(blob + b"\0", rules()) is None


@given(st.integers(0, 99), st.integers(1, 40), st.integers(0, 900), st.floats(0.1, 9), st.data())
def test_a_sample_comes_back(
    seed: int, count: int, history: int, weight: float, data: st.DataObject
) -> None:
    features = drawn(np.random.default_rng(seed), count, history)
    clicked = data.draw(st.integers(0, count - 1))
    silent = features.ranks == 5  # NaN travels, and is filled at the other end
    features.values[silent] = np.nan
    read = READER.read_sample(with_click(features.sample(), clicked, weight))
    assert read is not None
    here = features.click(clicked, weight)  # in one process there are no bytes, but the same loss
    assert here is not None and here[1:] == read[1:]
    for mine, theirs in zip(here.features, read.features, strict=True):
        assert np.array_equal(mine, theirs)
    back, again, told = read
    assert (again, back.history, told) == (clicked, history, pytest.approx(weight, rel=1e-6))
    assert (back.values[silent] == np.broadcast_to(SILENCE, silent.shape)[silent]).all()
    assert (back.ranks == features.ranks).all()
    for mine, theirs in ((features.values, back.values), (features.extras, back.extras)):
        for k in range(mine.shape[1]):
            here = ~np.isnan(mine[:, k])
            sent, came = mine[here, k], theirs[here, k]
            # half a step, and the ends are half floats: ten bits
            near = (
                float(np.ptp(sent) / 2 / LEVELS + 2**-10 * np.abs(sent).max()) if len(sent) else 0.0
            )
            assert came == pytest.approx(sent, rel=0.0, abs=near + 2**-23)


def test_equal_numbers_and_the_ends_of_a_column_come_back_exactly() -> None:
    """What a source says least is often said of many; facts of a candidate are mostly 0 or 1."""
    values = np.full((300, M), -13.8125, np.float32)
    values[7:, 1] = 0.5
    extras = (np.arange(300)[:, None] % (np.arange(E) + 2) == 0).astype(np.float32)
    ranks = np.zeros((300, M), np.uint8)
    ranks[:, 2] = np.minimum(255, 1 + np.random.default_rng(1).permutation(300))
    features = Features(values, ranks, extras, 3, SILENCE)
    sample = features.sample()
    read = READER.read_sample(with_click(sample, 299, 1.0))
    assert read is not None and len(sample) < 300 * (M + E) / 2
    assert (read[0].ranks == ranks).all()
    assert (read[0].values == values).all() and (read[0].extras == extras).all()


def test_damaged_samples_are_refused() -> None:
    whole = with_click(drawn(np.random.default_rng(1)).sample(), 3, 1.0)
    assert READER.read_sample(whole) is not None
    assert [n for n in range(len(whole)) if READER.read_sample(whole[:n]) is not None] == []
    assert READER.read_sample(whole + b"\0\0") is None
    for at in (0, 4, 6):  # the version, and the numbers of sources and of extras
        assert READER.read_sample(whole[:at] + bytes((whole[at] + 1,)) + whole[at + 1 :]) is None
    assert READER.read_sample(whole[:8] + (12).to_bytes(2, "little") + whole[10:]) is None
    for broken in (np.nan, np.inf, -np.inf):  # one of these would spoil the blend for good
        assert READER.read_sample(with_click(whole, 3, broken)) is None
        for column in ("extras", "values")[: 1 + np.isinf(broken)]:  # in values NaN has a meaning
            features = drawn(np.random.default_rng(1))
            getattr(features, column)[2, 1] = broken
            assert READER.read_sample(with_click(features.sample(), 3, 1.0)) is None
            assert features.click(3, 1.0) is None


def test_a_sample_that_would_be_huge_is_not_decompressed() -> None:
    whole = with_click(drawn(np.random.default_rng(1)).sample(), 3, 1.0)
    bomb = whole[:16] + bytes(2 * M) + zlib.compress(bytes(10**8))  # no lists, then zeros
    tracemalloc.start()
    assert READER.read_sample(bomb) is None
    assert tracemalloc.get_traced_memory()[1] < 10**6
    tracemalloc.stop()


@settings(max_examples=200)
@given(st.data())
def test_a_changed_byte_gives_a_sample_that_can_be_learnt_or_none(data: st.DataObject) -> None:
    whole = bytearray(with_click(drawn(np.random.default_rng(1), 5).sample(), 3, 1.0))
    whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    read = READER.read_sample(bytes(whole))
    if read is not None:
        blend = LearnedBlend(rules())
        blend.learn(*read)
        assert np.isfinite(np.frombuffer(blend.to_bytes()[8:-88], np.float32)).all()


def test_what_is_stored_is_small() -> None:
    """The row is written with every commit that learnt a click."""
    blend = LearnedBlend(rules(hidden=32))
    assert len(blend.to_bytes()) < 20_000
    assert blend.inward.shape == (32, 2 * M + E + 1)
