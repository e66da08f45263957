"""`streamrec demo`: real shopping through Kafka, lists that change, and what one click does."""

import json
import math
import os
import threading
import time
from contextlib import closing, nullcontext
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.live import Live

from streamrec.config import Settings
from streamrec.errors import ConfigurationError, StreamrecError
from streamrec.ranking.lists import PublishedList
from streamrec.roles.demo_numbers import Numbers, Snapshot, scrape
from streamrec.roles.demo_reaction import (
    PERSONAL,
    Reaction,
    choose_user,
    latest_items,
    react,
    read_lists,
    wait_until_quiet,
)
from streamrec.roles.demo_table import LISTED, View, line, screen
from streamrec.roles.demo_words import show_after, show_before
from streamrec.roles.event_files import read_events
from streamrec.roles.event_table import EventTable
from streamrec.roles.learnt import LearntEvents
from streamrec.roles.local import Local, ending_on_signals
from streamrec.roles.pace import KeepUpPace
from streamrec.roles.replay import TARGET_SECONDS, Replay
from streamrec.roles.replay_screen import Sender, state_of
from streamrec.roles.up import how_to
from streamrec.transport.log import Log
from streamrec.transport.open_log import open_log
from streamrec.transport.store import Store

DEFAULT_SECONDS = 120.0
REACTION_SECONDS = 3.0
LEAST_REPLAY_SECONDS = 5.0
WINDOW_SECONDS = 15.0
LOOK_SECONDS = 0.05
SCRAPE_SECONDS = 1.0
PLAIN_SECONDS = 5.0
PARTITIONS = 2
FIRST_USERS = 200


def run(
    settings: Settings,
    *,
    seconds: float | None = None,
    keep: bool = False,
    json_file: Path | None = None,
    events: Path | None = None,
    columns: dict[str, str] | None = None,
    default_type: str = "click",
) -> int:
    """Run the demonstration and return the exit status; 130 when Ctrl-C cut it short.

    It takes about `seconds` (120), 0 meaning until the file's end, then sends its one click, and
    ends or, with `keep`, waits for Ctrl-C. `events` is a file to replay instead of the shopping.
    """
    console = Console(highlight=False)
    started = process_start()
    local = Local(settings)
    with ending_on_signals(), closing(local):
        finished = False
        try:
            loading = Loading(events, columns, default_type)
            demo = _start(local, loading, console, started)
            with closing(demo):
                demo.replay_until(DEFAULT_SECONDS if seconds is None else seconds or math.inf)
                reaction = demo.click()
                if json_file is not None:
                    json_file.write_text(json.dumps(demo.result(reaction), indent=1) + "\n")
                finished = True
                if keep:
                    demo.keep(reaction)
        except KeyboardInterrupt:
            console.print("\nstopping")
        return 0 if finished else 130


class Loading(threading.Thread):
    """Reads the events while the servers start."""

    def __init__(
        self, file: Path | None, columns: dict[str, str] | None, default_type: str
    ) -> None:
        super().__init__(daemon=True)
        self._arguments = file, columns, default_type
        self._table: EventTable | None = None
        self._failure: Exception | None = None
        self.start()

    def run(self) -> None:
        """Read the file, or the shopping log when none is given."""
        file, columns, default_type = self._arguments
        try:
            if file is not None:
                self._table = read_events(file, columns, default_type)
            else:
                from streamrec.roles.parquet_files import read_shopping

                self._table = read_shopping()
            if not len(self._table):
                raise ConfigurationError(f"{file} has no events.")
        except Exception as error:  # raised again by result, in the main thread
            self._failure = error

    def check(self) -> None:
        """Raise the error that ended the reading, if one did."""
        if self._failure is not None:
            raise self._failure

    def result(self) -> EventTable:
        """Wait for the events and return them."""
        while self.is_alive():
            self.join(LOOK_SECONDS)
        self.check()
        assert self._table is not None
        return self._table


def _start(local: Local, loading: Loading, console: Console, started: float) -> "Demo":
    """Start servers and processes; return the demonstration, ready to replay."""

    def say(text: str) -> None:
        console.print(f"[dim]{time.monotonic() - started:5.1f} s[/]  {text}")

    with console.status("starting Kafka and Redis") if console.is_terminal else nullcontext():
        local.start_servers(None, None, PARTITIONS)
        say(f"Kafka {local.settings.kafka.brokers} and Redis {local.settings.redis.url} (embedded)")
        loading.check()
    with console.status("starting learn and score; the first time they compile for a while"):
        local.start_roles(learn=1, score=1)
        table = loading.result()
        users = f"{len(table.user_names):,} {table.user_word}s"
        say(f"{table.name}: {len(table):,} events of {users}, {len(table.item_names):,} items")
        local.wait_until_ready()
        say("learn and score are ready; the replay starts")
    return Demo(local, table, console, started)


class Demo:
    """The replay, what is known of it, and the click at its end."""

    def __init__(self, local: Local, table: EventTable, console: Console, started: float) -> None:
        self._local, self._table, self._console = local, table, console
        self._started = started
        self._store = Store(local.settings.redis)
        self._log: Log = open_log(local.settings.kafka)
        self._learnt = LearntEvents(local.settings.redis)
        kafka = local.settings.kafka
        pace = KeepUpPace(TARGET_SECONDS)
        self._replay = Replay(table, open_log(kafka), kafka, pace, self._learnt)
        self._sender = Sender(self._replay)
        self._numbers = Numbers(WINDOW_SECONDS)
        self._replay_started = self._replay_ended = time.monotonic()
        self.first_list_seconds: float | None = None

    def replay_until(self, seconds: float) -> None:
        """Replay and show it until `seconds` after the program's start, or the file's end."""
        self._look()
        self._replay_started = time.monotonic()
        self._sender.start()
        if self._console.is_terminal:
            with Live(console=self._console, refresh_per_second=4, transient=False) as live:
                self._watch(seconds, lambda: live.update(self._screen()))
        else:
            self._watch(seconds, lambda: self._console.print(line(self._view()), soft_wrap=True))

    def click(self) -> Reaction:
        """Let the backlog drain, then show one user's list before and after a click."""
        settings, console, sent = self._local.settings, self._console, self._replay.sent
        if not wait_until_quiet(self._learnt, sent):
            console.print("[yellow]Some events are still on their way; the click waits behind them.[/]")
        self._replay_ended = time.monotonic()
        self._local.check()
        user, before = choose_user(self._table, sent, self._store)
        show_before(console, self._table, user, latest_items(self._table, sent, user), before)
        self._log.partitions(settings.kafka.events_topic)  # connect before the watch runs
        reaction = react(settings, user, before, self._click_time(1), self._log, self._store)
        show_after(console, self._table, reaction)
        return reaction
