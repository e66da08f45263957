"""From what is asked of a log to the plan of a run over it.

`evaluate`, `bootstrap` and the library plan alike; where events, items and settings come from, and
how texts are encoded, is the caller's.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import NamedTuple

from streamrec.errors import ConfigurationError
from streamrec.evaluation.choose import choose
from streamrec.evaluation.neural import why_off
from streamrec.evaluation.peers.rivals import Guest
from streamrec.evaluation.prequential import Lag
from streamrec.events.event import Item
from streamrec.files.event_table import EventTable
from streamrec.settings.place_rules import as_home, known_place
from streamrec.settings.places import HOME
from streamrec.settings.sections import Settings
from streamrec.settings.types import changed
from streamrec.text.encoder import open_encoder
from streamrec.text.words import Encoder

LAGS = ("0", "100", "1000", "10000", "1h", "1d")
"""Of the staleness curve: events, or time."""
UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}

Under = Callable[[str], Settings]
"""Returns the settings under a profile; "": the one that they name themselves."""
Texts = Callable[[str, Sequence[Item]], Encoder | None]
"""Returns the encoder of a name for the texts of items; None: hashed words."""
Say = Callable[[str], object]


class Asked(NamedTuple):
    """What to evaluate, and how."""

    limit: int | None = None
    warm_up: float = 0.3
    types: tuple[str, ...] = ()  # that are scored; none named: all
    lag: str = "0"
    workers: int = 1
    peers: tuple[str, ...] = ()
    blends: tuple[str, ...] = ()
    staleness: bool = False
    ablation: bool = False
    shelf: bool = False
    neural: bool | None = False  # with the neural ranker, which needs torch; None: where it can be
    guests: Mapping[str, Guest] = {}  # peers from outside, by name
    place: str = HOME  # that is measured: its rules are those of home (as_home)
    choose: bool = False  # the profile, by the first events
    kept: bool = False  # what is learnt serves then: duplicates count once, all texts are encoded


class Plan(NamedTuple):
    """One run: under which settings, of what events, and the items they name."""

    settings: Settings
    asked: Asked
    events: EventTable
    items: Mapping[str, Item]
    types: frozenset[str]  # that are scored
    encoder: Encoder | None  # of the items' texts; None: hashed words

    @property
    def length(self) -> int:
        """How many events the run goes over."""
        return min(len(self.events), self.asked.limit or len(self.events))


def opened(model: str, items: Sequence[Item]) -> Encoder | None:
    """Return an encoder; None for hashed words, or where no item has a text."""
    some = any(item.title or item.categories or item.text for item in items)
    return open_encoder(model) if some else None


def planned(
    asked: Asked, events: EventTable, items: Mapping[str, Item], under: Under,
    texts: Texts = opened, say: Say = lambda words: None,
) -> Plan:  # fmt: skip
    """Return the plan; `say` is told what was decided. Raises ConfigurationError."""
    profile = ""
    if asked.choose:
        start = events.taken(slice(asked.limit))
        profile, why = choose(start.users, start.items, start.ts)
        say(f"Profile {profile}: {why}.")
    settings = under(profile)
    if asked.place != HOME:
        settings = as_home(settings, known_place(settings, asked.place))
        say(f"Place {asked.place}.")
    asked = asked._replace(neural=with_neural(asked.neural, settings, say))
    types = frozenset(asked.types or events.type_names)
    for name in types - set(events.type_names):
        found = ", ".join(events.type_names)
        raise ConfigurationError(f"--types: the log has no events of type {name}; it has {found}.")
    everything = asked.shelf or asked.kept
    named = items if everything else items.keys() & set(events.item_names)
    encoder = texts(settings.text.model, [items[name] for name in named])
    if settings.lists.filters:
        say(
            "lists.filters: events on items that they remove are not scored; peers are not "
            "filtered, the blend and sources alone are."
        )
    if items:
        say(_joined(events, items))
    people = max(2, len(events.user_names))
    settings = changed(settings, users={"cached_users": 4 * people, "max_users": 8 * people})
    if not asked.kept:
        settings = changed(settings, events={"duplicate_window": 0})
    return Plan(settings, asked, events, items, types, encoder)


def with_neural(asked: bool | None, settings: Settings, say: Say = lambda words: None) -> bool:
    """Return whether the neural ranker takes part; None asks for it where it can.

    Raises ConfigurationError where it is asked for and cannot.
    """
    why = "" if asked is False else why_off(settings)
    if why and asked:
        raise ConfigurationError(f"neural: {why}.")
    if why:
        say(f"Without the neural ranker: {why}.")
    return asked is not False and not why


def known_names(option: str, names: Iterable[str], known: Collection[str]) -> tuple[str, ...]:
    """Return the names; raises ConfigurationError for one that is not known."""
    names = tuple(names)
    for name in names:
        if name not in known:
            raise ConfigurationError(f"{option}: {name!r} is none of {', '.join(known)}.")
    return names


def _joined(events: EventTable, items: Mapping[str, Item]) -> str:
    """Return in words how many items have metadata; ids of two forms show here."""
    names = events.item_names
    known = sum(name in items for name in names)
    if known:
        return f"{known:,} of the log's {len(names):,} items have metadata."
    return (
        f"None of the log's {len(names):,} items has metadata: the log calls them as "
        f"{names[0]!r}, the file of items as {next(iter(items))!r}."
    )


def parse_lag(text: str) -> Lag:
    """Return the lag written as a number of events, or as time: 30s, 5m, 1h, 1d."""
    try:
        if text[-1:] in UNITS:
            lag = Lag(milliseconds=int(float(text[:-1]) * UNITS[text[-1]] * 1000))
        else:
            lag = Lag(events=int(text))
    except (ValueError, OverflowError):
        lag = Lag(-1)
    if min(lag) < 0:
        raise ConfigurationError(
            f"--lag {text!r} is neither a number of events nor a time like 30s, 5m, 1h or 1d."
        )
    return lag


def lag_words(text: str) -> str:
    """Return a lag in words."""
    return text if text[-1:] in UNITS else f"{text} events"


def lags_within(events: EventTable, count: int) -> list[str]:
    """Return the lags that are no longer than the first `count` events of a log."""
    span = int(events.ts[count - 1] - events.ts[0]) if count else 0
    each = ((text, parse_lag(text)) for text in LAGS)
    return [text for text, lag in each if lag.events <= count and lag.milliseconds <= span]
