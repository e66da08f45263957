"""Other blends over the same candidates in the same run: the fixed ones, and a tree."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from streamrec.blend.combine import FIXED, Blend
from streamrec.blend.learned import Features
from streamrec.blend.rules import weights_of
from streamrec.evaluation.peers.tree import TreeBlend
from streamrec.evaluation.ranks import rank_of
from streamrec.settings.sections import Settings
from streamrec.sources.registry import names_of

TREE = "tree"
OTHER_BLENDS = (*FIXED, TREE)


class OtherBlends:
    """Ranks the clicked candidate by each of the named blends."""

    def __init__(self, names: Sequence[str], settings: Settings) -> None:
        self.names = [f"blend:{name}" for name in names]
        sources, finer = names_of(settings), settings.blend.reorder
        self._kinds, self._reorder = list(names), sources.index(finer) if finer else -1
        self._weights = weights_of(settings)
        self._tree = TreeBlend(settings.factors.seed) if TREE in names else None

    def places(self, features: Features, clicked: int) -> list[float]:
        """Return the place of candidate `clicked` under each blend, ties mid way."""
        filled = features.filled()
        return [float(rank_of(self._scores(kind, filled), clicked)) for kind in self._kinds]

    def learn(self, features: Features, clicked: int) -> None:
        """Take one click in."""
        if self._tree is not None:
            self._tree.learn(features.filled(), clicked)

    def _scores(self, kind: str, features: Features) -> NDArray[np.float64]:
        if kind == TREE and self._tree is not None:
            return self._tree.scores(features)
        return Blend(kind, self._weights, self._reorder).scores(features, None)
