"""Progress: a bar on a terminal, lines elsewhere."""

import io
from collections.abc import Iterator

import pytest
from rich.console import Console

from streamrec.commands import progress
from streamrec.commands.progress import with_progress


@pytest.fixture(autouse=True)
def seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let 4 s pass between two looks at the clock."""
    clock: Iterator[float] = iter(range(0, 4000, 4))
    monkeypatch.setattr(progress.time, "monotonic", lambda: float(next(clock)))


def said(count: int | None, *, terminal: bool) -> str:
    out = io.StringIO()
    console = Console(file=out, force_terminal=terminal, width=100, highlight=False)
    assert list(with_progress(iter(range(7)), count, "events", console)) == list(range(7))
    return out.getvalue()


def test_without_a_terminal_there_is_a_line_every_ten_seconds() -> None:
    assert said(1200, terminal=False).splitlines() == [
        "2 of 1,200 events, 0 a second",
        "5 of 1,200 events, 0 a second",
    ]
    assert said(None, terminal=False).splitlines()[0] == "2 events, 0 a second"


def test_on_a_terminal_there_is_a_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    monkeypatch.setattr(progress, "BAR_SECONDS", 0.0)
    shown = said(7, terminal=True)
    assert "6 of 7 events" in shown and "\x1b[" in shown
