"""Blends: from what the sources say of the candidates to one score each.

weighted: s_j = sum_m w_m f_m(j), a weighted product of shares. cascade: by the sources of weight,
the highest first: what a source proposes in its own order, or in that of a finer source, then what
the next one proposes of the rest. vote: s_j = sum_m w_m / (60 + rank) (reciprocal rank fusion,
Cormack et al. 2009). borda: s_j = sum_m w_m (C - rank) / C over the sources that list j, of C
candidates (Borda 1781; Aslam and Montague 2001). learned: blend/learned.py.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from streamrec.blend.kernels import GAINS
from streamrec.blend.learned import Features, LearnedBlend

Array = NDArray[Any]
FUSION = 60.0


def scores(
    kind: str,
    features: Features,
    weights: NDArray[np.float32],
    learned: LearnedBlend | None,
    reorder: int = -1,
) -> NDArray[np.float64]:
    """Return float64[C] of one user's candidates; `weights` float32[M] are the fixed ones.

    features: filled; reorder: number of the cascade's finer source, -1 for none.
    """
    if kind == "learned" and learned is not None and learned.leader() < 0:
        return learned.scores(features).astype(np.float64)
    out: NDArray[np.float64] = source_parts(kind, features, weights, learned, reorder).sum(axis=1)
    return out


def parts(
    kind: str,
    features: Features,
    weights: NDArray[np.float32],
    learned: LearnedBlend | None,
    reorder: int = -1,
) -> NDArray[np.float64]:
    """Return float64[C, M + E + 1] that sum to the scores: of sources, extras and the network."""
    out = source_parts(kind, features, weights, learned, reorder)
    network: Array = np.zeros(len(out))
    if kind == "learned" and learned is not None and learned.leader() < 0:
        network = learned.network(features)
    return np.column_stack([out, network])


def source_parts(
    kind: str,
    features: Features,
    weights: NDArray[np.float32],
    learned: LearnedBlend | None,
    reorder: int = -1,
) -> NDArray[np.float64]:
    """Return float64[C, M + E]: the scores' parts of sources and extras."""
    m = features.values.shape[1]
    out = np.zeros((len(features.values), m + features.extras.shape[1]))
    if kind == "learned" and learned is not None:
        leader = learned.leader()
        if leader < 0:
            out[:] = learned.linear_parts(features)
        else:  # its own order; what it does not propose comes after
            out[:, leader] = features.values[:, leader] + 1e3 * GAINS[features.ranks[:, leader]]
    elif kind == "vote":
        listed = features.ranks > 0
        out[:, :m] = np.where(listed, weights / (FUSION + features.ranks), 0.0)
    elif kind == "borda":
        above = len(out) - features.ranks.astype(np.float64)
        out[:, :m] = np.where(features.ranks > 0, weights * above / max(1, len(out)), 0.0)
    elif kind == "cascade":
        _cascade(features, weights, out, reorder)
    else:
        out[:, :m] = features.values * weights
    return out


def _cascade(features: Features, weights: Array, out: Array, reorder: int) -> None:
    """Add each stage's part: 2, 4, ... of the source that proposes, and up to 1 of who orders.

    What only the finer source proposes comes last, in its order.
    """
    free = np.ones(len(out), np.bool_)
    order = [int(m) for m in np.argsort(-weights, kind="stable") if weights[m] > 0]
    for step, m in enumerate(order):
        mine = free & (features.ranks[:, m] > 0)
        out[mine, m] = (len(order) - step) * 2.0
        _order(features, np.flatnonzero(mine), m, reorder, out)
        free &= ~mine
    if reorder >= 0:
        _order(features, np.flatnonzero(free), reorder, reorder, out)


def _order(features: Features, rows: Array, m: int, reorder: int, out: Array) -> None:
    """Add what orders the rows of a stage: 1 / log2(1 + rank) by source m, or by a finer one."""
    ranks = features.ranks[rows, m]
    if reorder >= 0:  # by its value, ties by the rank of the source that proposes
        by_value = np.lexsort((ranks, -features.values[rows, reorder]))
        out[rows[by_value], reorder] += 1.0 / np.log2(2.0 + np.arange(len(rows)))
    else:
        out[rows, m] += GAINS[ranks]
