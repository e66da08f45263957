"""`streamrec up`: everything on one machine, until Ctrl-C."""

import time
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape

from streamrec.commands.options import Columns, ItemColumns, Options, end
from streamrec.monitoring.log_lines import without_password

if TYPE_CHECKING:
    from streamrec.local.machine import Local

CHECK_SECONDS = 0.5


def up(
    ctx: typer.Context,
    learners: Annotated[int, typer.Option("--learn", min=1, help="Learn processes.")] = 1,
    scorers: Annotated[int, typer.Option("--score", min=1, help="Score processes.")] = 1,
    partitions: Annotated[int, typer.Option(min=1, help="Of each topic; only grows later.")] = 4,
    targets: Annotated[
        Path | None,
        typer.Option("--targets", help="Where to tell Prometheus what runs (file_sd_configs)."),
    ] = None,
    train: Annotated[bool, typer.Option(help="Train the neural ranker, where torch is.")] = True,
    console: Annotated[bool, typer.Option(help="Serve the page /console.")] = True,
    history: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Events to learn first, as `bootstrap`.")
    ] = None,
    items: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Items: ids, titles, categories, texts.")
    ] = None,
    columns: Columns = "",
    item_columns: ItemColumns = "",
) -> None:
    """Run everything on this machine, with an embedded Kafka and Redis where none is given."""
    options: Options = ctx.obj
    settings, given = options.load()
    kafka = settings.kafka.brokers if "kafka.brokers" in given else None
    redis = settings.redis.url if "redis.url" in given else None
    from streamrec.local.machine import Local, ending_on_signals
    from streamrec.local.shell_lines import how_to, where_to_look

    screen = Console(highlight=False)
    local = Local(settings)
    with ending_on_signals(), closing(local):
        try:
            with screen.status("starting"):
                local.start_servers(kafka, redis, partitions, usual_ports=True)
            if history is not None:
                given_too = ("--items", str(items)) if items else ()
                named = ("--columns", columns, "--item-columns", item_columns)
                _run(local, "bootstrap", str(history), *given_too, *named)
            with screen.status("starting"):
                local.start_roles(learners, scorers, train=train)
                if console:
                    local.start_console()
            if items is not None and history is None:
                _run(local, "items", "load", str(items), "--item-columns", item_columns)
            targets = targets or local.folder / "prometheus.json"
            local.write_targets(targets)
            _print_addresses(screen, local, kafka, redis)
            screen.print(f"Prometheus finds these processes in {targets}\n", soft_wrap=True)
            lines = how_to(local.settings, embedded=kafka is None)
            if console:
                screen.print(
                    where_to_look(local.settings, local.page), soft_wrap=True, markup=False
                )
            screen.print(lines, soft_wrap=True, markup=False)
            while True:
                local.check()
                time.sleep(CHECK_SECONDS)
        except KeyboardInterrupt:
            screen.print("\nstopping: what was taken in is being committed")


def _run(local: "Local", *arguments: str) -> None:
    """Run a command under the same settings; end as it did if it failed, which it has said."""
    if code := local.run(*arguments):
        end(code)


def _print_addresses(
    console: Console, local: "Local", kafka: str | None, redis: str | None
) -> None:
    settings = local.settings
    rows = [
        ("Kafka", settings.kafka.brokers + (" (embedded)" if kafka is None else "")),
        ("Redis", without_password(settings.redis.url) + (" (embedded)" if redis is None else "")),
    ]
    for name, address in zip(local.ports, local.metrics_addresses(), strict=True):
        rows.append((name, f"{address}   log {local.folder}/{name}.log"))
    console.print("[bold]streamrec is up.[/] Ctrl-C ends it.\n")
    for name, text in rows:
        console.print(f"  {name:8} {escape(text)}", soft_wrap=True)
    if kafka is None or redis is None:
        console.print("\nThe embedded servers forget everything when this ends.")
    console.print()
