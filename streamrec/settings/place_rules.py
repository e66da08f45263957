"""The rules of each place, with all that it takes from [lists]."""

from collections.abc import Collection, Iterator, Mapping
from typing import NamedTuple

import msgspec

from streamrec.errors import ConfigurationError
from streamrec.settings.places import HOME, ITEM, PLACE_NAME, USER, PlaceSettings, age_of
from streamrec.settings.sections import Settings
from streamrec.settings.types import changed
from streamrec.sources.registry import names_of


class Place(NamedTuple):
    """The rules of one place, with all that it takes from [lists]."""

    name: str
    length: int
    filters: tuple[str, ...]
    boosts: Mapping[str, float]
    exclude: Mapping[str, float] | None  # event type: age in ms, SESSION or EVER; None: the rule
    pins: tuple[str, ...]
    caps: Mapping[str, int]
    diversity: str
    diversity_budget: float
    rotation: float
    reasons: bool
    sources: Mapping[str, float] | None = None  # their weights; None: those of [blend]
    blend: str = ""  # the kind; "": that of [blend]
    off: tuple[str, ...] = ()  # of the sources of [blend]
    context: str = USER


def place_names(settings: Settings) -> tuple[str, ...]:
    """Return the names of all places, home first."""
    return (HOME, *(name for name in settings.places if name != HOME))


def contexts(settings: Settings) -> tuple[Place, ...]:
    """Return the places that are asked for with items."""
    each = [place_of(settings, name) for name in place_names(settings)]
    return tuple(place for place in each if place.context != USER)


def place_of(settings: Settings, name: str = HOME) -> Place:
    """Return the rules of a place; those of [lists] where nothing is said of it."""
    lists = settings.lists
    mine: PlaceSettings = settings.places.get(name, PlaceSettings())
    ages = mine.exclude
    return Place(
        name=name,
        length=mine.length or lists.length,
        filters=(*lists.filters, *mine.filters),
        boosts={**lists.boosts, **mine.boosts},
        exclude=None
        if ages is None
        else {kind: age_of(text) or 0.0 for kind, text in ages.items()},
        pins=mine.pins,
        caps=mine.caps,
        diversity=lists.diversity if mine.diversity is None else mine.diversity,
        diversity_budget=lists.diversity_budget
        if mine.diversity_budget is None
        else mine.diversity_budget,
        rotation=lists.rotation if name == HOME else 0.0,  # it is known what home showed
        reasons=mine.reasons,
        sources=mine.sources or None,
        blend=(mine.blend or "weighted") if mine.sources else "",
        off=mine.off,
        context=mine.context,
    )


def blended_at(settings: Settings, place: Place) -> Settings:
    """Return settings of which [blend] is what the place's blend is."""
    if place.sources:
        silent = dict.fromkeys(names_of(settings), 0.0)  # one from outside has a weight by itself
        weights = {**silent, **place.sources}
        own = {"kind": place.blend, "weights": weights, "off": (), "reorder": ""}
        return changed(settings, blend=own)
    off = tuple(dict.fromkeys((*settings.blend.off, *place.off)))
    return changed(settings, blend={"off": off})


def as_home(settings: Settings, name: str) -> Settings:
    """Return settings under which home is what a place is, for who measures it alone."""
    place, replace = place_of(settings, name), msgspec.structs.replace
    lists = replace(
        settings.lists, length=place.length, filters=place.filters, boosts=dict(place.boosts),
        diversity=place.diversity, diversity_budget=place.diversity_budget, rotation=place.rotation,
    )  # fmt: skip
    mine = settings.places.get(name, PlaceSettings())
    rest = PlaceSettings(
        context=mine.context, exclude=mine.exclude, pins=mine.pins, caps=mine.caps,
        reasons=mine.reasons,
    )  # fmt: skip
    return replace(blended_at(settings, place), lists=lists, places={HOME: rest})


def asks_for_contents(settings: Settings) -> bool:
    """Say whether the rules of any place read what items are described by."""
    each = [place_of(settings, name) for name in place_names(settings)]
    return any(place.filters or place.boosts or place.caps for place in each)


def place_problems(settings: Settings) -> Iterator[str]:
    """Yield what is wrong with the places, but for their expressions."""
    types, most = settings.events.weights, settings.blend.candidates
    for name, place in settings.places.items():
        where, length = f"places.{name}", place.length or settings.lists.length
        if not PLACE_NAME.fullmatch(name):
            yield f"{where}: a place's name is of a-z, 0-9, _ and -, at most 32 characters"
        if length > most:
            yield f"{where}.length is {length}, more than blend.candidates, {most}"
        for kind, age in (place.exclude or {}).items():
            if kind not in types:
                yield f"{where}.exclude names {kind!r}, which is none of {', '.join(sorted(types))}"
            if age_of(age) is None:
                yield f'{where}.exclude.{kind} is {age!r}: write "30 days", "session" or "ever"'
        yield from _blend_problems(settings, name, place)
        if name == HOME and place.context != USER:
            yield f"{where}.context is {place.context!r}: home is asked for with the user alone"


def _blend_problems(settings: Settings, name: str, place: PlaceSettings) -> Iterator[str]:
    """Yield what is wrong with a place's own sources."""
    where, known = f"places.{name}", names_of(settings)
    if name == HOME and (place.sources or place.off or place.blend):
        yield f"{where}: what home is blended of is said in [blend]: kind, weights and off"
    if place.sources and place.off:
        yield f"{where} has sources and off: the sources that are not named take no part anyway"
    if place.blend and not place.sources:
        yield f"{where}.blend is {place.blend!r}, but {where}.sources names no sources to blend"
    for key, names in (("sources", place.sources), ("off", place.off)):
        for source in names:
            if source not in known:
                yield f"{where}.{key} names {source!r}, which is none of {', '.join(sorted(known))}"
    if any(weight < 0 for weight in place.sources.values()):
        yield f"{where}.sources has a weight below 0"
    if place.sources and not any(place.sources.values()):
        yield f"{where}.sources switches every source off"
    if set(known) <= {*settings.blend.off, *place.off}:
        yield f"{where}.off switches every source off"


def check_context(place: Place, items: Collection[str]) -> None:
    """Raise ConfigurationError where a place is not asked for with these items."""
    if items and place.context == USER:
        raise ConfigurationError(
            f"{place.name} is asked for with the user alone: give it a context of items, for "
            f'example [places.{place.name}] context = "basket"'
        )
    if len(items) > 1 and place.context == ITEM:
        raise ConfigurationError(
            f"{place.name} is asked for with one item, not {len(items)}; with several where "
            f'[places.{place.name}] has context = "basket"'
        )


def known_place(settings: Settings, name: str) -> str:
    """Return the name of a place; raises ConfigurationError for another."""
    names = place_names(settings)
    if name not in names:
        raise ConfigurationError(f"there is no place {name!r}; places: {', '.join(names)}")
    return name
