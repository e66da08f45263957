"""`streamrec similar`: what follows an item, for people or as JSON."""

from typing import TYPE_CHECKING, Annotated

import msgspec
import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from streamrec.commands.options import settings_of

if TYPE_CHECKING:
    from streamrec.client import Similar


def similar(
    ctx: typer.Context,
    item: Annotated[str, typer.Argument()],
    count: Annotated[int, typer.Option("--count", "-n", min=1, help="How many.")] = 10,
    as_json: Annotated[bool, typer.Option("--json", help="As a JSON array.")] = False,
) -> None:
    """Print the items most often taken after an item, and items like it."""
    settings = settings_of(ctx)
    from streamrec.client import Client

    with Client(settings.redis) as client:
        found, like = client.similar(item, count), client.item_list(item).like[:count]
    if as_json:
        print(msgspec.json.encode(found).decode())
        return
    if found:
        _print_similar(item, found)
    if like:
        print(f"like {item}: " + ", ".join(f"{one.item} ({one.score:.2f})" for one in like))
    if not found and not like:
        print(f"nothing is known to follow {item!r}: its id may be wrong, or nobody took it yet")


def _print_similar(item: str, found: "list[Similar]") -> None:
    table = Table(title=escape(f"taken after {item}"), title_justify="left")
    for column in ("item", "title", "share", "count"):
        table.add_column(column, justify="right" if column in ("share", "count") else "left")
    for entry in found:
        table.add_row(
            escape(entry.item), escape(entry.title), f"{entry.share:.1%}", str(entry.count)
        )
    Console(highlight=False).print(table)
