"""The play of the demonstration: the replay with its live table, and the click at its end."""

import math
import time
from collections.abc import Callable
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.markup import escape

from streamrec.demo.numbers import Numbers, Sample, Snapshot, scrape
from streamrec.demo.reaction import (
    PERSONAL,
    Reaction,
    choose_user,
    latest_items,
    react,
    read_lists,
    wait_until_quiet,
)
from streamrec.demo.table import LISTED, View, line, screen
from streamrec.demo.words import show_after, show_before
from streamrec.files.event_table import EventTable
from streamrec.local.machine import Local
from streamrec.local.shell_lines import how_to
from streamrec.ranking.lists import PublishedList
from streamrec.replay.pace import KeepUpPace
from streamrec.replay.progress import LearntEvents
from streamrec.replay.replay import TARGET_SECONDS, Replay, Sender, state_of
from streamrec.transport.kafka_log import Log
from streamrec.transport.open_kafka import open_kafka
from streamrec.transport.redis_store import Store

REACTION_SECONDS = 3.0
LEAST_REPLAY_SECONDS = 5.0
WINDOW_SECONDS = 15.0
LOOK_SECONDS = 0.05
REFRESH_SECONDS = 0.25
SCRAPE_SECONDS = 1.0
PLAIN_SECONDS = 5.0
WATCHED_SECONDS = 3.0
FIRST_EVENTS = 2000
FIRST_LIST_SECONDS = 60.0


