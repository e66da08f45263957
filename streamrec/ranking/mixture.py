"""Which sources speak at a place, and how what they say becomes one score."""

from collections.abc import Sequence
from typing import NamedTuple

from streamrec.blend.combine import Blend
from streamrec.blend.rules import weights_of
from streamrec.errors import ConfigurationError
from streamrec.ranking.views import ALL, FEW, Roster, roster_of
from streamrec.settings.place_rules import Place, blended_at
from streamrec.settings.sections import Settings
from streamrec.sources.source import Source


class Mixture(NamedTuple):
    """The blend of one place: that of [blend], or one of the place's own."""

    blend: Blend
    roster: Roster
    few: tuple[tuple[int, Source], ...]  # who is asked of a few items, by number among all such
    dense: tuple[Source | None, ...]  # who speaks of all items; None: and is not asked


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
    names, finer = [source.name for source in sources], own.blend.reorder
    each = list(zip(sources, roster.style.tolist(), roster.active.tolist(), strict=True))
    few = [(source, active) for source, style, active in each if style == FEW]
    return Mixture(
        Blend(own.blend.kind, weights, names.index(finer) if finer else -1),
        roster,
        tuple((k, source) for k, (source, active) in enumerate(few) if active),
        tuple(source if active else None for source, style, active in each if style == ALL),
    )
