"""Ctrl-C that lets a command finish what it says."""

import signal
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

T = TypeVar("T")


@contextmanager
def first_interrupt_noted() -> Iterator[Callable[[], bool]]:
    """Yield what tells whether Ctrl-C was pressed; the second one ends the command at once."""
    pressed = False

    def note(*signal_and_frame: Any) -> None:
        nonlocal pressed
        if pressed:
            raise KeyboardInterrupt
        pressed = True

    before = signal.signal(signal.SIGINT, note)
    try:
        yield lambda: pressed
    finally:
        signal.signal(signal.SIGINT, before)


def until(each: Iterable[T], stopped: Callable[[], bool]) -> Iterator[T]:
    """Yield each until `stopped`."""
    for one in each:
        if stopped():
            return
        yield one
