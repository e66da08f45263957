"""`streamrec explain`: why an item is, or is not, in a user's list."""

from contextlib import closing
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from streamrec.commands.options import settings_of

if TYPE_CHECKING:
    from streamrec.inspection.answer import Answer


def explain(
    ctx: typer.Context,
    user: Annotated[str, typer.Argument()],
    item: Annotated[str, typer.Argument()],
    as_json: Annotated[bool, typer.Option("--json", help="As one JSON object.")] = False,
) -> None:
    """Say why an item is, or is not, in a user's list."""
    settings = settings_of(ctx)
    from streamrec.inspection.explain import explained
    from streamrec.transport.redis_store import Store

    with closing(Store(settings.redis)) as store:
        answer = explained(settings, store, user, item)
    if as_json:
        print(msgspec.json.encode(answer).decode())
    else:
        _print_answer(answer)


def _print_answer(found: "Answer") -> None:
    console = Console(highlight=False)
    who, what = escape(found.user), escape(found.item)
    if found.listed:
        console.print(f"{what} is number {found.rank} of a list made now for {who}.")
    else:
        console.print(f"{what} is not in a list made now for {who}: {escape(found.why_not)}.")
    if found.score is not None:
        title = f"score {found.score:.4f}, {found.score - found.mean:+.4f} above the mean"
        table = Table("part", "adds", title=title, title_justify="left")
        for name, value in sorted(found.parts.items(), key=lambda part: -abs(part[1])):
            table.add_row(name, f"{value:+.4f}")
        console.print(table)
    if found.network_responds_to:
        words = ", ".join(f"{name} {by:+.2f}" for name, by in found.network_responds_to.items())
        words = f"The network responds to: {words} (each alone; these do not sum)."
        console.print(words, soft_wrap=True)
    if found.past:
        table = Table("past item", "of the score", title="by what the user took")
        for name, value in sorted(found.past.items(), key=lambda one: -abs(one[1]))[:10]:
            table.add_row(escape(name), f"{value:+.4f}")
        console.print(table)
    if found.ranks:
        best = sorted(found.ranks.items(), key=lambda one: one[1])
        words = ", ".join(f"{name} {rank:.0f}" for name, rank in best)
        console.print(f"Its rank in each source alone: {words}.", soft_wrap=True)
