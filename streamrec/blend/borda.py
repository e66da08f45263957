"""A fixed blend: Borda's count (Borda 1781; Aslam and Montague, SIGIR 2001)."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from streamrec.blend.learned import Features


def borda(features: Features, weights: NDArray[np.float32], finer: int) -> NDArray[Any]:
    """Return a fixed blend's parts (combine.py): s_j = sum_m w_m (C - rank) / C, where listed."""
    count = len(features.ranks)
    below = count - features.ranks.astype(np.float64)
    return np.where(features.ranks > 0, weights * below / max(1, count), 0.0)
