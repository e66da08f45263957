"""Every fixed blend under one suite of laws; then each against its own definition."""

import math
from typing import get_args, get_type_hints

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oracle import NAMES, SILENCE, WEIGHTS, M

from streamrec.blend.combine import FIXED, Blend, Fixed
from streamrec.blend.learned import E, Features
from streamrec.settings.sections import BlendSettings

blends = pytest.mark.parametrize("blend", FIXED.values(), ids=FIXED)
FINER = NAMES.index("cosine")


def drawn(count: int, sources: int, seed: int) -> tuple[Features, np.ndarray]:
    """Return candidates, of which a source lists some or none, and weights with zeros."""
    rng = np.random.default_rng(seed)
    ranks = np.zeros((count, sources), np.uint8)
    for m in range(sources):
        listed = rng.permutation(count)[: rng.integers(0, count + 1)]
        ranks[listed, m] = 1 + np.arange(len(listed))
    values = rng.normal(-5, 2, (count, sources)).astype(np.float32)
    weights = (rng.integers(0, 4, sources) * rng.random(sources)).astype(np.float32)
    return Features(
        values,
        ranks,
        rng.normal(size=(count, 2)).astype(np.float32),
        4,
        np.zeros(sources, np.float32),
    ), weights


drawings = st.builds(drawn, st.integers(0, 30), st.integers(1, 7), st.integers(0, 99))


def test_the_settings_name_every_blend() -> None:
    kinds = get_args(get_type_hints(BlendSettings)["kind"])
    assert set(kinds) == {"learned", *FIXED}


@blends
@given(drawings, st.data())
@settings(max_examples=60)
def test_any_number_of_sources_and_candidates(
    blend: Fixed, drawing: tuple[Features, np.ndarray], data: st.DataObject
) -> None:
    features, weights = drawing
    finer = data.draw(st.integers(-1, len(weights) - 1))
    before = [a.copy() for a in (*features[:3], weights)]
    parts = blend(features, weights, finer)
    assert parts.shape == features.values.shape and np.isfinite(parts).all()
    silent = (weights == 0) & (np.arange(len(weights)) != finer)
    assert not parts[:, silent].any(), "a source without weight says nothing, but for the finer one"
    for a, b in zip(before, (*features[:3], weights), strict=True):
        assert a.tobytes() == b.tobytes()


@blends
@given(drawings, st.integers(0, 99))
@settings(max_examples=60)
def test_the_order_of_the_candidates_does_not_matter(
    blend: Fixed, drawing: tuple[Features, np.ndarray], seed: int
) -> None:
    features, weights = drawing
    shuffle = np.random.default_rng(seed).permutation(len(features.values))
    values, ranks, extras, *rest = features
    mixed = Features(values[shuffle], ranks[shuffle], extras[shuffle], *rest)
    for finer in (-1, 0):  # values are distinct: the finer source has no ties
        parts = blend(features, weights, finer)
        assert (blend(mixed, weights, finer) == parts[shuffle]).all()


@blends
@given(drawings)
@settings(max_examples=60)
def test_twice_the_weights_make_the_same_order(
    blend: Fixed, drawing: tuple[Features, np.ndarray]
) -> None:
    features, weights = drawing
    once, twice = (blend(features, k * weights, -1).sum(axis=1) for k in (np.float32(1), 2))
    assert (np.argsort(once, kind="stable") == np.argsort(twice, kind="stable")).all()


@pytest.mark.parametrize("kind", FIXED)
def test_kind_selects_the_blend_and_extras_get_no_part(kind: str) -> None:
    f, weights = drawn(9, M, 3)
    own = FIXED[kind](f, weights, FINER)
    parts = Blend(kind, weights, FINER).source_parts(f, None)
    assert (parts[:, :M] == own).all() and not parts[:, M:].any()
    assert Blend(kind, weights, FINER).scores(f, None) == pytest.approx(own.sum(axis=1), rel=1e-5)


def test_weighted_is_a_product_of_powers_of_shares() -> None:
    f, _ = drawn(9, M, 3)
    expected = [sum(w * v for w, v in zip(WEIGHTS, row, strict=True)) for row in f.values]
    for kind in ("weighted", "learned"):  # also before anything was learnt
        assert Blend(kind, WEIGHTS).scores(f, None) == pytest.approx(expected, rel=1e-5)


