"""`streamrec evaluate`: how good the lists would have been on a log of events."""

import json
import os
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from streamrec.commands.encoding import texts_encoded
from streamrec.commands.interrupt import first_interrupt_noted, until
from streamrec.commands.options import (
    EXIT_INTERRUPTED,
    ItemColumns,
    Options,
    end,
    reading_of,
    reads_events,
    say,
    screen,
)
from streamrec.commands.progress import with_progress
from streamrec.errors import ConfigurationError
from streamrec.settings.places import HOME

if TYPE_CHECKING:
    from streamrec.evaluation.evaluate import Plan
    from streamrec.events.event import Event, Item
    from streamrec.files.event_table import EventTable
    from streamrec.files.reading import Reading
    from streamrec.settings.sections import Settings


@reads_events
def evaluate(
    ctx: typer.Context,
    reading: "Reading",
    events: Annotated[Path, typer.Argument(help="CSV, JSON lines or Parquet.")],
    items: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Item ids, titles, categories, texts.")
    ] = None,
    profile: Annotated[
        str, typer.Option(help="news, shop, catalogue or general (default: from the first events).")
    ] = "",
    exclude: Annotated[
        str,
        typer.Option(help="user, session or none: what lists leave out (default: the profile's)."),
    ] = "",
    limit: Annotated[int | None, typer.Option(min=2, help="Only the first so many.")] = None,
    warm_up: Annotated[
        float, typer.Option(min=0, max=0.99, help="Share that is learnt but not scored.")
    ] = 0.3,
    types: Annotated[str, typer.Option(help="Types that are scored; all are learnt.")] = "",
    sources: Annotated[str, typer.Option(help="Sources that take part (default: all).")] = "",
    blend: Annotated[str, typer.Option(help="learned, weighted, cascade, vote or borda.")] = "",
    lag: Annotated[str, typer.Option(help="Parameters as of then: events, or 30s, 1h, 1d.")] = "0",
    workers: Annotated[int, typer.Option(min=1, help="User and item shards.")] = 1,
    peers: Annotated[str, typer.Option(help="Other recommenders in the same run, or all.")] = "",
    place: Annotated[str, typer.Option(help="Measure this place, with its rules.")] = HOME,
    compare: Annotated[
        str,
        typer.Option(help="Other blends in the same run: weighted, cascade, vote, borda, tree."),
    ] = "",
    neural: Annotated[
        str, typer.Option(help="on or off: the neural ranker (default: on where torch is).")
    ] = "",
    staleness: Annotated[bool, typer.Option("--staleness", help="Repeat at six lags.")] = False,
    ablation: Annotated[bool, typer.Option("--ablation", help="Repeat without each.")] = False,
    shelf: Annotated[
        bool, typer.Option("--shelf", help="Only: how well items with few events are found.")
    ] = False,
    seed: Annotated[int | None, typer.Option(min=0, help="factors.seed")] = None,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write the figures.")] = None,
    report: Annotated[Path | None, typer.Option(help="Write an HTML page with plots.")] = None,
    item_columns: ItemColumns = "",
) -> None:
    """Say how good the lists would have been on a log: first recommend, then learn, each event."""
    from streamrec.evaluation.choose import choose
    from streamrec.evaluation.evaluate import Plan
    from streamrec.evaluation.peers.other_blends import OTHER_BLENDS
    from streamrec.evaluation.peers.registry import PEERS
    from streamrec.files.items import read_items
    from streamrec.settings.place_rules import as_home, known_place
    from streamrec.sources.registry import names_of

    if shelf and (items is None or report is not None):
        raise ConfigurationError("--shelf needs --items, and has no --report.")
    options: Options = ctx.obj
    settings, given = options.load()
    table = _read(events, reading)
    of_items = reading_of(settings.items.mapping, item_columns).allowing_as(reading)
    catalogue = read_items(items, of_items, say) if items else {}
    if not profile and "profile" not in given:
        start = table.taken(slice(limit))
        profile, why = choose(start.users, start.items, start.ts)
        say(f"Profile {profile}: {why}.")
    known = names_of(settings)
    named = _names("--sources", sources, known)
    asked = {
        "profile": profile, "lists.exclude": exclude, "blend.kind": blend,
        "factors.seed": "" if seed is None else str(seed),
        "blend.off": json.dumps([s for s in known if s not in named]) if named else "",
    }  # fmt: skip
    settings = options.load(flags={name: value for name, value in asked.items() if value})[0]
    if place != HOME:
        settings = as_home(settings, known_place(settings, place))
        say(f"Place {place}.")
    plan = Plan(
        limit, warm_up, _names("--types", types), lag, workers,
        _names("--peers", ",".join(PEERS) if peers.strip() == "all" else peers, PEERS),
        _names("--compare", compare, OTHER_BLENDS), staleness, ablation, shelf,
        with_neural(neural, settings), place=place,
    )  # fmt: skip
    for file in filter(None, (json_file, report)):
        _check_writable(file)  # else hours of work could not be written
    render = _renderer() if report is not None else None
    result = _evaluated(settings, table, catalogue, plan)
    print_figures(result)
    if json_file is not None:
        json_file.write_text(json.dumps(result, indent=1) + "\n")
    if report is not None and render is not None:
        report.write_text(render(result))
    if "interrupted" in result["protocol"]:
        end(EXIT_INTERRUPTED)