class Play:
    """The replay, what is known of it, and the click at its end."""

    def __init__(self, local: Local, table: EventTable, console: Console, started: float) -> None:
        self._local, self._table, self._console = local, table, console
        self._started = started
        self._store = Store(local.settings.redis)
        # of the replay, and after it of the click
        self._log: Log = open_kafka(local.settings.kafka)
        self._learnt = LearntEvents(local.settings.redis)
        kafka = local.settings.kafka
        pace = KeepUpPace(TARGET_SECONDS)
        self._replay = Replay(table, self._log, kafka, pace, self._learnt)
        self._sender = Sender(self._replay)
        self._numbers = Numbers(WINDOW_SECONDS)
        self._replay_started = self._replay_ended = time.monotonic()
        self._watched_user = ""
        self._watched_since = 0.0
        self.first_list_seconds: float | None = None

    def replay_until(self, seconds: float) -> None:
        """Replay and show it until `seconds` after the program's start, or the file's end."""
        self._look()
        self._replay_started = time.monotonic()
        self._sender.start()
        if self._console.is_terminal:
            with Live(console=self._console, refresh_per_second=4, transient=False) as live:
                settings = self._local.settings
                show = lambda: live.update(screen(self._view(), settings))  # noqa: E731
                self._watch(seconds, show, REFRESH_SECONDS)
        else:
            self._watch(seconds, self._print_line, PLAIN_SECONDS)

    def click(self) -> Reaction:
        """Let the backlog drain, then show one user's list before and after a click."""
        settings, console, sent = self._local.settings, self._console, self._replay.sent
        if not wait_until_quiet(self._learnt, sent):
            console.print(
                "[yellow]Some events are still on their way; the click waits behind them.[/]"
            )
        self._replay_ended = time.monotonic()
        self._replay.look(self._replay_ended)
        self._look()
        self._local.check()
        if self.first_list_seconds is None:
            self._find_first_list()
        user, before = choose_user(self._table, sent, self._store)
        show_before(console, self._table, user, latest_items(self._table, sent, user), before)
        reaction = react(settings, user, before, self._click_time(1), self._log, self._store)
        show_after(console, self._table, reaction)
        return reaction

    def result(self, reaction: Reaction) -> dict[str, Any]:
        """Return what --json writes."""
        whole = self._numbers.whole
        seconds = self._replay_ended - self._replay_started
        learnt = self._replay.learnt
        return {
            "first_personal_list_seconds": _rounded(self.first_list_seconds, 2),
            "events": learnt,
            "events_per_second": _rounded(learnt / seconds, 1),
            "freshness_ms": {
                f"p{100 * q:.0f}": _rounded(1000 * whole.quantile(q, LISTED), 1)
                for q in (0.5, 0.99)
            },
            "recall@20": {source: _rounded(r, 5) for source, r in whole.recall().items()},
            "reaction": {
                "user": reaction.user,
                "clicked": reaction.clicked,
                "before": [item.item for item in reaction.before.items],
                "after": [item.item for item in reaction.after.items],
                "milliseconds": _rounded(reaction.milliseconds, 1),
            },
        }

    def keep(self, reaction: Reaction) -> None:
        """Print how to produce events and read lists, and stay until Ctrl-C."""
        self._console.print("\n[bold]Everything is still running[/]; Ctrl-C ends it.")
        item, ts = reaction.after.items[0].item, self._click_time(2)
        lines = how_to(self._local.settings, reaction.user, item, ts)
        self._console.print(lines, soft_wrap=True, markup=False)
        if ts < (time.time() - 86_400) * 1000:
            self._console.print(
                "The events are old, so a new one has a time just after them: to a click of today, "
                "all that was learnt would be long ago and forgotten.",
                style="dim",
            )
        while True:
            self._local.check()
            time.sleep(0.5)

    def close(self) -> None:
        """Stop the replay and close the connections."""
        if self._sender.is_alive():
            self._sender.stop()
        self._log.close()
        self._learnt.close()
        self._store.close()

    def _watch(self, seconds: float, show: Callable[[], None], every: float) -> None:
        """Replay until the time has come, showing it every `every` seconds."""
        scraped = shown = 0.0
        while self._sender.is_alive() and not self._is_over(seconds):
            time.sleep(LOOK_SECONDS)
            now = time.monotonic()
            if self.first_list_seconds is None:
                self._find_first_list()
            if now - scraped >= SCRAPE_SECONDS:
                scraped = now
                self._look()
                self._local.check()
            if now - shown >= every:
                shown = now
                show()
        self._sender.stop()
        self._sender.check()
        show()

    def _is_over(self, seconds: float) -> bool:
        """Whether it is time for the click: not before a first list and some seconds of replay."""
        now = time.monotonic()
        least = self._replay_started + LEAST_REPLAY_SECONDS
        if now < least or (self.first_list_seconds is None and now < least + FIRST_LIST_SECONDS):
            return False
        return now - self._started > seconds - REACTION_SECONDS

    def _look(self) -> None:
        """Take a snapshot of the children's metrics, and of ours; skip it when one is busy."""
        now = time.monotonic()
        snapshot = scrape(self._local.metrics_addresses(), now)
        if snapshot is not None:
            ours: dict[Sample, float] = {("sent", ()): float(self._replay.sent)}
            self._numbers.add(Snapshot(now, {**snapshot.samples, **ours}))

    def _find_first_list(self) -> None:
        codes = dict.fromkeys(self._table.users[: min(self._replay.sent, FIRST_EVENTS)].tolist())
        users = [self._table.user_names[code] for code in codes]
        for published in read_lists(self._store, users):
            if published and any(item.source in PERSONAL for item in published.items):
                seconds = self.first_list_seconds = time.monotonic() - self._started
                who = f"{self._table.user_word} {escape(published.user)}"
                self._console.print(f"[dim]{seconds:5.1f} s[/]  first personal list, of {who}")
                return

    def _print_line(self) -> None:
        self._console.print(line(self._view()), soft_wrap=True)

    def _view(self) -> View:
        replay = self._replay
        return View(
            self._table,
            time.monotonic() - self._started,
            state_of(replay),
            replay.sent,
            replay.learnt,
            replay.clock,
            self._numbers.whole,
            self._numbers.recent,
            self._watched(),
        )

    def _watched(self) -> PublishedList | None:
        """Return somebody's list: for some seconds that of whoever was sent last."""
        now = time.monotonic()
        if self._replay.sent and now - self._watched_since >= WATCHED_SECONDS:
            self._watched_since = now
            code = int(self._table.users[self._replay.sent - 1])
            self._watched_user = self._table.user_names[code]
        return read_lists(self._store, [self._watched_user])[0]

    def _click_time(self, minutes: int) -> int:
        return self._replay.clock + minutes * 60_000


def _rounded(value: float | None, digits: int) -> float | None:
    return None if value is None or not math.isfinite(value) else round(value, digits)
