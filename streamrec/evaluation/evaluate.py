"""A whole log through the prequential evaluation: what to run it under, and its figures.

The clock and the progress shown are the caller's; nothing is read or printed here.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from streamrec.evaluation.peers.other_blends import OtherBlends
from streamrec.evaluation.peers.registry import make_peers
from streamrec.evaluation.peers.rivals import Rivals
from streamrec.evaluation.plan import Plan, lag_words, lags_within, parse_lag
from streamrec.evaluation.prequential import Parts, Prequential, Scored
from streamrec.evaluation.tally import BLEND, ONLINE, Tally
from streamrec.evaluation.walk import Walk, events_of
from streamrec.events.event import Event
from streamrec.files.event_table import FORGOTTEN
from streamrec.settings.place_rules import Place, place_of
from streamrec.settings.places import EVER, SESSION
from streamrec.settings.sections import Settings
from streamrec.settings.types import changed
from streamrec.sources.registry import names_of

INTERRUPTED = "interrupted"
"""Key of the protocol: where Ctrl-C ended the run, in words."""

Clock = Callable[[], float]
"""Seconds; only differences count."""
Shown = Callable[[Iterator[Event], int], Iterator[Event]]
"""Yields the events, of which there are so many, may show how far it is, and may end early."""


def unseen(events: Iterator[Event], count: int) -> Iterator[Event]:
    """Yield the events, and show nothing."""
    return events


class Evaluated(NamedTuple):
    """What came of one evaluation."""

    figures: dict[str, Any]  # as in the JSON of `streamrec evaluate`
    places: dict[str, NDArray[np.float32]]  # of each scored event's item, by list; inf: a miss
    live: Prequential  # what has learnt the log


def evaluate_all(plan: Plan, clock: Clock, shown: Shown = unseen) -> Evaluated:
    """Evaluate as planned, then at each lag and without each source if that is asked."""
    first, asked = evaluate(plan, clock, shown), plan.asked
    result = first.figures

    def repeat(name: str, under: Iterable[tuple[str, Settings, str]]) -> list[dict[str, Any]]:
        """Return the blend's metrics under each; none after the run that is ended early."""
        found: list[dict[str, Any]] = []
        for words, settings, lag in under:
            if INTERRUPTED not in result["protocol"]:
                alone = asked._replace(lag=lag, peers=(), blends=(), guests={})
                again = evaluate(plan._replace(settings=settings, asked=alone), clock, shown)
                if INTERRUPTED in again.figures["protocol"]:
                    result["protocol"][INTERRUPTED] = "among the repeats"
                else:
                    found.append({name: words, **again.figures["sources"][BLEND]})
        return found

    if asked.staleness:
        lags = lags_within(plan.events, result["events"])
        result["staleness"] = repeat("lag", ((lag_words(lag), plan.settings, lag) for lag in lags))
    if asked.ablation:
        names = [name for name in names_of(plan.settings) if name in result["sources"]]
        without = ((name, _without(plan.settings, name), asked.lag) for name in names)
        result["ablation"] = repeat("without", without)
        if ONLINE in result["sources"]:
            result["ablation"].append({"without": "neural ranker", **result["sources"][ONLINE]})
    return first


def evaluate(
    plan: Plan, clock: Clock, shown: Shown = unseen, parts: Parts | None = None
) -> Evaluated:
    """Run over the log once, or over what `shown` lets through of it.

    parts: how the state is cut, where that is not into as many workers as are asked for.
    """
    settings, asked, count = plan.settings, plan.asked, plan.length
    first, every = int(count * asked.warm_up), max(1, min(1000, count // 40))
    run = _Run(plan, clock, parts or asked.workers)
    started, done = clock(), 0
    for n, event in enumerate(shown(events_of(plan.events, count), count)):
        if n == first:
            started = clock()
        run.step(n, event, scored=n >= first)
        if n % every == 0:
            run.tally.add_weights(n, run.live.table)
        done = n + 1
    seconds = clock() - started
    known = sum(map(bool, run.item_events))
    protocol = {
        "file": plan.events.name, "profile": settings.profile, "exclude": settings.lists.exclude,
        "limit": asked.limit, "warm_up": asked.warm_up, "types": sorted(plan.types),
        "lag": lag_words(asked.lag), "workers": asked.workers, "seed": settings.factors.seed,
        "texts": plan.encoder.name if plan.encoder else "hashed",
        "blend": settings.blend.kind, "events": done, "items": known,
        "off": list(settings.blend.off), "peers": [*asked.peers, *asked.guests],
        "blends": list(asked.blends), "neural": asked.neural,
        "place": _told(place_of(settings)._replace(name=asked.place)),
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


class _Run:
    """One pass over a log: ours, the peers and the other blends, and what is counted of them."""

    def __init__(self, plan: Plan, clock: Clock, parts: Parts | int) -> None:
        settings, asked, table = plan.settings, plan.asked, plan.events
        neural, lag = clock if asked.neural else None, parse_lag(asked.lag)
        self.live = Prequential(settings, parts, lag, plan.encoder, neural=neural)
        self._walk = Walk(self.live, table, plan.items)
        peers = make_peers(asked.peers, settings.factors.seed)
        self._rivals = Rivals(peers, settings, asked.guests)
        self._blends = OtherBlends(asked.blends, settings)
        others = [*self._rivals.names, *self._blends.names]
        ruled = settings.lists.filters or settings.lists.boosts
        self._online = bool(asked.neural and not ruled)
        self.tally = Tally(names_of(settings), others + [ONLINE] * self._online)
        self._types = plan.types
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
        counted = scored and event.type in self._types
        found = self._walk.step(n, event, counted=counted)
        if found is not None:
            others = _by_other_blends(self._blends, found)
            if counted:
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
    return changed(settings, blend={"off": (*settings.blend.off, source)})
