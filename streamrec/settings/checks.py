"""Checks between settings, and the words for the range that one setting's type allows."""

import difflib
import re
from collections.abc import Collection, Iterator
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, NamedTuple, Union, get_args, get_origin

import msgspec

from streamrec.expressions.filters import make_rules
from streamrec.expressions.syntax import ExpressionError
from streamrec.settings.mappings import FORGET, MERGE
from streamrec.settings.place_rules import asks_for_contents, place_problems
from streamrec.settings.places import EXAMPLES
from streamrec.settings.sections import Settings
from streamrec.settings.types import Section
from streamrec.sources.registry import all_sources


class Problem(NamedTuple):
    """What is wrong, and the names of the settings that it is about."""

    text: str
    names: tuple[str, ...]


def range_of(wanted: Any) -> str:
    """Return in words what a setting of this type may be."""
    origin, parts = get_origin(wanted), get_args(wanted)
    if origin is Literal:
        return " or ".join(f"`{choice}`" for choice in parts)
    if origin is dict:
        return f"table of {range_of(parts[1])}s"
    if origin in (Union, UnionType):
        return " or ".join(range_of(part) for part in parts if part is not NoneType)
    if origin is tuple:
        length = "" if parts[-1] is ... else f"of {len(parts)}, "
        return f"list {length}each {range_of(parts[0])}".replace("list each", "list, each")
    if origin is Annotated:
        return range_of(parts[0]) + "".join(_bounds(meta) for meta in parts[1:])
    if is_section(wanted):
        return "table"
    return {str: "string", int: "whole number", float: "number", bool: "true or false"}[wanted]


def is_section(wanted: Any) -> bool:
    """Say whether a type is a section: a table of settings."""
    return isinstance(wanted, type) and issubclass(wanted, Section)


def told(name: str, value: object, wanted: Any, *, strict: bool = True) -> str:
    """Return what is wrong in a table of sections: the first key that does not fit, and what does.

    name: of the setting; strict: whether texts of numbers are no numbers.
    """
    section = wanted.__args__[1]
    kinds = {field.name: field.type for field in msgspec.structs.fields(section)}
    given = value if isinstance(value, dict) else {"": value}
    for entry, one in given.items():
        where = f"{name}.{entry}".rstrip(".")
        table, _, key = entry.partition(".")
        if key:
            key = _near(key, kinds) or "length"
            text = f"{where} is given with its table, for example"
            return f"{text} {name}.{table} = {{ {key} = {EXAMPLES[key]} }}"
        if not isinstance(one, dict):
            meant = _near(entry, kinds)
            key, table = meant or "length", "home" if meant else entry or "home"
            example = f"[{name}.{table}] and below it {key} = {EXAMPLES[key]}"
            return f"{where} cannot be {one!r}; expected: table, for example {example}"
        for key, part in one.items():
            if key not in kinds:
                meant = _near(key, kinds) or "length"
                every = ", ".join(kinds)
                text = f"{where} has no {key!r}; did you mean {meant} = {EXAMPLES[meant]}?"
                return f"{text} Its keys: {every}"
            try:
                msgspec.convert(part, kinds[key], strict=strict)
            except msgspec.ValidationError:
                text = f"{where}.{key} cannot be {part!r}; expected: {range_of(kinds[key])}"
                return f"{text}, for example {key} = {EXAMPLES[key]}"
    return f"{name} cannot be {value!r}; expected: {range_of(wanted)}"


def _near(key: str, keys: Collection[str]) -> str:
    """Return the key that is meant, if any is alike."""
    return next(iter(difflib.get_close_matches(key, keys, 1, 0.6)), "")


def _bounds(meta: msgspec.Meta) -> str:
    words = {"ge": "at least {}", "gt": "above {}", "le": "at most {}", "pattern": "like `{}`"}
    bounds = [(word, getattr(meta, name)) for name, word in words.items()]
    return "".join(", " + word.format(bound) for word, bound in bounds if bound is not None)


def problems(settings: Settings) -> Iterator[Problem]:
    """Yield each combination of settings that cannot work."""
    yield from _of_kafka(settings)
    yield from _of_events(settings)
    yield from _of_bounds(settings)
    yield from _of_lists(settings)
    if settings.serve.console == "on" and settings.serve.read_tokens:
        text = "serve.console is on, but a page has no token to show: put a proxy before it"
        yield _problem(text, "serve.console", "serve.read_tokens")
    if settings.logging.trace_user and settings.logging.level != "debug":
        text = "logging.trace_user is told at level debug, which logging.level leaves out"
        yield _problem(text, "logging.trace_user", "logging.level")


