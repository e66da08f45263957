"""`streamrec demo`: the options of the demonstration."""

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from streamrec.commands.options import Options, end, reads_events

if TYPE_CHECKING:
    from streamrec.files.reading import Reading


QUICKER = {"neural.sample_bytes_per_second": "250000"}
"""A replay is so much faster than life that the first network would come too late to be seen."""


@reads_events
def demo(
    ctx: typer.Context,
    reading: "Reading",
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
) -> None:
    """Replay real shopping and watch the lists change; Kafka and Redis are always embedded ones."""
    options: Options = ctx.obj
    settings, given = options.load()
    own = {"profile": "shop"} if events is None else {}
    own |= QUICKER
    settings, _ = options.load(flags={name: own[name] for name in own.keys() - given})
    from streamrec.demo.demo import run

    shown = {} if seconds is None else {"seconds": seconds or math.inf}
    end(run(settings, events, reading, keep=keep, json_file=json_file, **shown))
