"""What the neural ranker adds to the scores of all candidates, of which it reads only the best."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from streamrec.neural.reading import Reading

Array = NDArray[Any]


def moved(blended: NDArray[np.float64], reading: Reading, moves: Array) -> NDArray[np.float64]:
    """Return float64[C]: what is added to all candidates' scores; moves: float32[k] of those read.

    The others stay below them, in the blend's order.
    """
    read = blended[reading.at] + moves
    out = np.full(len(blended), min(0.0, float(read.min() - blended[reading.at[-1]])))
    out[reading.at] = moves
    return out
