"""What the demonstration says about one click: the list before, the list after, what moved."""

from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from streamrec.demo.reaction import Reaction
from streamrec.demo.table import Title, listing, reason
from streamrec.files.event_table import EventTable
from streamrec.ranking.lists import PublishedList

SHOWN = 10
LATEST = 5


def show_before(
    console: Console, table: EventTable, user: str, latest: list[str], before: PublishedList
) -> None:
    """Print who it is and the list being served."""
    who = f"{table.user_word.capitalize()} {user}"
    console.print(f"\n[bold]{escape(who)}[/], newest first: {_names(latest[:LATEST], table.title)}")
    console.print(_list(before, table.title, None, "is being served"))


def show_after(console: Console, table: EventTable, reaction: Reaction) -> None:
    """Print the click, the new list and what moved."""
    title = table.title
    console.print(
        f"\n[bold]One click[/] on {escape(title(reaction.clicked))}, and "
        f"[bold green]{reaction.milliseconds:.0f} ms[/] later Redis has:"
    )
    places = {item.item: place for place, item in enumerate(reaction.before.items)}
    console.print(_list(reaction.after, title, places, "is being served now"))
    new = sum(item.item not in places for item in reaction.after.items)
    console.print(f"{new} of its {len(reaction.after.items)} items are new.", style="dim")
    console.print(
        "Timed from producing the click to reading the new list, with the replay paused before it "
        "so that no backlog is in the way; the table's p50 and p99 are those under load.",
        style="dim",
    )


def _list(
    published: PublishedList, title: Title, before: dict[str, int] | None, head: str
) -> Table:
    table = listing()
    table.add_column("", justify="right", no_wrap=True)
    table.add_column(head, ratio=3, no_wrap=True)
    if before is not None:
        table.add_column("moved", no_wrap=True)
    table.add_column("because of", style="dim", ratio=4, no_wrap=True)
    for place, item in enumerate(published.items[:SHOWN]):
        row: list[str | Text] = [str(place + 1), escape(title(item.item))]
        if before is not None:
            row.append(_moved(place, before.get(item.item)))
        table.add_row(*row, escape(reason(item, title)))
    return table


def _moved(place: int, before: int | None) -> Text:
    if before is None:
        return Text("new", "bold green")
    if before == place:
        return Text("=", "dim")
    return (
        Text(f"▲ {before - place}", "green")
        if before > place
        else Text(f"▼ {place - before}", "red")
    )


def _names(items: list[str], title: Title) -> str:
    return ", ".join(escape(title(item)) for item in items) or "nothing"
