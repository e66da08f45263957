"""The sources: one line each. Their order is the order of all arrays over sources."""

from functools import lru_cache
from importlib import import_module
from importlib.metadata import entry_points
from typing import Any

from streamrec.errors import ConfigurationError
from streamrec.sources.content import Content
from streamrec.sources.cosine import Cosine
from streamrec.sources.factors import Factors
from streamrec.sources.popularity import PopularityLong, PopularityMedium, PopularityShort
from streamrec.sources.repeats import Repeats
from streamrec.sources.segment import Segment
from streamrec.sources.similarity import Similarity
from streamrec.sources.source import Source
from streamrec.sources.successors import Successors
from streamrec.sources.variants import Variants

SOURCES: tuple[type[Source], ...] = (
    PopularityShort,
    PopularityMedium,
    PopularityLong,
    Similarity,
    Cosine,
    Successors,
    Factors,
    Content,
    Repeats,
    Segment,
    Variants,
)
GROUP = "streamrec.sources"
"""Entry points of this group may be named in `extra_sources`."""


def all_sources(extra: tuple[str, ...] = ()) -> tuple[type[Source], ...]:
    """Return the classes of all sources. Raises ConfigurationError.

    extra: sources from outside the package, as `package.module:Class` or by their entry point.
    """
    return SOURCES + tuple(_found(name) for name in extra)


def sources_of(settings: Any) -> tuple[Source, ...]:
    """Return the sources under these settings, but for optional ones that they switch off."""
    each = (source(settings) for source in all_sources(settings.extra_sources))
    return tuple(source for source in each if source.active() or not source.optional)


def names_of(settings: Any) -> tuple[str, ...]:
    """Return the names of `sources_of`."""
    return tuple(source.name for source in sources_of(settings))


@lru_cache(maxsize=64)
def _found(name: str) -> type[Source]:
    module, colon, attribute = name.partition(":")
    try:
        if colon:
            found = getattr(import_module(module), attribute)
        else:
            [entry] = entry_points(group=GROUP, name=name)
            found = entry.load()
    except (ImportError, AttributeError, ValueError) as error:
        raise ConfigurationError(
            f"extra_sources: {name!r} cannot be loaded ({error}): give package.module:Class, or "
            f"the name of an entry point of the group {GROUP}; docs/sources.md"
        ) from None
    if not (isinstance(found, type) and issubclass(found, Source) and hasattr(found, "name")):
        raise ConfigurationError(f"extra_sources: {name!r} is no class of a Source with a name")
    return found
