"""The progress of `streamrec replay`: a bar on a terminal, a line now and then elsewhere."""

import threading
import time
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TaskProgressColumn, TextColumn
from rich.progress import TimeRemainingColumn as Remaining

if TYPE_CHECKING:
    from streamrec.roles.replay import Replay

REFRESH_SECONDS = 0.2
PLAIN_SECONDS = 10.0
STALLED_SECONDS = 5.0
STOP_SECONDS = 10.0


class Sender(threading.Thread):
    """Runs a replay beside the screen; `check` raises what went wrong in it."""

    def __init__(self, replay: "Replay") -> None:
        super().__init__(daemon=True)
        self._replay = replay
        self._stopped = threading.Event()
        self._failure: BaseException | None = None

    def run(self) -> None:
        """Send until the end or until `stop`."""
        try:
            self._replay.run(self._stopped)
        except BaseException as error:  # raised again by check, in the main thread
            self._failure = error

    def check(self) -> None:
        """Raise the error that ended the replay, if one did."""
        if self._failure is not None:
            raise self._failure

    def stop(self) -> None:
        """Send no more, and wait (at most 10 s) until what was sent is acknowledged."""
        self._stopped.set()
        self.join(STOP_SECONDS)


def show_progress(replay: "Replay", wait: bool, console: Console | None = None) -> None:
    """Run the replay to its end, showing it; with `wait` until all of it has been learnt."""
    console = console or Console(stderr=True)
    start = time.monotonic()
    sender = Sender(replay)
    sender.start()
    screen = _Bar(console, replay) if console.is_terminal else _Lines(console, replay)
    try:
        while sender.is_alive() or (wait and replay.learnt < replay.sent):
            time.sleep(REFRESH_SECONDS)
            sender.check()
            if not sender.is_alive():
                replay.look(time.monotonic())
            screen.update()
    finally:
        screen.close()
        sender.stop()
        seconds = time.monotonic() - start
        console.print(
            f"{replay.sent:,} of {len(replay.table):,} events of {replay.table.name} sent in "
            f"{seconds:.1f} s ({replay.sent / seconds:,.0f} a second), {replay.learnt:,} learnt.",
            soft_wrap=True,
        )
    sender.check()


def state_of(replay: "Replay") -> str:
    """Return how the replay is doing, in a few words."""
    seconds = replay.stalled_seconds()
    if seconds > STALLED_SECONDS:
        return f"nothing learnt for {seconds:.0f} s: is `streamrec learn` running?"
    return f"{replay.learnt:,} learnt"


class _Bar:
    def __init__(self, console: Console, replay: "Replay") -> None:
        self._replay = replay
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TaskProgressColumn(show_speed=True),
            TextColumn("{task.completed:,.0f} sent, {task.fields[state]}"),
            Remaining(),
            console=console,
        )
        name, total = replay.table.name, len(replay.table)
        self._task: TaskID = self._progress.add_task(name, total=total, state="")
        self._progress.start()

    def update(self) -> None:
        self._progress.update(self._task, completed=self._replay.sent, state=state_of(self._replay))

    def close(self) -> None:
        self.update()
        self._progress.stop()


class _Lines:
    def __init__(self, console: Console, replay: "Replay") -> None:
        self._console, self._replay = console, replay
        self._shown_at = time.monotonic()

    def update(self) -> None:
        if time.monotonic() - self._shown_at >= PLAIN_SECONDS:
            self._shown_at = time.monotonic()
            sent, total = self._replay.sent, len(self._replay.table)
            text = f"{sent:,} of {total:,} sent, {state_of(self._replay)}"
            self._console.print(text, soft_wrap=True)

    def close(self) -> None:
        pass
