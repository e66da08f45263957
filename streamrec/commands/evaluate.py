"""`streamrec evaluate`: how good the lists would have been on a log of events."""

import json
import os
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from streamrec.commands.evaluate_options import LAGS, lag_words, parse_lag
from streamrec.commands.evaluate_print import print_result
from streamrec.commands.options import say
from streamrec.errors import ConfigurationError
from streamrec.evaluation.choose import choose
from streamrec.evaluation.peers.other_blends import OtherBlends
from streamrec.evaluation.peers.registry import MissingPeer, make_peers
from streamrec.evaluation.peers.rivals import Rivals
from streamrec.evaluation.prequential import Looked, Prequential
from streamrec.evaluation.report.render import render
from streamrec.evaluation.sessions import NamedSessions
from streamrec.evaluation.tally import BLEND, Tally
from streamrec.events.event import Event, Item
from streamrec.files.event_table import EventTable
from streamrec.files.events import read_events
from streamrec.files.reading import Reading
from streamrec.settings.sections import Settings
from streamrec.sources.registry import SOURCES


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


class Log(NamedTuple):
    """The events and the items they name."""

    events: EventTable
    items: Mapping[str, Item]
    types: frozenset[str]  # that are scored


def run(
    settings: Settings,
    events: EventTable,
    catalogue: Mapping[str, Item],
    plan: Plan,
    *,
    json_file: Path | None = None,
    report_file: Path | None = None,
) -> int:
    """Evaluate, print, and write what is asked for; return the exit code."""
    for file in filter(None, (json_file, report_file)):
        _check_writable(file)  # else hours of work could not be written
    parse_lag(plan.lag)
    console = Console(stderr=True)
    log = Log(events, catalogue, frozenset(plan.types or events.type_names))
    settings, remarks = fitted(settings, log)
    if catalogue:
        say(_joined(log))
    if settings.lists.filters:
        remarks.append(
            "lists.filters: events on items that they remove are not scored; sources alone and "
            "peers are not filtered, only the blend's lists are."
        )
    for remark in remarks:
        console.print(remark, highlight=False, markup=False)
    result = evaluate(settings, log, plan, plan.lag, console, peers=plan.peers)
    if plan.staleness:
        result["staleness"] = [
            {
                "lag": lag_words(lag),
                **evaluate(settings, log, plan, lag, console)["sources"][BLEND],
            }
            for lag in LAGS
        ]
    if plan.ablation:
        result["ablation"] = [
            {"without": name, **evaluate(less, log, plan, plan.lag, console)["sources"][BLEND]}
            for name, less in _ablated(settings, result["sources"])
        ]
    print_result(result, Console())
    if json_file is not None:
        json_file.write_text(json.dumps(result, indent=1) + "\n")
    if report_file is not None:
        report_file.write_text(render(result))
    return 0


