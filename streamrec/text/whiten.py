"""Shorter vectors: the main directions of those known, whitened or not."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from streamrec.text.words import Array, unit

SIZE = 64
"""Numbers of a vector, unless asked otherwise."""
SHRINK = 64
"""The mean is that of the vectors and so many zeros: of few there is no mean to speak of."""
HALF = 0.3
"""Share of the mean deviation that is added to each: weak directions are not blown up."""
MOST_ROWS = 20_000
"""Vectors whose directions are taken at most, evenly from all."""


class Whitening(NamedTuple):
    """A map from stored vectors to short ones of unit length.

    x -> (x - mean) W, W = principal directions v_k / (s_k + 0.3 mean s), s_k their deviations
    (Huang et al. 2021; WhitenRec 2024); `plain` leaves the lengths as they are.
    """

    mean: NDArray[np.float32]  # [d]
    matrix: NDArray[np.float32]  # [d, size]

    @classmethod
    def of(cls, vectors: Array, size: int = SIZE, *, plain: bool = False) -> "Whitening":
        """Return the map by the statistics of the given vectors [n, d], zero rows left out."""
        known = vectors[vectors.any(axis=1)]
        known = unit(known[:: max(1, -(-len(known) // MOST_ROWS))])
        n, d = known.shape
        mean = known.sum(axis=0) / np.float32(n + SHRINK)
        centred = (known - mean).astype(np.float64)
        variances, directions = np.linalg.eigh(centred.T @ centred / max(1, n))
        matrix, most = np.zeros((d, size), np.float32), min(size, d)
        main = directions[:, ::-1][:, :most]
        if not plain:
            deviations = np.sqrt(np.maximum(variances[::-1][:most], 0.0))
            main = main / np.maximum(deviations + HALF * deviations.mean(), 1e-6)
        # the sign of an eigenvector is the library's choice: make its largest number positive
        largest = np.take_along_axis(main, np.abs(main).argmax(axis=0)[None], axis=0)
        matrix[:, :most] = main * np.where(largest < 0.0, -1.0, 1.0)
        return cls(mean, matrix)

    def apply(self, vectors: Array) -> NDArray[np.float32]:
        """Return float32[n, size] of unit length; 0 for rows that are all 0."""
        known = vectors.any(axis=1)
        out = np.zeros((len(vectors), self.matrix.shape[1]), np.float32)
        out[known] = unit((unit(vectors[known]) - self.mean) @ self.matrix)
        return out
