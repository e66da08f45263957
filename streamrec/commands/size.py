"""`streamrec size`: how much memory so many users and items take, before there are any."""

from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from streamrec.commands.options import screen, settings_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from streamrec.inspection.sizes import Part


def size(
    ctx: typer.Context,
    users: Annotated[int, typer.Option(min=0, help="Who have a row and a list.")],
    items: Annotated[int, typer.Option(min=0, help="Of the catalogue.")],
    partitions: Annotated[int, typer.Option(min=1, help="Of each topic.")],
    fill: Annotated[
        float, typer.Option(min=0, max=1, help="Share of the bounds of histories in use.")
    ] = 1.0,
    item_fill: Annotated[
        float | None,
        typer.Option(min=0, max=1, help="The same of the lists in items' rows (default: --fill)."),
    ] = None,
    rate: Annotated[float, typer.Option(min=0, help="Events a second.")] = 300.0,
) -> None:
    """Print how much memory Redis, learn and score take under the settings."""
    settings = settings_of(ctx)
    from streamrec.inspection.sizes import Amount, learn_parts, redis_parts, score_parts

    of = Amount(users, items, partitions, fill, fill if item_fill is None else item_fill, rate)
    table = Table(box=None, pad_edge=False)
    for title in ("MB", "", "number", "bytes of each"):
        table.add_column(title, justify="left" if not title else "right", no_wrap=True)
    _add(table, "Redis", redis_parts(settings, of))
    _add(table, "learn, where one process has all partitions", learn_parts(settings, of))
    _add(table, "score, each process", score_parts(settings, of))
    screen(100).print(table)


def _add(table: Table, who: str, parts: "Sequence[Part]") -> None:
    table.add_row(_megabytes(sum(part.bytes for part in parts)), who, style="bold")
    for part in parts:
        cells = f"  {part.what}", f"{part.number:,}", f"{part.each:,.0f}"
        table.add_row(_megabytes(part.bytes), *cells)


def _megabytes(size: float) -> str:
    return f"{size / 1e6:,.1f}"
