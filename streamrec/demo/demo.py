"""`streamrec demo`: real shopping through Kafka, lists that change, and what one click does."""

import json
import os
import threading
import time
from collections.abc import Callable
from contextlib import closing
from importlib.util import find_spec
from pathlib import Path

import msgspec
from rich.console import Console

from streamrec.demo.play import Play
from streamrec.errors import ConfigurationError
from streamrec.files.event_table import EventTable
from streamrec.files.events import read_events
from streamrec.files.reading import Reading
from streamrec.local.machine import Local, ending_on_signals
from streamrec.settings.sections import Settings

DEFAULT_SECONDS = 120.0
PARTITIONS = 2


def run(
    settings: Settings,
    file: Path | None,
    reading: Reading,
    *,
    seconds: float = DEFAULT_SECONDS,
    keep: bool = False,
    json_file: Path | None = None,
) -> int:
    """Run the demonstration on a file or, without one, on the shopping log; return the exit status.

    130 when Ctrl-C cut it short.

    It takes about `seconds`, or until the events end, then sends its one click, and ends or, with
    `keep`, waits for Ctrl-C.
    """
    console = Console(highlight=False)
    started = process_start()
    local = Local(with_fast_client(settings))
    with ending_on_signals(), closing(local):
        finished = False
        try:
            with closing(_start(local, file, reading, console, started)) as play:
                play.replay_until(seconds)
                reaction = play.click()
                if json_file is not None:
                    json_file.write_text(json.dumps(play.result(reaction), indent=1) + "\n")
                finished = True
                if keep:
                    play.keep(reaction)
        except KeyboardInterrupt:
            console.print("\nstopping")
        return 0 if finished else 130


class Loading(threading.Thread):
    """Reads the events while the servers start."""

    def __init__(self, file: Path | None, reading: Reading, say: Callable[[str], None]) -> None:
        super().__init__(daemon=True)
        self._file = file
        self._reading = reading
        self._say = say
        self._table: EventTable | None = None
        self._failure: Exception | None = None
        self.start()

    def run(self) -> None:
        """Read the file, or the shopping log when none is given."""
        file = self._file
        try:
            if file is not None:
                self._table = read_events(file, self._reading, self._say)
            else:
                from streamrec.demo.shopping import read_shopping

                self._table = read_shopping()
            if not len(self._table):
                raise ConfigurationError(f"{file} has no events.")
            self._say(described(self._table))
        except Exception as error:  # raised again by result, in the main thread
            self._failure = error

    def check(self) -> None:
        """Raise the error that ended the reading, if one did."""
        if self._failure is not None:
            raise self._failure

    def result(self) -> EventTable:
        """Wait for the events and return them."""
        while self.is_alive():
            self.join(0.05)
        self.check()
        assert self._table is not None
        return self._table


def _start(
    local: Local, file: Path | None, reading: Reading, console: Console, started: float
) -> Play:
    """Start servers and processes; return the demonstration, ready to replay."""

    def say(text: str) -> None:
        console.print(f"[dim]{time.monotonic() - started:5.1f} s[/]  {text}")

    loading = Loading(file, reading, say)
    with console.status("starting Kafka and Redis"):
        local.start_servers(None, None, PARTITIONS)
        say(f"Kafka {local.settings.kafka.brokers} and Redis {local.settings.redis.url} (embedded)")
        loading.check()
    with console.status("starting learn and score; the first time they compile for a while"):
        local.start_roles(1, 1, while_waiting=loading.check)
        table = loading.result()
        say("learn and score are ready; the replay starts")
    return Play(local, table, console, started)


def described(table: EventTable) -> str:
    """Return the size of a table in words."""
    users, items = len(table.user_names), len(table.item_names)
    return f"{table.name}: {len(table):,} events of {users:,} {table.user_word}s, {items:,} items"


def with_fast_client(settings: Settings) -> Settings:
    """Return settings that ask for confluent-kafka where it is installed: it takes less CPU."""
    if find_spec("confluent_kafka") is None:
        return settings
    return msgspec.structs.replace(
        settings, kafka=msgspec.structs.replace(settings.kafka, client="confluent")
    )


def process_start() -> float:
    """Return when this process began, on the monotonic clock; now, where nothing says it."""
    try:
        fields = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
        since_boot = int(fields[19]) / os.sysconf("SC_CLK_TCK")
        return time.monotonic() - (time.clock_gettime(time.CLOCK_BOOTTIME) - since_boot)
    except (OSError, AttributeError, ValueError, IndexError):
        return time.monotonic()
