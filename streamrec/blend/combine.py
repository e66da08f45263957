"""Blends: from what the sources say of the candidates to one score each.

`blend.kind` names one: the learned one, or a fixed one, a function (features, weights, finer) ->
parts. weights: float32[M], of the sources; finer: the source that orders the stages of a cascade,
-1 for their own; parts: float[C, M], which sum over the sources to the scores.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from streamrec.blend.borda import borda
from streamrec.blend.cascade import cascade
from streamrec.blend.kernels import GAINS
from streamrec.blend.learned import Features, LearnedBlend
from streamrec.blend.vote import vote
from streamrec.blend.weighted import weighted

Array = NDArray[Any]
STEP = 1e-4
"""Least difference between two places of a leader's order: what lists are told to."""
Fixed = Callable[[Features, NDArray[np.float32], int], Array]
FIXED: dict[str, Fixed] = {
    "weighted": weighted, "cascade": cascade, "vote": vote, "borda": borda
}  # fmt: skip


class Blend(NamedTuple):
    """The blend of one kind; features are filled; `learned` is asked only where the kind is."""

    kind: str
    weights: NDArray[np.float32]  # [M], of the sources: the fixed ones
    reorder: int = -1  # number of the cascade's finer source, -1 for none

    def scores(self, features: Features, learned: LearnedBlend | None) -> NDArray[np.float64]:
        """Return float64[C] of one user's candidates."""
        if self.kind == "learned" and learned is not None and learned.leader() < 0:
            return learned.scores(features).astype(np.float64)
        out: NDArray[np.float64] = self.source_parts(features, learned).sum(axis=1)
        return out

    def parts(self, features: Features, learned: LearnedBlend | None) -> NDArray[np.float64]:
        """Return float64[C, M + E + 1] that sum to the scores: of sources, extras, the network."""
        out = self.source_parts(features, learned)
        network: Array = np.zeros(len(out))
        if self.kind == "learned" and learned is not None and learned.leader() < 0:
            network = learned.network(features)
        return np.column_stack([out, network])

    def source_parts(self, features: Features, learned: LearnedBlend | None) -> NDArray[np.float64]:
        """Return float64[C, M + E]: the scores' parts of sources and extras."""
        (count, sources), extras = features.values.shape, features.extras.shape[1]
        out = np.zeros((count, sources + extras))
        if self.kind != "learned" or learned is None:  # before a click the learned one is weighted
            fixed = FIXED.get(self.kind, weighted)
            out[:, :sources] = fixed(features, self.weights, self.reorder)
        elif (leader := learned.leader()) < 0:
            out[:] = learned.linear_parts(features)
        else:
            out[:, leader] = led(features.values[:, leader], features.ranks[:, leader])
        return out


def led(values: Array, ranks: Array) -> NDArray[np.float64]:
    """Return float64[C]: a leader's values, lowered to fall in its own order.

    First what it lists, by rank; of equal ranks, and of what it does not list, by value.
    """
    if not len(values):
        return np.zeros(0)
    keys = values + 1e3 * GAINS[ranks]
    order = np.argsort(-keys, kind="stable")
    falls = np.append(False, np.diff(keys[order]) < 0.0)
    steps = STEP * np.arange(1 + np.count_nonzero(falls))
    starts = np.flatnonzero(np.append(True, falls[1:]))
    each = np.minimum.reduceat(values[order].astype(np.float64), starts)
    out = np.empty(len(values))
    out[order] = (np.minimum.accumulate(each + steps) - steps)[np.cumsum(falls)]
    return out
