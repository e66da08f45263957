"""What `recommend` and `similar` of the library return."""

from collections.abc import Sequence
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray


class Listed(NamedTuple):
    """Item ids, best first, and their scores: str[n] and float64[n], as implicit returns them."""

    ids: NDArray[np.str_]
    scores: NDArray[np.float64]

    @classmethod
    def of(cls, ids: Sequence[str], scores: Sequence[float]) -> Self:
        """Return them as arrays."""
        return cls(np.array(ids, np.str_), np.array(scores, np.float64))
