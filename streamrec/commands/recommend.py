"""`streamrec recommend` and `streamrec similar`: what is served, for people or as JSON."""

import time
from collections.abc import Sequence
from datetime import UTC, datetime

import msgspec
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from streamrec.client import Client, Recommendations, Recommended, Similar
from streamrec.errors import ConfigurationError
from streamrec.settings.sections import RedisSettings, Settings
from streamrec.transport.redis_store import Store


def recommend(
    settings: Settings, user: str, filters: Sequence[str] = (), *, as_json: bool = False
) -> int:
    """Print the list served to `user`, with filters one made now; returns the exit code."""
    with Client(settings.redis) as client:
        found = filtered(settings, user, filters) if filters else client.recommend(user)
        if as_json:
            print(msgspec.json.encode(found).decode())
            return 0
        named = [name for entry in found.items for name in (entry.item, *entry.because)]
        titles = client.titles(named) if named else {}
    _print_list(found, titles)
    return 0


def filtered(settings: Settings, user: str, filters: Sequence[str]) -> Recommendations:
    """Return a list made now under more filters. Raises ConfigurationError, StoreError."""
    from streamrec.commands.lists_now import list_now
    from streamrec.expressions.filters import make_rules  # late: compiled code takes its time
    from streamrec.expressions.syntax import ExpressionError

    try:
        make_rules(filters, {})
    except ExpressionError as error:
        raise ConfigurationError(f"--filter: {error}") from None
    replace, lists = msgspec.structs.replace, settings.lists
    settings = replace(settings, lists=replace(lists, filters=(*lists.filters, *filters)))
    store = Store(settings.redis)
    try:
        items, personal = list_now(settings, store, user)
    finally:
        store.close()
    listed = [Recommended(i.item, i.score, i.source, i.because) for i in items]
    return Recommendations(user, time.time_ns() // 1_000_000, items=listed, personal=personal)


def similar(redis: RedisSettings, item: str, count: int, *, as_json: bool = False) -> int:
    """Print the items most often taken after `item`; returns the exit code."""
    with Client(redis) as client:
        found = client.similar(item, count)
    if as_json:
        print(msgspec.json.encode(found).decode())
    elif found:
        _print_similar(item, found)
    else:
        print(f"nothing is known to follow {item!r}: its id may be wrong, or nobody took it yet")
    return 0


def _print_list(found: Recommendations, titles: dict[str, str]) -> None:
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
        texts = (
            entry.item,
            titles.get(entry.item, ""),
            f"{entry.score:.4f}",
            entry.source,
            because,
        )
        table.add_row(str(rank), *map(escape, texts))
    Console(highlight=False).print(table)


def _print_similar(item: str, found: list[Similar]) -> None:
    table = Table(title=escape(f"taken after {item}"), title_justify="left")
    for column in ("item", "title", "share", "count"):
        table.add_column(column, justify="right" if column in ("share", "count") else "left")
    for entry in found:
        table.add_row(
            escape(entry.item), escape(entry.title), f"{entry.share:.1%}", str(entry.count)
        )
    Console(highlight=False).print(table)
