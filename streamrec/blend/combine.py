"""Blends: from what the sources say of the candidates to one score each.

`blend.kind` names one: the learned one, or a fixed one, a function (features, weights, finer) ->
parts. weights: float32[M], of the sources; finer: the source that orders the stages of a cascade,
-1 for their own; parts: float[C, M], which sum over the sources to the scores.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from streamrec.blend.borda import borda
from streamrec.blend.cascade import cascade
from streamrec.blend.kernels import GAINS
from streamrec.blend.learned import Features, LearnedBlend
from streamrec.blend.vote import vote
from streamrec.blend.weighted import weighted

Array = NDArray[Any]
Fixed = Callable[[Features, NDArray[np.float32], int], Array]
FIXED: dict[str, Fixed] = {
    "weighted": weighted, "cascade": cascade, "vote": vote, "borda": borda
}  # fmt: skip


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
    (count, sources), extras = features.values.shape, features.extras.shape[1]
    out = np.zeros((count, sources + extras))
    if kind != "learned" or learned is None:  # before its first click the learned one is weighted
        out[:, :sources] = FIXED.get(kind, weighted)(features, weights, reorder)
    elif (leader := learned.leader()) < 0:
        out[:] = learned.linear_parts(features)
    else:  # its own order; what it does not propose comes after
        out[:, leader] = features.values[:, leader] + 1e3 * GAINS[features.ranks[:, leader]]
    return out
