"""Blends: from what the sources say of the candidates to one score each.

weighted: s_j = sum_m w_m f_m(j), a weighted product of shares. cascade: by the sources of weight,
the highest first: a source orders what it proposes, the next one what is left. vote: s_j = sum_m
w_m / (60 + rank) (reciprocal rank fusion, Cormack et al. 2009). learned: learners/learned_blend.py.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from streamrec.learners.blend_kernel import GAINS
from streamrec.learners.learned_blend import Features, LearnedBlend
from streamrec.learners.sources import SOURCES

Array = NDArray[Any]
M = len(SOURCES)
FUSION = 60.0


def scores(
    kind: str, features: Features, weights: NDArray[np.float32], learned: LearnedBlend | None
) -> NDArray[np.float64]:
    """Return float64[C] of one user's candidates; `weights` float32[M] are the fixed ones."""
    if kind == "learned" and learned is not None and learned.leader() < 0:
        return learned.scores(features).astype(np.float64)
    return source_parts(kind, features, weights, learned).sum(axis=1)  # type: ignore[no-any-return]


def parts(
    kind: str, features: Features, weights: NDArray[np.float32], learned: LearnedBlend | None
) -> NDArray[np.float64]:
    """Return float64[C, M + E + 1] that sum to the scores: of sources, extras and the network."""
    out = source_parts(kind, features, weights, learned)
    network: Array = np.zeros(len(out))
    if kind == "learned" and learned is not None and learned.leader() < 0:
        network = learned.network(features)
    return np.column_stack([out, network])


def source_parts(
    kind: str, features: Features, weights: NDArray[np.float32], learned: LearnedBlend | None
) -> NDArray[np.float64]:
    """Return float64[C, M + E]: the scores' parts of sources and extras."""
    out = np.zeros((len(features.values), M + features.extras.shape[1]))
    if kind == "learned" and learned is not None:
        leader = learned.leader()
        if leader < 0:
            out[:] = learned.linear_parts(features)
        else:  # its own order; what it does not propose comes after
            out[:, leader] = features.values[:, leader] + 1e3 * GAINS[features.ranks[:, leader]]
    elif kind == "vote":
        listed = features.ranks > 0
        out[:, :M] = np.where(listed, weights / (FUSION + features.ranks), 0.0)
    elif kind == "cascade":
        _cascade(features, weights, out)
    else:
        out[:, :M] = features.values * weights
    return out


def _cascade(features: Features, weights: Array, out: Array) -> None:
    free = np.ones(len(out), np.bool_)
    order = [m for m in np.argsort(-weights, kind="stable") if weights[m] > 0]
    for step, m in enumerate(order):
        mine = free & (features.ranks[:, m] > 0)
        out[mine, m] = (len(order) - step) * 2.0 + GAINS[features.ranks[mine, m]]
        free &= ~mine
