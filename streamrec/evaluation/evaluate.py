"""A whole log through the prequential evaluation: what to run it under, and its figures.

The clock and the progress shown are the caller's; nothing is read or printed here.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from streamrec.errors import ConfigurationError
from streamrec.evaluation.peers.other_blends import OtherBlends
from streamrec.evaluation.peers.registry import make_peers
from streamrec.evaluation.peers.rivals import Guest, Rivals
from streamrec.evaluation.prequential import Lag, Parts, Prequential, Scored
from streamrec.evaluation.tally import BLEND, Tally
from streamrec.evaluation.walk import Walk, events_of
from streamrec.events.event import Event, Item
from streamrec.files.event_table import FORGOTTEN, EventTable
from streamrec.settings.place_rules import Place, place_of
from streamrec.settings.places import EVER, HOME, SESSION
from streamrec.settings.sections import Settings
from streamrec.sources.registry import names_of
from streamrec.text.words import Encoder

ONLINE = "blend:online"
"""The learned blend alone, without the neural ranker."""
LAGS = ("0", "100", "1000", "10000", "1h", "1d")
"""Of the staleness curve: events, or time."""
INTERRUPTED = "interrupted"
"""Key of the protocol: where Ctrl-C ended the run, in words."""
UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}

Clock = Callable[[], float]
"""Seconds; only differences count."""
Shown = Callable[[Iterator[Event], int], Iterator[Event]]
"""Yields the events, of which there are so many, may show how far it is, and may end early."""


class Plan(NamedTuple):
    """What to evaluate and how."""

    limit: int | None = None
    warm_up: float = 0.3
    types: tuple[str, ...] = ()
    lag: str = "0"
    workers: int = 1
    peers: tuple[str, ...] = ()
    blends: tuple[str, ...] = ()
    staleness: bool = False
    ablation: bool = False
    shelf: bool = False
    neural: bool = False  # with the neural ranker, which needs torch
    guests: Mapping[str, Guest] = {}  # peers from outside, by name
    place: str = HOME  # that is measured: its rules are those of home (as_home)


class Dataset(NamedTuple):
    """The events and the items they name."""

    events: EventTable
    items: Mapping[str, Item]
    types: frozenset[str]  # that are scored
    encoder: Encoder | None = None  # of the items' texts; None: hashed words


class Evaluated(NamedTuple):
    """What came of one evaluation."""

    figures: dict[str, Any]  # as in the JSON of `streamrec evaluate`
    places: dict[str, NDArray[np.float32]]  # of each scored event's item, by list; inf: a miss
    live: Prequential  # what has learnt the log


def evaluate_all(
    settings: Settings, dataset: Dataset, plan: Plan, clock: Clock, shown: Shown
) -> Evaluated:
    """Evaluate as planned, then at each lag and without each source if that is asked."""
    first = evaluate(settings, dataset, plan, clock, shown)
    result = first.figures

    def repeat(name: str, under: Iterable[tuple[str, Settings, str]]) -> list[dict[str, Any]]:
        """Return the blend's metrics under each; none after the run that is ended early."""
        found: list[dict[str, Any]] = []
        for words, settings, lag in under:
            if INTERRUPTED not in result["protocol"]:
                alone = plan._replace(lag=lag, peers=(), blends=(), guests={})
                again = evaluate(settings, dataset, alone, clock, shown).figures
                if INTERRUPTED in again["protocol"]:
                    result["protocol"][INTERRUPTED] = "among the repeats"
                else:
                    found.append({name: words, **again["sources"][BLEND]})
        return found

    if plan.staleness:
        lags = _lags_within(dataset.events, result["events"])
        result["staleness"] = repeat("lag", ((lag_words(lag), settings, lag) for lag in lags))
    if plan.ablation:
        names = [name for name in names_of(settings) if name in result["sources"]]
        without = ((name, _without(settings, name), plan.lag) for name in names)
        result["ablation"] = repeat("without", without)
        if ONLINE in result["sources"]:
            result["ablation"].append({"without": "neural ranker", **result["sources"][ONLINE]})
    return first


