"""`streamrec evaluate`: how good the lists would have been on a log of events."""

import json
import time
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from streamrec.commands.encoding import texts_encoded
from streamrec.commands.interrupt import first_interrupt_noted, until
from streamrec.commands.options import (
    EXIT_INTERRUPTED,
    EventsFile,
    ItemColumns,
    ItemsFile,
    Neural,
    Options,
    check_writable,
    end,
    items_of,
    reads_events,
    say,
    screen,
)
from streamrec.commands.progress import with_progress
from streamrec.errors import ConfigurationError
from streamrec.settings.places import HOME

if TYPE_CHECKING:
    from streamrec.evaluation.plan import Plan
    from streamrec.events.event import Event
    from streamrec.files.reading import Reading
    from streamrec.settings.sections import Settings


@reads_events
def evaluate(
    ctx: typer.Context,
    reading: "Reading",
    events: EventsFile,
    items: ItemsFile = None,
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
    neural: Neural = "",
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
    from streamrec.evaluation.peers.other_blends import OTHER_BLENDS
    from streamrec.evaluation.peers.registry import PEERS
    from streamrec.evaluation.plan import Asked, parse_lag, planned
    from streamrec.files.events import read_events
    from streamrec.library.result import renderer
    from streamrec.monitoring.starting import calm_collector
    from streamrec.sources.registry import names_of

    if shelf and (items is None or report is not None):
        raise ConfigurationError("--shelf needs --items, and has no --report.")
    for written in filter(None, (json_file, report)):
        check_writable(written)  # else hours of work could not be written
    render = renderer("--report") if report is not None else None
    parse_lag(lag)
    options: Options = ctx.obj
    settings, given = options.load()
    known = names_of(settings)
    named = _names("--sources", sources, known)
    chosen_peers = ",".join(PEERS) if peers.strip() == "all" else peers
    asked = Asked(
        limit=limit, warm_up=warm_up, types=_names("--types", types), lag=lag, workers=workers,
        peers=_names("--peers", chosen_peers, PEERS),
        blends=_names("--compare", compare, OTHER_BLENDS), staleness=staleness,
        ablation=ablation, shelf=shelf, neural=neural_asked(neural), place=place,
        choose=not profile and "profile" not in given,
    )  # fmt: skip

    def under(chosen: str) -> "Settings":
        flags = {
            "profile": chosen or profile, "lists.exclude": exclude, "blend.kind": blend,
            "factors.seed": "" if seed is None else str(seed),
            "blend.off": json.dumps([s for s in known if s not in named]) if named else "",
        }  # fmt: skip
        return options.load(flags={name: value for name, value in flags.items() if value})[0]

    table = read_events(events, reading, say)
    if len(table) < 2:
        raise ConfigurationError(f"{events} has {len(table)} events: nothing to evaluate.")
    catalogue = items_of(settings, items, item_columns, reading)
    plan = planned(asked, table, catalogue, under, texts_encoded, say)
    calm_collector()
    result = _evaluated(plan)
    print_figures(result)
    if json_file is not None:
        json_file.write_text(json.dumps(result, indent=1) + "\n")
    if report is not None and render is not None:
        report.write_text(render(result))
    if "interrupted" in result["protocol"]:
        end(EXIT_INTERRUPTED)


def _evaluated(plan: "Plan") -> dict[str, Any]:
    from streamrec.evaluation.evaluate import evaluate_all
    from streamrec.evaluation.shelf import evaluate_shelf

    with first_interrupt_noted() as stopped:

        def shown(events: "Iterator[Event]", count: int) -> "Iterator[Event]":
            return with_progress(until(events, stopped), count, "events")

        if plan.asked.shelf:
            return evaluate_shelf(plan, shown)
        return evaluate_all(plan, time.monotonic, shown).figures


def neural_asked(text: str) -> bool | None:
    """Return whether the neural ranker is asked for; None where nothing is said."""
    if text not in ("", "on", "off"):
        raise ConfigurationError(f"--neural {text!r} is neither on nor off.")
    return text == "on" if text else None


def _names(option: str, text: str, known: Collection[str] | None = None) -> tuple[str, ...]:
    """Return the names between commas; raises ConfigurationError for one that is not known."""
    from streamrec.evaluation.plan import known_names

    names = tuple(filter(None, (part.strip() for part in text.split(","))))
    return names if known is None else known_names(option, names, known)


def print_figures(result: Mapping[str, Any]) -> None:
    """Print an evaluation for people."""
    from streamrec.evaluation.report.terminal import in_words

    console = screen(100)
    for part in in_words(result):
        console.print(part, soft_wrap=isinstance(part, str), markup=False)
