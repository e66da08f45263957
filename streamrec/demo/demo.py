"""`streamrec demo`: real shopping through Kafka, lists that change, and what one click does."""

import json
from contextlib import closing
from importlib.util import find_spec
from pathlib import Path

from rich.console import Console

from streamrec.demo.play import Play
from streamrec.errors import ConfigurationError, RowsRefused
from streamrec.files.event_table import EventTable
from streamrec.files.events import read_events
from streamrec.files.reading import Reading
from streamrec.local.machine import Local, ending_on_signals
from streamrec.local.shell_lines import where_to_look
from streamrec.settings.sections import Settings
from streamrec.settings.types import changed

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
    """Run it on a file, or on the shopping log; return the exit status.

    130 where Ctrl-C cut it, 65 where events were refused that `reading` does not skip.

    Once the processes are ready it replays for about `seconds`, or until the events end, then sends
    its one click, and ends or, with `keep`, waits for Ctrl-C.
    """
    console = Console(highlight=False)
    local = Local(with_fast_client(settings))
    status = 130
    with ending_on_signals(), closing(local):
        try:
            with console.status("reading the events"):
                table = _read(file, reading, console)
            users, items = len(table.user_names), len(table.item_names)
            of = f"{len(table):,} events of {users:,} {table.user_word}s, {items:,} items"
            console.print(f"{table.name}: {of}", soft_wrap=True, markup=False)
            _start(local, console)
            with closing(Play(local, table, console)) as play:
                play.replay(seconds)
                reaction = play.click()
                if json_file is not None:
                    json_file.write_text(json.dumps(play.figures(reaction), indent=1) + "\n")
                status = RowsRefused.exit_code if play.refused and not reading.skip_refused else 0
                if keep:
                    play.keep(reaction)
        except KeyboardInterrupt:
            console.print("\nstopping")
    return status


def _read(file: Path | None, reading: Reading, console: Console) -> EventTable:
    if file is None:
        from streamrec.demo.shopping import read_shopping  # needs pyarrow

        return read_shopping()
    table = read_events(file, reading, lambda words: console.print(words, markup=False))
    if not len(table):
        raise ConfigurationError(f"{file} has no events.")
    return table


def _start(local: Local, console: Console) -> None:
    """Start the servers and the processes."""
    with console.status("starting Kafka and Redis"):
        local.start_servers(None, None, PARTITIONS)
    kafka, redis = local.settings.kafka.brokers, local.settings.redis.url
    console.print(f"Kafka {kafka} and Redis {redis} (embedded)", soft_wrap=True)
    with console.status("starting learn and score"):
        local.start_roles(1, 1, console.print, train=True)
        local.start_console()
    also = "train starts beside it" if "train" in local.ports else "no torch: nothing is trained"
    console.print(where_to_look(local.settings, local.page), soft_wrap=True, markup=False)
    console.print(f"learn and score are ready; the replay starts ({also})")


def with_fast_client(settings: Settings) -> Settings:
    """Return settings that ask for confluent-kafka where it is installed: it takes less CPU."""
    if find_spec("confluent_kafka") is None:
        return settings
    return changed(settings, kafka={"client": "confluent"})