def evaluate(
    settings: Settings,
    dataset: Dataset,
    plan: Plan,
    clock: Clock,
    shown: Shown = lambda events, count: events,
    parts: Parts | None = None,
) -> Evaluated:
    """Run over the log once, or over what `shown` lets through of it.

    parts: how the state is cut, where that is not into `plan.workers`.
    """
    table, count = dataset.events, min(len(dataset.events), plan.limit or len(dataset.events))
    first, every = int(count * plan.warm_up), max(1, min(1000, count // 40))
    run = _Run(settings, dataset, plan, clock, parts or plan.workers)
    started, done = clock(), 0
    for n, event in enumerate(shown(events_of(table, count), count)):
        if n == first:
            started = clock()
        run.step(n, event, scored=n >= first)
        if n % every == 0:
            run.tally.add_weights(n, run.live.table)
        done = n + 1
    seconds = clock() - started
    known = sum(map(bool, run.item_events))
    protocol = {
        "file": table.name, "profile": settings.profile, "exclude": settings.lists.exclude,
        "limit": plan.limit, "warm_up": plan.warm_up, "types": sorted(dataset.types),
        "lag": lag_words(plan.lag), "workers": plan.workers, "seed": settings.factors.seed,
        "texts": dataset.encoder.name if dataset.encoder else "hashed",
        "blend": settings.blend.kind, "events": done, "items": known,
        "off": list(settings.blend.off), "peers": [*plan.peers, *plan.guests],
        "blends": list(plan.blends), "neural": plan.neural,
        "place": _told(place_of(settings)._replace(name=plan.place)),
    }  # fmt: skip
    if done < count:
        protocol[INTERRUPTED] = after(done, count)
    figures = {"protocol": protocol, "events": done, **run.tally.summary(known)}
    if run.live.neural is not None:
        figures["neural"] = run.live.neural.figures()
    figures["events_per_second"] = round(len(run.tally) / max(seconds, 1e-9), 1)
    return Evaluated(figures, run.tally.columns(), run.live)


def _told(place: Place) -> dict[str, Any]:
    """Return the rules of a place as JSON; ages in seconds, "session" or "ever"."""
    told: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(place._asdict()))
    if place.exclude is not None:
        words = {SESSION: "session", EVER: "ever"}
        told["exclude"] = {kind: words.get(age, age / 1e3) for kind, age in place.exclude.items()}
    return told


def after(done: int, count: int) -> str:
    """Return in words where a run was ended early."""
    return f"after {done:,} of {count:,} events"


def fitted(settings: Settings, dataset: Dataset) -> tuple[Settings, list[str]]:
    """Return settings that hold all the log's users and drop no duplicates; and remarks."""
    replace, remarks, events = msgspec.structs.replace, [], dataset.events
    for name in dataset.types - set(events.type_names):
        found = ", ".join(events.type_names)
        raise ConfigurationError(f"--types: the log has no events of type {name}; it has {found}.")
    if settings.lists.filters:
        remarks.append(
            "lists.filters: events on items that they remove are not scored; peers are not "
            "filtered, the blend and sources alone are."
        )
    if dataset.items:
        remarks.append(_joined(dataset))
    people = max(2, len(events.user_names))
    return (
        replace(
            settings,
            events=replace(settings.events, duplicate_window=0),
            users=replace(settings.users, cached_users=4 * people, max_users=8 * people),
        ),
        remarks,
    )


def _joined(dataset: Dataset) -> str:
    """Return in words how many items have metadata; ids of two forms show here."""
    names = dataset.events.item_names
    known = sum(name in dataset.items for name in names)
    if known:
        return f"{known:,} of the log's {len(names):,} items have metadata."
    return (
        f"None of the log's {len(names):,} items has metadata: the log calls them as "
        f"{names[0]!r}, the file of items as {next(iter(dataset.items))!r}."
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


def _lags_within(table: EventTable, count: int) -> list[str]:
    """Return the lags that are no longer than the first `count` events of a log."""
    span = int(table.ts[count - 1] - table.ts[0]) if count else 0
    each = ((text, parse_lag(text)) for text in LAGS)
    return [text for text, lag in each if lag.events <= count and lag.milliseconds <= span]


class _Run:
    """One pass over a log: ours, the peers and the other blends, and what is counted of them."""

    def __init__(
        self, settings: Settings, dataset: Dataset, plan: Plan, clock: Clock, parts: Parts | int
    ) -> None:
        table = dataset.events
        neural = clock if plan.neural else None
        lag = parse_lag(plan.lag)
        self.live = Prequential(settings, parts, lag, dataset.encoder, neural=neural)
        self._walk = Walk(self.live, table, dataset.items)
        peers = make_peers(plan.peers, settings.factors.seed)
        self._rivals = Rivals(peers, settings, plan.guests)
        self._blends = OtherBlends(plan.blends, settings)
        others = [*self._rivals.names, *self._blends.names]
        self._online = plan.neural and not (settings.lists.filters or settings.lists.boosts)
        self.tally = Tally(names_of(settings), others + [ONLINE] * self._online)
        self._types = dataset.types
        self._users, self._items = table.users.tolist(), table.items.tolist()
        self._names = table.user_names
        self._user_events = [0] * len(table.user_names)
        self.item_events = [0] * len(table.item_names)

    def step(self, n: int, event: Event, scored: bool) -> None:
        """Look event number `n` up, count it if it is of those scored, then learn it."""
        for who, visitor in self._walk.controls.get(n, ()):
            if visitor == FORGOTTEN:
                self._rivals.forget(self._names[who])
                self._user_events[who] = 0
            else:  # peers go on taking them for two
                self._user_events[who] += self._user_events[visitor]
                self._user_events[visitor] = 0
        user, item = self._users[n], self._items[n]
        found = self._walk.step(n, event)
        if found is not None:
            others = _by_other_blends(self._blends, found)
            if scored and event.type in self._types:
                others = self._rivals.places(event) + others
                others += [found.blend_rank] * self._online
                had = self._user_events[user], self.item_events[item]
                self.tally.add(n, event.ts, found, *had, others, self.live.table)
        self._rivals.learn(event)
        self._user_events[user] += event.personal
        self.item_events[item] += 1


def _by_other_blends(blends: OtherBlends, scored: Scored) -> list[float]:
    """Return the clicked item's place under the other blends, and let them learn."""
    clicked = scored.clicked
    if not blends.names or scored.ranked is None or clicked is None:
        return [float("nan")] * len(blends.names)
    places = blends.places(scored.ranked.features, clicked)
    blends.learn(scored.ranked.features, clicked)
    return places


def _without(settings: Settings, source: str) -> Settings:
    replace = msgspec.structs.replace
    return replace(settings, blend=replace(settings.blend, off=(*settings.blend.off, source)))
