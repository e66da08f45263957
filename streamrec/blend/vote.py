"""A fixed blend: reciprocal rank fusion (Cormack, Clarke and Büttcher, SIGIR 2009)."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from streamrec.blend.learned import Features

FUSION = 60.0


def vote(features: Features, weights: NDArray[np.float32], finer: int) -> NDArray[Any]:
    """Return a fixed blend's parts (combine.py): s_j = sum_m w_m / (60 + rank), where listed."""
    return np.where(features.ranks > 0, weights / (FUSION + features.ranks), 0.0)