def evaluate(
    settings: Settings, log: Log, plan: Plan, lag: str, console: Console,
    *, peers: Sequence[str] = (),
) -> dict[str, Any]:  # fmt: skip
    """Run over the whole log once; return the figures."""
    table = log.events
    count = min(len(table), plan.limit or len(table))
    try:
        rivals = Rivals(make_peers(peers, settings.factors.seed) if peers else [], settings)
        blends = OtherBlends(plan.blends, settings)
    except MissingPeer as error:
        raise ConfigurationError(str(error)) from None
    live = Prequential(settings, plan.workers, parse_lag(lag))
    tally = Tally([*rivals.names, *blends.names])
    sessions = table.sessions.tolist() if table.sessions is not None else None
    named = NamedSessions()
    user_events, item_events = [0] * len(table.user_names), [0] * len(table.item_names)
    first, started = int(count * plan.warm_up), time.monotonic()
    scoring = started
    for n, event in enumerate(_shown(_events(table, count), count, console)):
        user, item = int(table.users[n]), int(table.items[n])
        if n == first:
            scoring = time.monotonic()
        if not item_events[item] and event.item in log.items:
            live.announce(log.items[event.item])
        weight, in_session = settings.events.weights.get(event.type, 0.0), None
        if sessions is not None:
            in_session = named.continues(user, item, sessions[n], weight)
        looked = live.step(event, in_session)
        by_blends = _by_other_blends(blends, looked) if looked else []
        if looked is not None and n >= first and event.type in log.types:
            others = rivals.places(event.user, event.item, event.ts) if peers else []
            others += by_blends
            tally.add(n, event.ts, looked, user_events[user], item_events[item], others, live.table)
        if peers:
            rivals.learn(event.user, event.item, weight, event.ts, event.type == "remove")
        if n % max(1, min(1000, count // 40)) == 0:
            tally.add_weights(n, live.table)
        user_events[user] += 1
        item_events[item] += 1
    seconds = time.monotonic() - scoring
    known = sum(map(bool, item_events))
    protocol = {
        "file": table.name, "profile": settings.profile, "exclude": settings.lists.exclude,
        "limit": plan.limit, "warm_up": plan.warm_up, "types": sorted(log.types),
        "lag": lag_words(lag), "workers": plan.workers, "seed": settings.factors.seed,
        "blend": settings.blend.kind, "events": count, "items": known,
        "off": list(settings.blend.off), "peers": list(peers), "blends": list(plan.blends),
    }  # fmt: skip
    figures = {"protocol": protocol, "events": count, **tally.summary(known)}
    return {**figures, "events_per_second": round(len(tally) / max(seconds, 1e-9), 1)}


def _check_writable(file: Path) -> None:
    if not file.parent.is_dir():
        raise ConfigurationError(f"Cannot write {file}: there is no folder {file.parent}.")
    if file.is_dir():
        raise ConfigurationError(f"Cannot write {file}: it is a folder.")
    if not os.access(file if file.exists() else file.parent, os.W_OK):
        raise ConfigurationError(f"Cannot write {file}: permission denied.")


def _by_other_blends(blends: OtherBlends, looked: Looked) -> list[float]:
    """Return the clicked item's place under the other blends, and let them learn."""
    clicked = looked.clicked
    if not blends.names or looked.ranked is None or clicked is None:
        return [float("nan")] * len(blends.names)
    places = blends.places(looked.ranked.features, clicked)
    blends.learn(looked.ranked.features, clicked)
    return places


def fitted(settings: Settings, log: Log) -> tuple[Settings, list[str]]:
    """Return settings that accept the log's event types and hold all its users and items."""
    replace, remarks = msgspec.structs.replace, []
    weights = dict(settings.events.weights)
    unknown = [name for name in log.events.type_names if name not in weights]
    if unknown:
        weights.update(dict.fromkeys(unknown, 1.0))
        remarks.append(f"Events of type {', '.join(unknown)} have no weight set; each counts 1.")
    for name in log.types - set(log.events.type_names):
        found = ", ".join(log.events.type_names)
        raise ConfigurationError(f"--types: the log has no events of type {name}; it has {found}.")
    people = max(2, len(log.events.user_names))
    return (
        replace(
            settings,
            events=replace(settings.events, weights=weights, duplicate_window=0),
            users=replace(settings.users, cached_users=4 * people, max_users=8 * people),
        ),
        remarks,
    )


def chosen_profile(table: EventTable) -> tuple[str, str]:
    """Return the profile for a log and why."""
    found = choose(table.users, table.items, table.ts)
    return found.profile, found.why


def _joined(log: Log) -> str:
    """Return in words how many items have metadata; ids of two forms show here."""
    names = log.events.item_names
    known = sum(name in log.items for name in names)
    if known:
        return f"{known:,} of the log's {len(names):,} items have metadata."
    return (
        f"None of the log's {len(names):,} items has metadata: the log calls them as "
        f"{names[0]!r}, the file of items as {next(iter(log.items))!r}."
    )


def read(file: Path, reading: Reading) -> EventTable:
    """Return the log; raises ConfigurationError where there is nothing to evaluate."""
    table = read_events(file, reading, say)
    if len(table) < 2:
        raise ConfigurationError(f"{file} has {len(table)} events: nothing to evaluate.")
    return table


def _ablated(settings: Settings, sources: Mapping[str, Any]) -> Iterator[tuple[str, Settings]]:
    replace = msgspec.structs.replace
    for name in SOURCES:
        if name in sources:
            off = (*settings.blend.off, name)
            yield name, replace(settings, blend=replace(settings.blend, off=off))


def _events(table: EventTable, count: int) -> Iterator[Event]:
    columns = zip(
        table.users[:count].tolist(), table.items[:count].tolist(), table.types[:count].tolist(),
        table.ts[:count].tolist(), strict=True,
    )  # fmt: skip
    for n, (user, item, kind, ts) in enumerate(columns):
        event = Event(table.user_names[user], table.item_names[item], table.type_names[kind], ts)
        if table.segments is not None:
            event.segment = table.segment_names[table.segments[n]] or None
        yield event


def _shown(events: Iterator[Event], count: int, console: Console) -> Iterator[Event]:
    """Yield the events with a progress bar on a terminal."""
    columns = (
        TextColumn("{task.percentage:3.0f} %"), BarColumn(), TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
    )  # fmt: skip
    started = time.monotonic()
    with Progress(*columns, console=console, disable=not sys.stderr.isatty()) as bar:
        task = bar.add_task("", total=count, rate="")
        for n, event in enumerate(events):
            yield event
            if n % 500 == 0:
                rate = n / max(1e-9, time.monotonic() - started)
                bar.update(task, completed=n, rate=f"{rate:,.0f} events/s")
