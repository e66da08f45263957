"""`streamrec demo`: the options of the demonstration."""

import math
from pathlib import Path
from typing import Annotated

import typer

from streamrec.commands.options import Columns, DefaultType, Options, end


def demo(
    ctx: typer.Context,
    seconds: Annotated[
        float | None, typer.Option(min=0, help="About how long; 0: the whole log.  [default: 120]")
    ] = None,
    keep: Annotated[bool, typer.Option("--keep", help="Stay up after that, for you.")] = False,
    json_file: Annotated[
        Path | None, typer.Option("--json", metavar="FILE", help="Write the figures here.")
    ] = None,
    events: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Replay this: CSV, JSON lines or Parquet.")
    ] = None,
    columns: Columns = "",
    default_type: DefaultType = "click",
) -> None:
    """Replay real shopping and watch the lists change; Kafka and Redis are always embedded ones."""
    options: Options = ctx.obj
    settings, given = options.load()
    if events is None and "profile" not in given:
        settings, _ = options.load(flags={"profile": "shop"})
    from streamrec.demo.demo import Reading, run
    from streamrec.files.events import parse_columns

    shown = {} if seconds is None else {"seconds": seconds or math.inf}
    reading = Reading(events, parse_columns(columns), default_type)
    end(run(settings, reading, keep=keep, json_file=json_file, **shown))