def test_vote_is_reciprocal_rank_fusion() -> None:
    f, _ = drawn(9, M, 3)
    expected = []
    for row in f.ranks:
        expected.append(sum(WEIGHTS[m] / (60 + int(r)) for m, r in enumerate(row) if r > 0))
    assert Blend("vote", WEIGHTS).scores(f, None) == pytest.approx(expected, rel=1e-4)


def few(**said: list[int]) -> Features:
    """Return five candidates a to e with these ranks; the factors like e best, then d, c, b, a."""
    shape = (5, M)
    ranks, values = np.zeros(shape, np.uint8), np.full(shape, math.log(1e-6), np.float32)
    for source, its in said.items():
        ranks[:, NAMES.index(source)] = its
    values[:, NAMES.index("factors")] = [-1.0, 0.5, 3.0, 9.0, 20.0]
    return Features(values, ranks, np.zeros((5, E), np.float32), 1, SILENCE)


def weights(**of: float) -> np.ndarray:
    return np.array([of.get(s, 0.0) for s in NAMES], np.float32)


def test_borda_counts_the_candidates_below() -> None:
    f = few(similarity=[1, 2, 3, 0, 0], popularity_short=[0, 1, 0, 2, 5])
    found = Blend("borda", weights(similarity=2.0, popularity_short=1.0)).scores(f, None)
    # of 5: a has 4 below it twice; b 3 twice and 4; c 2 twice; d 3; e, the last, none
    assert found == pytest.approx([8 / 5, 10 / 5, 4 / 5, 3 / 5, 0.0])
    many = np.zeros((600, M), np.uint8)
    many[:2, 0], many[599, 0] = (1, 255), 100
    long = Features(np.zeros((600, M), np.float32), many, np.zeros((600, E)), 0, SILENCE)
    found = Blend("borda", weights(popularity_short=3.0)).scores(long, None)
    assert found[[0, 1, 599]] == pytest.approx([3 * 599 / 600, 3 * 345 / 600, 3 * 500 / 600])
    assert not found[2:599].any()


def test_a_finer_source_reorders_what_each_stage_of_a_cascade_proposes() -> None:
    f = few(similarity=[1, 2, 3, 0, 0], popularity_short=[0, 1, 0, 2, 0], factors=[0, 0, 0, 2, 1])
    stages = weights(similarity=2.0, popularity_short=1.0)
    plain = Blend("cascade", stages).scores(f, None)
    assert plain[:4] == pytest.approx([5.0, 4 + 1 / math.log2(3), 4.5, 2 + 1 / math.log2(3)])
    assert plain[4] == 0.0
    parts = Blend("cascade", stages, NAMES.index("factors")).source_parts(f, None)
    s, p, x = (NAMES.index(name) for name in ("similarity", "popularity_short", "factors"))
    # c, b, a of similarity, by what the factors say; then d of popularity; then e, of neither
    assert parts[:, s].tolist() == [4.0, 4.0, 4.0, 0.0, 0.0]
    assert parts[:, p].tolist() == [0.0, 0.0, 0.0, 2.0, 0.0]
    assert parts[:, x] == pytest.approx([0.5, 1 / math.log2(3), 1.0, 1.0, 1.0])
    assert not np.delete(parts, [s, p, x], axis=1).any()
    assert np.argsort(-parts.sum(axis=1)).tolist() == [2, 1, 0, 3, 4]


def test_what_the_finer_source_is_silent_about_keeps_the_order_of_its_stage() -> None:
    f = few(similarity=[3, 1, 2, 4, 5])
    f.values[3, FINER] = -2.0  # of the rest it says nothing
    found = Blend("cascade", weights(similarity=1.0), FINER).scores(f, None)
    assert np.argsort(-found).tolist() == [3, 1, 2, 0, 4]
    itself = Blend("cascade", weights(similarity=1.0), NAMES.index("similarity")).source_parts(
        f, None
    )
    assert np.argsort(-itself.sum(axis=1)).tolist() == [1, 2, 0, 3, 4]


def test_cascade_asks_the_source_of_most_weight_first() -> None:
    f, _ = drawn(9, M, 3)
    order: list[int] = []
    for m in sorted(range(M), key=lambda m: -WEIGHTS[m]):
        if WEIGHTS[m] > 0:
            listed = sorted(np.flatnonzero(f.ranks[:, m]), key=lambda j: f.ranks[j, m])
            order += [int(j) for j in listed if j not in order]
    found = Blend("cascade", WEIGHTS).scores(f, None)
    assert np.argsort(-found, kind="stable")[: len(order)].tolist() == order
    rest = [j for j in range(len(found)) if j not in order]
    assert (found[rest] == 0).all()
