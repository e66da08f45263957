"""Which sources speak at a place, and how what they say becomes one score."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from streamrec.blend import combine
from streamrec.blend.learned import Features, LearnedBlend
from streamrec.blend.rules import weights_of
from streamrec.errors import ConfigurationError
from streamrec.ranking.views import ALL, FEW, Roster, roster_of
from streamrec.settings.place_rules import Place, blended_at
from streamrec.settings.sections import Settings
from streamrec.sources.source import Source

Array = NDArray[Any]


class Mixture(NamedTuple):
    """The blend of one place: that of [blend], or one of the place's own."""

    kind: str
    weights: NDArray[np.float32]  # [M]
    reorder: int  # number of the cascade's finer source, -1 for none
    roster: Roster
    few: tuple[tuple[int, Source], ...]  # who is asked of a few items, by number among all such
    dense: tuple[bool, ...]  # of those who speak of all items, who is asked

    def scores(self, filled: Features, learned: LearnedBlend | None) -> NDArray[np.float64]:
        """Return float64[C] of one user's candidates."""
        return combine.scores(self.kind, filled, self.weights, learned, self.reorder)

    def parts(self, filled: Features, learned: LearnedBlend | None) -> NDArray[np.float64]:
        """Return float64[C, M + E + 1] that sum to the scores: of sources, extras, the network."""
        return combine.parts(self.kind, filled, self.weights, learned, self.reorder)

    def source_parts(self, filled: Features, learned: LearnedBlend | None) -> NDArray[np.float64]:
        """Return float64[C, M + E]: the scores' parts of sources and extras."""
        return combine.source_parts(self.kind, filled, self.weights, learned, self.reorder)


def mixture_of(settings: Settings, sources: Sequence[Source], place: Place) -> Mixture:
    """Return the blend of a place. Raises ConfigurationError where none of its sources speaks."""
    own = blended_at(settings, place)
    weights = weights_of(own)
    roster = roster_of(own, sources, weights)
    if place.sources and not roster.active.any():
        raise ConfigurationError(
            f"places.{place.name}.sources: none of {', '.join(place.sources)} keeps anything under "
            "these settings: name others, or give them room (docs/sources.md)"
        )
    names = [source.name for source in sources]
    each = list(zip(sources, roster.style.tolist(), roster.active.tolist(), strict=True))
    few = [(source, active) for source, style, active in each if style == FEW]
    return Mixture(
        own.blend.kind,
        weights,
        names.index(own.blend.reorder) if own.blend.reorder else -1,
        roster,
        tuple((k, source) for k, (source, active) in enumerate(few) if active),
        tuple(active for _, style, active in each if style == ALL),
    )
