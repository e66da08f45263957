"""Progress of long work: a bar on a terminal, a line now and then elsewhere."""

import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

T = TypeVar("T")
BAR_SECONDS = 0.2
PLAIN_SECONDS = 10.0


def with_progress(
    each: Iterable[T], count: int | None, what: str, console: Console | None = None
) -> Iterator[T]:
    """Yield each, showing on standard error how many are done; `count`: of how many, if known."""
    screen = console or Console(stderr=True, highlight=False)
    every = BAR_SECONDS if screen.is_terminal else PLAIN_SECONDS
    started = shown = time.monotonic()
    columns = (BarColumn(), TextColumn("{task.description}"), TimeRemainingColumn())
    with Progress(*columns, console=screen, disable=not screen.is_terminal) as bar:
        task = bar.add_task("", total=count)
        for n, one in enumerate(each):
            now = time.monotonic()
            if now - shown >= every:
                shown = now
                words = _words(n, count, what, now - started)
                bar.update(task, completed=n, description=words)
                if not screen.is_terminal:
                    screen.print(words, soft_wrap=True)
            yield one


def _words(done: int, count: int | None, what: str, seconds: float) -> str:
    of = "" if count is None else f" of {count:,}"
    return f"{done:,}{of} {what}, {done / max(1e-9, seconds):,.0f} a second"
