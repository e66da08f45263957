"""The progress of `streamrec replay`: a bar on a terminal, a line now and then elsewhere."""

import time

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from streamrec.replay.replay import Replay, ReplayThread, outcome, state_of

REFRESH_SECONDS = 0.2
PLAIN_SECONDS = 10.0


def show_progress(replay: Replay, wait: bool) -> None:
    """Run the replay to its end, showing it; with `wait` until all of it has been learnt."""
    console = Console(stderr=True)
    name, total = replay.table.name, len(replay.table)
    start = shown = time.monotonic()
    thread = ReplayThread(replay)
    thread.start()
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(show_speed=True),
        TextColumn("{task.completed:,.0f} sent, {task.fields[state]}"),
        TimeRemainingColumn(),
        console=console,
        disable=not console.is_terminal,
    )
    task = bar.add_task(name, total=total, state="")
    try:
        with bar:
            while thread.is_alive() or (wait and replay.taken_in < replay.sent):
                time.sleep(REFRESH_SECONDS)
                thread.check()
                if not thread.is_alive():
                    replay.look(time.monotonic())
                bar.update(task, completed=replay.sent, state=state_of(replay))
                if not console.is_terminal and time.monotonic() - shown >= PLAIN_SECONDS:
                    shown = time.monotonic()
                    text = f"{replay.sent:,} of {total:,} sent, {state_of(replay)}"
                    console.print(text, soft_wrap=True)
            bar.update(task, completed=replay.sent, state=state_of(replay))
    finally:
        thread.stop()
        seconds = time.monotonic() - start
        console.print(
            f"{replay.sent:,} of {total:,} events of {name} sent in {seconds:.1f} s "
            f"({replay.sent / seconds:,.0f} a second), {outcome(replay)}.",
            soft_wrap=True,
        )
    thread.check()
