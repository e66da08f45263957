"""`streamrec explain`: why an item is, or is not, in a user's list."""

from contextlib import closing
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from streamrec.commands.options import settings_of
from streamrec.settings.places import HOME

if TYPE_CHECKING:
    from streamrec.inspection.answer import Answer


def explain(
    ctx: typer.Context,
    user: Annotated[str, typer.Argument()],
    item: Annotated[str, typer.Argument()],
    place: Annotated[str, typer.Option(help="In the list of this place.")] = HOME,
    page: Annotated[
        str, typer.Option("--with", help="The item that a place with a context is asked for with.")
    ] = "",
    as_json: Annotated[bool, typer.Option("--json", help="As one JSON object.")] = False,
) -> None:
    """Say why an item is, or is not, in a user's list."""
    settings = settings_of(ctx)
    from streamrec.inspection.explain import explained
    from streamrec.settings.place_rules import check_context, known_place, place_of
    from streamrec.transport.redis.store import Store

    check_context(place_of(settings, known_place(settings, place)), [page] if page else [])
    with closing(Store(settings.redis)) as store:
        answer = explained(settings, store, user, item, place, page)
    if as_json:
        print(msgspec.json.encode(answer).decode())
    else:
        _print_answer(answer)


def _print_answer(found: "Answer") -> None:
    console = Console(highlight=False)
    who, what = escape(found.user), escape(found.item)
    who += "" if found.place == HOME else f" at {found.place}"
    if found.listed:
        console.print(f"{what} is number {found.rank} of a list made now for {who}.")
    else:
        why = escape(found.why_not)
        console.print(f"{what} is not in a list made now for {who}: {why}.", soft_wrap=True)
    for line in found.rules:
        console.print(f"Rules: {escape(line)}.", soft_wrap=True)
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
