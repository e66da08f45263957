"""`streamrec weights`: what the blend has learnt about the sources."""

from contextlib import closing
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer
from rich.table import Table

from streamrec.commands.options import screen, settings_of

if TYPE_CHECKING:
    from streamrec.inspection.weights import Weights


def weights(
    ctx: typer.Context,
    as_json: Annotated[bool, typer.Option("--json", help="As one JSON object.")] = False,
) -> None:
    """Print what the blend has learnt about the sources."""
    settings = settings_of(ctx)
    from streamrec.inspection.weights import weights_now
    from streamrec.transport.redis.store import Store

    with closing(Store(settings.redis)) as store:
        found = weights_now(settings, store)
    if found is None:
        print("the blend has learnt from no click yet: it uses blend.weights")
    elif as_json:
        print(msgspec.json.encode(found).decode())
    else:
        _print_weights(found)


def _print_weights(found: "Weights") -> None:
    console = screen(110)
    console.print(f"{found.samples} clicks learnt from; the lists follow {found.leads}.")
    buckets = list(next(iter(found.linear.values())))
    table = Table()
    table.add_column("", no_wrap=True)
    for title in (*(f"history {b}" for b in buckets), "importance", "loss alone"):
        table.add_column(title)
    for name, row in found.linear.items():
        cells = [f"{row[b]:+.3f}" for b in buckets]
        importance, loss = found.importance.get(name), found.loss.get(name)
        cells += ["" if v is None else f"{v:.4f}" for v in (importance, loss)]
        table.add_row(name, *cells)
    console.print(table)
    console.print(f"Loss of the blend: {found.loss['blend']:.4f} (1 - reciprocal rank, of late).")
