"""A fixed blend: what one source proposes, then what the next one does of the rest, and so on."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from streamrec.blend.kernels import GAINS
from streamrec.blend.learned import Features


def cascade(features: Features, weights: NDArray[np.float32], finer: int) -> NDArray[Any]:
    """Return a fixed blend's parts (combine.py): 2, 4, ... of who proposes, up to 1 of who orders.

    The source of the highest weight is asked first. It orders what it proposes by its own rank, or
    the finer source does; what only the finer one proposes comes last.
    """
    out = np.zeros(features.values.shape)
    free = np.ones(len(out), np.bool_)
    stages = [int(m) for m in np.argsort(-weights, kind="stable") if weights[m] > 0]
    for step, m in enumerate(stages):
        mine = free & (features.ranks[:, m] > 0)
        out[mine, m] = (len(stages) - step) * 2.0
        _order(features, np.flatnonzero(mine), m, finer, out)
        free &= ~mine
    if finer >= 0:
        _order(features, np.flatnonzero(free), finer, finer, out)
    return out


def _order(features: Features, rows: NDArray[Any], m: int, finer: int, out: NDArray[Any]) -> None:
    """Add what orders the rows of a stage: 1 / log2(1 + rank) by source m, or by a finer one."""
    ranks = features.ranks[rows, m]
    if finer >= 0:  # by its value, ties by the rank of the source that proposes
        by_value = np.lexsort((ranks, -features.values[rows, finer]))
        out[rows[by_value], finer] += 1.0 / np.log2(2.0 + np.arange(len(rows)))
    else:
        out[rows, m] += GAINS[ranks]
