"""A fixed blend: a weighted product of shares."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from streamrec.blend.learned import Features


def weighted(features: Features, weights: NDArray[np.float32], finer: int) -> NDArray[Any]:
    """Return a fixed blend's parts (combine.py): s_j = sum_m w_m f_m(j)."""
    return features.values * weights