def _of_kafka(settings: Settings) -> Iterator[Problem]:
    kafka = settings.kafka
    for address in kafka.brokers.split(","):
        if not re.fullmatch(r"\s*(\[[0-9a-fA-F:]+\]|[\w.-]+):\d{1,5}\s*", address):
            text = f"kafka.brokers has {address!r}, which is not host:port"
            yield _problem(text, "kafka.brokers")
    names = ("events_topic", "items_topic", "updates_topic", "dead_letters_topic")
    topics = [getattr(kafka, name) for name in names]
    if len(set(topics)) < len(topics):
        yield _problem(f"two topics have one name: {topics}", *(f"kafka.{name}" for name in names))


def _of_events(settings: Settings) -> Iterator[Problem]:
    events = settings.events
    if not any(weight > 0 for weight in events.weights.values()):
        yield _problem("events.weights has no positive weight: nothing to learn", "events.weights")
    for own, does in ((FORGET, "drops a user"), (MERGE, "makes a visitor a user")):
        if own in events.weights:
            text = f"events.weights has {own!r}: the type is streamrec's own, it {does}"
            yield _problem(text, "events.weights")
    if events.default_type and events.default_type not in events.weights:
        text = f"events.default_type is {events.default_type!r}, which {_one_of(events.weights)}"
        yield _problem(text, "events.default_type", "events.weights")


def _of_bounds(settings: Settings) -> Iterator[Problem]:
    recent = settings.users.recent_items
    for name, length in (
        ("similarity.window", settings.similarity.window),
        ("factors.context", settings.factors.context),
    ):
        if length > recent:
            text = f"{name} is {length}, but users.recent_items keeps only {recent}"
            yield _problem(text, name, "users.recent_items")
    if settings.users.cached_users > settings.users.max_users:
        text = f"users.cached_users is more than users.max_users, {settings.users.max_users}"
        yield _problem(text, "users.cached_users", "users.max_users")
    half_lives = settings.popularity.half_lives_seconds
    if list(half_lives) != sorted(set(half_lives)):
        name = "popularity.half_lives_seconds"
        yield _problem(f"{name} must rise: short, medium, long", name)


def _of_lists(settings: Settings) -> Iterator[Problem]:
    blend = settings.blend
    sources = tuple(source.name for source in all_sources(settings.extra_sources))
    for source, weight in blend.weights.items():
        if source not in sources:
            text = f"blend.weights names {source!r}, which {_one_of(sources)}"
            yield _problem(text, "blend.weights")
        if weight < 0:
            yield _problem(f"blend.weights.{source} is {weight}; below 0", "blend.weights")
    reorder = (blend.reorder,) if blend.reorder else ()
    for name, named in (("off", blend.off), ("pinned", blend.pinned), ("reorder", reorder)):
        for source in named:
            if source not in sources:
                text = f"blend.{name} names {source!r}, which {_one_of(sources)}"
                yield _problem(text, f"blend.{name}")
    if blend.reorder in blend.off:
        text = f"blend.reorder names {blend.reorder!r}, which blend.off switches off"
        yield _problem(text, "blend.reorder", "blend.off")
    if not any(blend.weights.values()):
        yield _problem("blend.weights switches every source off", "blend.weights")
    if blend.candidates < settings.lists.length:
        text = f"blend.candidates is {blend.candidates}, less than lists.length"
        yield _problem(text, "blend.candidates", "lists.length")
    for text in place_problems(settings):
        yield _problem(text, "places")
    if asks_for_contents(settings):
        yield from _of_expressions(settings)


def _of_expressions(settings: Settings) -> Iterator[Problem]:
    each: dict[str, Any] = {
        "lists": settings.lists,
        **{f"places.{n}": p for n, p in settings.places.items()},
    }
    for where, rules in each.items():
        for name, given in (("filters", (rules.filters, {})), ("boosts", ((), rules.boosts))):
            try:
                make_rules(*given)
            except ExpressionError as error:
                setting = f"lists.{name}" if where == "lists" else "places"
                yield _problem(f"{where}.{name}: {error}", setting)


def _problem(text: str, *names: str) -> Problem:
    return Problem(text, names)


def _one_of(names: Collection[str]) -> str:
    return f"is none of {', '.join(sorted(names))}"
