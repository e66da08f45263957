"""What the demonstration says about one click: the list before, the list after, what moved."""

from collections import Counter
from collections.abc import Callable

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from streamrec.demo.reaction import SHOWN, Reaction, is_popular
from streamrec.files.event_table import EventTable
from streamrec.ranking.published import ListItem, PublishedList

LATEST = 3

Title = Callable[[str], str]


def show(console: Console, table: EventTable, reaction: Reaction) -> None:
    """Print who clicked, the list before and after the click, and what moved."""
    title = titles(table, reaction)
    latest = ", ".join(title(item) for item in reaction.latest[:LATEST])
    who = f"{table.user_word} {reaction.user}"
    console.print(f"\n[bold]{escape(who.capitalize())}[/] took last: {escape(latest)}")
    console.print(_list(reaction.before, title, {}, "is being served"))
    console.print(
        f"\n[bold]One click[/] on {escape(title(reaction.clicked))}, and "
        f"[bold green]{reaction.milliseconds:.0f} ms[/] later Redis has:"
    )
    places = {item.item: place for place, item in enumerate(reaction.before.items, 1)}
    console.print(_list(reaction.after, title, places, "is being served now"))
    console.print(escape(what_moved(reaction, title)))
    console.print(
        "Timed from sending the click to reading the new list, when the replay was over.",
        style="dim",
    )


def titles(table: EventTable, reaction: Reaction) -> Title:
    """Return what names the items of a reaction: their titles, with the id where two share one."""
    listed = [*reaction.before.items, *reaction.after.items]
    items = {reaction.clicked, *reaction.latest, *(item.item for item in listed)}
    shared = Counter(table.title(item) for item in items)
    return lambda item: (
        f"{table.title(item)} ({item})" if shared[table.title(item)] > 1 else table.title(item)
    )


def what_moved(reaction: Reaction, title: Title) -> str:
    """Return in a sentence how many items are new, and which came in or rose because of what."""
    before = {item.item: place for place, item in enumerate(reaction.before.items, 1)}
    new: list[tuple[int, int, str]] = []
    risen: list[tuple[int, int, str]] = []
    for place, item in enumerate(reaction.after.items, 1):
        past = [
            i for i in (reaction.clicked, *item.because) if i in item.because and i != item.item
        ]
        because = f" because of “{title(past[0])}”" if past else ""
        told = bool(past) + (reaction.clicked in past)
        was = before.get(item.item)
        if was is None:
            new.append((told, -place, f"“{title(item.item)}” came in at {place}{because}"))
        elif was > place and item.item != reaction.clicked:
            words = f"“{title(item.item)}” rose from {was} to {place}{because}"
            risen.append((told, was - place, words))
    count = f"{len(new) or 'none'} of the {len(reaction.after.items)} items"
    count += " are new" if len(new) > 1 else " is new"
    return "; ".join([count, *(max(moves)[2] for moves in (new, risen) if moves)]) + "."


def _list(published: PublishedList, title: Title, before: dict[str, int], head: str) -> Table:
    """Return the first rows; with places `before`, how far each has moved from there."""
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim", pad_edge=False, expand=True)
    table.add_column("", justify="right", no_wrap=True)
    table.add_column(head, ratio=3, no_wrap=True)
    if before:
        table.add_column("moved", no_wrap=True)
    table.add_column("because of", style="dim", ratio=4, no_wrap=True)
    for place, item in enumerate(published.items[:SHOWN], 1):
        moved = [_moved(place, before.get(item.item))] if before else []
        table.add_row(str(place), escape(title(item.item)), *moved, escape(_reason(item, title)))
    return table


def _moved(place: int, before: int | None) -> str:
    if before is None:
        return "[bold green]new[/]"
    if before == place:
        return "[dim]=[/]"
    return f"[green]▲ {before - place}[/]" if before > place else f"[red]▼ {place - before}[/]"


def _reason(item: ListItem, title: Title) -> str:
    """Return why an item is in a list, in words."""
    if item.because == [item.item]:
        return "taken before"
    if item.because:
        return " + ".join(title(past) for past in item.because)
    return "popular" if is_popular(item) else "all that was taken"
