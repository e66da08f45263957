"""Other blends over the same candidates in the same run: fixed ones, and a tree, for comparison.

tree: river's Hoeffding adaptive tree (Bifet and Gavaldà 2009) over the sources' values and ranks,
learnt from the clicked candidate and a few others; candidates are ranked by its probability.
"""

import importlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from streamrec.blend import combine as blend
from streamrec.blend.kernels import GAINS
from streamrec.blend.learned import Features
from streamrec.errors import ConfigurationError
from streamrec.settings.sections import Settings
from streamrec.sources.registry import EXTRAS, SOURCES

FIXED = ("weighted", "cascade", "vote", "borda")
OTHER_BLENDS = (*FIXED, "tree")
OTHERS = 5
"""Candidates that were not clicked, learnt by the tree beside the one that was."""
COLUMNS = (*SOURCES, *(f"{name} rank" for name in SOURCES), *EXTRAS)


class OtherBlends:
    """Ranks the clicked candidate by each of the named blends."""

    def __init__(self, names: Sequence[str], settings: Settings) -> None:
        self.names = [f"blend:{name}" for name in names]
        self._kinds, self._reorder = list(names), settings.blend.reorder
        self._weights = np.array(
            [settings.blend.weights.get(s, 0.0) for s in SOURCES], np.float32
        )  # fmt: skip
        self._tree = TreeBlend(settings.factors.seed) if "tree" in names else None

    def places(self, features: Features, clicked: int) -> list[float]:
        """Return the place of candidate `clicked` under each blend, ties mid way."""
        return [_place(self._scores(kind, features), clicked) for kind in self._kinds]

    def learn(self, features: Features, clicked: int) -> None:
        """Take one click in."""
        if self._tree is not None:
            self._tree.learn(features, clicked)

    def _scores(self, kind: str, features: Features) -> NDArray[np.float64]:
        if kind == "tree":
            assert self._tree is not None
            return self._tree.scores(features)
        return blend.scores(kind, features, self._weights, None, self._reorder)


class TreeBlend:
    """A tree that tells clicked candidates from others. Bound: river's limit of 100 MB."""

    def __init__(self, seed: int) -> None:
        try:
            tree: Any = importlib.import_module("river.tree")
        except ImportError:
            raise ConfigurationError(
                "blend tree needs river: pip install 'streamrec[peers]'"
            ) from None
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


def _rows(features: Features, which: Sequence[int] | None = None) -> list[dict[str, float]]:
    table = np.concatenate([features.values, GAINS[features.ranks], features.extras], axis=1)
    picked = table if which is None else table[list(which)]
    return [dict(zip(COLUMNS, row, strict=True)) for row in picked.tolist()]


def _place(scores: NDArray[np.float64], at: int) -> float:
    return float((scores > scores[at]).sum() + ((scores == scores[at]).sum() - 1) / 2.0)
