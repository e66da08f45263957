"""The progress of `streamrec replay`: a bar on a terminal, a line now and then elsewhere."""

import time

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TaskProgressColumn, TextColumn
from rich.progress import TimeRemainingColumn as Remaining

from streamrec.replay.replay import Replay, Sender, outcome, state_of

REFRESH_SECONDS = 0.2
PLAIN_SECONDS = 10.0


def show_progress(replay: Replay, wait: bool, console: Console | None = None) -> None:
    """Run the replay to its end, showing it; with `wait` until all of it has been learnt."""
    console = console or Console(stderr=True)
    start = time.monotonic()
    sender = Sender(replay)
    sender.start()
    screen = _Bar(console, replay) if console.is_terminal else _Lines(console, replay)
    try:
        while sender.is_alive() or (wait and replay.taken_in < replay.sent):
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
            f"{seconds:.1f} s ({replay.sent / seconds:,.0f} a second), {outcome(replay)}.",
            soft_wrap=True,
        )
    sender.check()


class _Bar:
    def __init__(self, console: Console, replay: Replay) -> None:
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
    def __init__(self, console: Console, replay: Replay) -> None:
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
