"""A blend for comparison: river's Hoeffding adaptive tree (Bifet and Gavaldà 2009).

It sees the sources' values and ranks and the extras of a candidate, and learns from the clicked
candidate and a few others; candidates are ranked by its probability of a click.
"""

import importlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from streamrec.blend.kernels import GAINS
from streamrec.blend.learned import Features
from streamrec.errors import ConfigurationError

OTHERS = 5
"""Candidates that were not clicked, learnt beside the one that was."""


class TreeBlend:
    """A tree that tells clicked candidates from others. Bound: river's limit of 100 MB."""

    def __init__(self, seed: int) -> None:
        try:
            tree: Any = importlib.import_module("river.tree")
        except ImportError:
            text = "blend tree needs river: pip install 'streamrec[peers]'"
            raise ConfigurationError(text) from None
        self._model = tree.HoeffdingAdaptiveTreeClassifier(seed=seed)
        self._rng = np.random.default_rng(seed)

    def scores(self, features: Features) -> NDArray[np.float64]:
        """Return float64[C]: the probability of a click."""
        return np.array(
            [self._model.predict_proba_one(row).get(True, 0.0) for row in _rows(features)]
        )

    def learn(self, features: Features, clicked: int) -> None:
        """Take one click in: the clicked candidate and a few others."""
        others = self._rng.integers(0, len(features.values), OTHERS)
        rows = _rows(features, [clicked, *(n for n in others.tolist() if n != clicked)])
        for n, row in enumerate(rows):
            self._model.learn_one(row, n == 0)


def _rows(features: Features, which: Sequence[int] | None = None) -> list[dict[int, float]]:
    """Return what river takes: of each candidate a dict, by the number of the column."""
    table = np.concatenate([features.values, GAINS[features.ranks], features.extras], axis=1)
    picked = table if which is None else table[list(which)]
    return [dict(enumerate(row)) for row in picked.tolist()]