def _evaluated(
    settings: "Settings", table: "EventTable", catalogue: "Mapping[str, Item]", plan: "Plan"
) -> dict[str, Any]:
    from streamrec.evaluation.evaluate import Dataset, evaluate_all, fitted, parse_lag
    from streamrec.evaluation.shelf import evaluate_shelf

    parse_lag(plan.lag)
    named = catalogue if plan.shelf else catalogue.keys() & set(table.item_names)
    encoder = texts_encoded(settings.text.model, [catalogue[name] for name in named])
    dataset = Dataset(table, catalogue, frozenset(plan.types or table.type_names), encoder)
    settings, remarks = fitted(settings, dataset)
    for remark in remarks:
        say(remark)
    with first_interrupt_noted() as stopped:

        def shown(events: "Iterator[Event]", count: int) -> "Iterator[Event]":
            return with_progress(until(events, stopped), count, "events")

        if plan.shelf:
            return evaluate_shelf(settings, dataset, plan, shown)
        return evaluate_all(settings, dataset, plan, time.monotonic, shown).figures


def with_neural(asked: str, settings: "Settings") -> bool:
    """Return whether the neural ranker takes part. Raises ConfigurationError."""
    from streamrec.evaluation.neural import why_off

    if asked not in ("", "on", "off"):
        raise ConfigurationError(f"--neural {asked!r} is neither on nor off.")
    why = "" if asked == "off" else why_off(settings)
    if why and asked == "on":
        raise ConfigurationError(f"--neural on: {why}.")
    if why:
        say(f"Without the neural ranker: {why}.")
    return asked != "off" and not why


def _names(option: str, text: str, known: Collection[str] = ()) -> tuple[str, ...]:
    """Return the names between commas; raises ConfigurationError for one that is not known."""
    names = tuple(filter(None, (part.strip() for part in text.split(","))))
    for name in names:
        if known and name not in known:
            raise ConfigurationError(f"{option}: {name!r} is none of {', '.join(known)}.")
    return names


def _read(file: Path, reading: "Reading") -> "EventTable":
    """Return the log; raises ConfigurationError where there is nothing to evaluate."""
    from streamrec.files.events import read_events

    table = read_events(file, reading, say)
    if len(table) < 2:
        raise ConfigurationError(f"{file} has {len(table)} events: nothing to evaluate.")
    return table


def _check_writable(file: Path) -> None:
    if not file.parent.is_dir():
        raise ConfigurationError(f"Cannot write {file}: there is no folder {file.parent}.")
    if file.is_dir():
        raise ConfigurationError(f"Cannot write {file}: it is a folder.")
    if not os.access(file if file.exists() else file.parent, os.W_OK):
        raise ConfigurationError(f"Cannot write {file}: permission denied.")


def print_figures(result: Mapping[str, Any]) -> None:
    """Print an evaluation for people."""
    from streamrec.evaluation.report.terminal import in_words

    console = screen(100)
    for part in in_words(result):
        console.print(part, soft_wrap=isinstance(part, str), markup=False)


def _renderer() -> "Callable[[Mapping[str, Any]], str]":
    try:
        from streamrec.evaluation.report.render import render
    except ImportError as error:
        raise ConfigurationError(
            f"--report needs {error.name}, which is not installed: pip install 'streamrec[report]'."
        ) from None
    return render
