"""What the demonstration shows: a live table, or plain lines where there is no terminal."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from rich.console import Group, RenderableType
from rich.markup import escape
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from streamrec.demo.numbers import BLEND, POPULARITY, Span, best_popularity
from streamrec.files.event_table import EventTable
from streamrec.ranking.lists import ListItem, PublishedList
from streamrec.settings.sections import Settings

LEARNT = "streamrec_click_to_learnt_seconds"
LISTED = "streamrec_click_to_list_seconds"
BAR = 24
WATCHED_ITEMS = 5

Title = Callable[[str], str]


@dataclass
class View:
    """What is known at one moment."""

    table: EventTable
    elapsed: float
    state: str
    sent: int
    learnt: int
    clock: int  # epoch ms of the last event sent
    whole: Span
    recent: Span
    watched: PublishedList | None


def screen(view: View, settings: Settings) -> RenderableType:
    """Return the live table."""
    parts = [_head(view), Text(), _flow(view), Text(), _recall(view, settings)]
    if view.watched is not None:
        parts += [Text(), _watched(view.watched, view.table)]
    return Group(*parts)


def line(view: View) -> str:
    """Return the view as one plain line."""
    recall = view.whole.recall()
    parts = [
        f"{_clock(view.elapsed)} {view.state}",
        f"sent {view.sent:,} ({view.recent.per_second('sent'):,.0f}/s)",
        f"learnt {view.learnt:,}",
        f"lists {view.whole.grown('streamrec_lists_published_total'):,.0f}",
        f"click to learnt p50 {_ms(view, LEARNT, 0.5)} p99 {_ms(view, LEARNT, 0.99)}",
        f"click to list p50 {_ms(view, LISTED, 0.5)} p99 {_ms(view, LISTED, 0.99)}",
    ]
    if recall:
        best = best_popularity(recall)
        parts.append(
            f"recall@20 {100 * recall.get(BLEND, 0.0):.1f} % (popularity {100 * best:.1f} %)"
        )
    return ", ".join(parts)


def source_name(source: str, settings: Settings) -> str:
    """Return a source's name for people."""
    names = {BLEND: "all of them, blended", "similarity": "bought together", "factors": "factors"}
    if source.startswith(POPULARITY):
        place = ("short", "medium", "long").index(source.removeprefix(POPULARITY))
        return f"popular, half-life {_duration(settings.popularity.half_lives_seconds[place])}"
    return names.get(source, source)


def _head(view: View) -> RenderableType:
    when = datetime.fromtimestamp(view.clock / 1000, UTC).strftime("%d %b %Y %H:%M")
    head = Table.grid(padding=(0, 2))
    head.add_row(
        Text(_clock(view.elapsed), "bold"),
        ProgressBar(total=max(1, len(view.table)), completed=view.sent, width=30),
        f"{view.sent:,} of {len(view.table):,}",
        f"[cyan]{when}[/]",
        view.state,
    )
    return head


def _flow(view: View) -> RenderableType:
    table = _table()
    for name in ("", "a second", "in all", "freshness p50", "p99"):
        table.add_column(name, justify="left" if not name else "right", min_width=9)
    lists = "streamrec_lists_published_total"
    consumed = "streamrec_events_consumed_total"
    table.add_row("events in", f"{view.recent.per_second('sent'):,.0f}", f"{view.sent:,}", "", "")
    table.add_row(
        "events learnt",
        f"{view.recent.per_second(consumed):,.0f}",
        f"{view.learnt:,}",
        *(_ms(view, LEARNT, q) for q in (0.5, 0.99)),
    )
    table.add_row(
        "lists published",
        f"{view.recent.per_second(lists):,.0f}",
        f"{view.whole.grown(lists):,.0f}",
        *(_ms(view, LISTED, q) for q in (0.5, 0.99)),
    )
    return table


def _recall(view: View, settings: Settings) -> RenderableType:
    recall, recent = view.whole.recall(), view.recent.recall()
    if not recall:
        return Text("recall@20: no event has met a list yet", "dim")
    best, most = best_popularity(recall), max(recall.values())
    table = _table()
    for name in ("recall@20, live", "since start", "last 15 s", "against popularity", ""):
        table.add_column(name, justify="left" if name in ("recall@20, live", "") else "right")
    for source, value in recall.items():
        style = "bold green" if source == BLEND else ""
        table.add_row(
            Text(source_name(source, settings), style),
            Text(f"{100 * value:.2f} %", style),
            f"{100 * recent.get(source, math.nan):.2f} %" if source in recent else "",
            f"× {value / best:.2f}" if best > 0 else "",
            Text("█" * round(BAR * value / most) if most > 0 else "", style or "cyan"),
        )
    return table


def _watched(watched: PublishedList, events: EventTable) -> RenderableType:
    table = listing()
    who = f"{events.user_word} {escape(watched.user)}"
    table.add_column(f"being served to {who}", ratio=3, no_wrap=True)
    table.add_column("because of", style="dim", ratio=4, no_wrap=True)
    for item in watched.items[:WATCHED_ITEMS]:
        table.add_row(escape(events.title(item.item)), escape(reason(item, events.title)))
    return table


def listing() -> Table:
    """Return an empty table as wide as the screen, whose long texts are cut."""
    return Table(box=None, padding=(0, 2, 0, 0), header_style="dim", pad_edge=False, expand=True)


def reason(item: ListItem, title: Title) -> str:
    """Return why an item is in a list, in words."""
    if not item.because:
        return "popular" if item.source.startswith(POPULARITY) else item.source
    return " + ".join(title(past) for past in item.because)


def _table() -> Table:
    return Table(box=None, padding=(0, 2), header_style="dim", pad_edge=False)


def _ms(view: View, histogram: str, q: float) -> str:
    labels = {"stage": "item"} if histogram == LEARNT else {}
    seconds = view.recent.quantile(q, histogram, **labels)
    return "" if math.isnan(seconds) else f"{1000 * seconds:,.0f} ms"


def _clock(seconds: float) -> str:
    return f"{int(seconds) // 60:02d}:{int(seconds) % 60:02d}"


def _duration(seconds: float) -> str:
    for unit, length in (("d", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= length:
            return f"{seconds / length:g} {unit}"
    return f"{seconds:g} s"
