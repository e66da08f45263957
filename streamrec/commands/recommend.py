"""`streamrec recommend`: what is served to a user, for people or as JSON."""

import time
from collections.abc import Sequence
from contextlib import closing
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from streamrec.commands.options import settings_of
from streamrec.errors import ConfigurationError
from streamrec.settings.places import HOME

if TYPE_CHECKING:
    from streamrec.client import Recommendations
    from streamrec.settings.sections import Settings


def recommend(
    ctx: typer.Context,
    user: Annotated[str, typer.Argument()],
    filters: Annotated[
        list[str] | None,
        typer.Option("--filter", help='A list made now under this too: "price < 20"; repeatable.'),
    ] = None,
    place: Annotated[str, typer.Option(help="The list of this place.")] = HOME,
    items: Annotated[
        list[str] | None,
        typer.Option("--item", help="What a place with a context is asked for with; repeatable."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="As one JSON object.")] = False,
) -> None:
    """Print the list that is served to a user."""
    settings = settings_of(ctx)
    from streamrec.client import Client
    from streamrec.settings.place_rules import check_context, known_place, place_of

    check_context(place_of(settings, known_place(settings, place)), items or ())
    if items and filters:
        raise ConfigurationError("--item and --filter: a list with items is not made now.")

    with Client(settings.redis) as client:
        if filters:
            found = _filtered(settings, user, filters, place)
        elif items:
            found = client.basket(items, place, user)
        else:
            found = client.recommend(user, place)
        if as_json:
            print(msgspec.json.encode(found).decode())
            return
        named = [name for entry in found.items for name in (entry.item, *entry.because)]
        titles = client.titles(named) if named else {}
    _print_list(found, titles)


def _filtered(
    settings: "Settings", user: str, filters: Sequence[str], place: str
) -> "Recommendations":
    """Return a list made now under more filters. Raises ConfigurationError, StoreError."""
    from streamrec.client import Recommendations, Recommended
    from streamrec.expressions.filters import make_rules
    from streamrec.expressions.syntax import ExpressionError
    from streamrec.inspection.lists_now import StateReader, list_of
    from streamrec.transport.redis.store import Store

    try:
        make_rules(filters, {})
    except ExpressionError as error:
        raise ConfigurationError(f"--filter: {error}") from None
    with closing(Store(settings.redis)) as store:
        items, personal = list_of(StateReader(settings, store).now(user, filters, place))
    listed = [Recommended(i.item, i.score, i.source, i.because) for i in items]
    return Recommendations(
        user, time.time_ns() // 1_000_000, items=listed, personal=personal, place=place
    )


def _print_list(found: "Recommendations", titles: dict[str, str]) -> None:
    if not found.items and found.at:
        print(f"nothing is left for {found.user!r}: the filters remove every candidate")
        return
    if not found.items:
        print(f"there is no list for {found.user!r} yet: is `streamrec score` running?")
        return
    moment = datetime.fromtimestamp(found.at / 1000, UTC).isoformat(timespec="seconds")
    whose = f"for {found.user}" if found.personal else f"popular ({found.user} has no list yet)"
    table = Table(title=escape(f"{whose}, made {moment}"), title_justify="left")
    for column in ("", "item", "title", "score", "source", "because"):
        table.add_column(column, justify="right" if column in ("", "score") else "left")
    for rank, entry in enumerate(found.items, start=1):
        because = ", ".join(titles.get(name) or name for name in entry.because)
        texts = entry.item, titles.get(entry.item, ""), f"{entry.score:.4f}", entry.source, because
        table.add_row(str(rank), *map(escape, texts))
    Console(highlight=False).print(table)
