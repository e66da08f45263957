"""What the commands share: the options before the command, and how a command ends."""

import logging
import os
import sys
import time
from collections.abc import Callable, Mapping
from inspect import Signature, signature
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer
from rich.console import Console
from typer.core import TyperGroup

from streamrec.errors import ConfigurationError, StreamrecError

if TYPE_CHECKING:
    from streamrec.events.event import Item
    from streamrec.files.reading import Fields, Reading
    from streamrec.settings.mappings import FieldMapping, ItemMapping
    from streamrec.settings.sections import Settings


logger = logging.getLogger("streamrec")
_COLUMNS = "The file's names of user, item, type, ts, value, session, segment: user=customer"
_ITEM_COLUMNS = "The same of item, title, categories, text, available, attributes."
Columns = Annotated[str, typer.Option(metavar="FIELD=COLUMN,...", help=_COLUMNS)]
ItemColumns = Annotated[str, typer.Option(metavar="FIELD=COLUMN,...", help=_ITEM_COLUMNS)]
DefaultType = Annotated[
    str,
    typer.Option(
        "--as", metavar="TYPE", help="Of events without (else events.default_type, click)."
    ),
]
Separator = Annotated[str, typer.Option(help="Between columns (default: found: , ; tab | ::).")]
NoHeader = Annotated[bool, typer.Option("--no-header", help="Columns are called 1, 2, 3.")]
TimeFormat = Annotated[str, typer.Option(help="s, ms, us, ns, or as %d-%m-%Y.")]
TimeZone = Annotated[str, typer.Option(help="Of times without one, as Europe/Berlin.")]
TypesMap = Annotated[str, typer.Option(metavar="OLD=NEW,...", help="Types: 0=impression,1=click")]
MinValue = Annotated[float | None, typer.Option(help="Leave out events of a lower value.")]
MaxRefused = Annotated[str, typer.Option(metavar="N|P%", help="Stop when more rows are refused.")]
SkipRefused = Annotated[
    bool, typer.Option("--skip-refused", help="Leave out refused rows, however many.")
]
EventsFile = Annotated[Path, typer.Argument(help="CSV, JSON lines or Parquet.")]
ItemsFile = Annotated[
    Path | None, typer.Option(metavar="FILE", help="Item ids, titles, categories, texts.")
]
Neural = Annotated[
    str, typer.Option(help="on or off: the neural ranker (default: on where torch is).")
]
"""Options of the commands that read files."""


EXIT_REFUSED = 65
"""Of commands that send events, when some were refused."""
EXIT_INTERRUPTED = 130
"""Ended by Ctrl-C."""


class Commands(TyperGroup):
    """Turns streamrec's own errors into one line and their exit code."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command."""
        try:
            return super().invoke(ctx)
        except StreamrecError as error:
            if getattr(ctx.obj, "logs", False):
                logger.error(str(error), extra={"exit_code": error.exit_code})
            else:
                typer.echo(f"streamrec: {error}", err=True)
            raise typer.Exit(error.exit_code) from None
        except KeyboardInterrupt:
            raise typer.Exit(EXIT_INTERRUPTED) from None
        except BrokenPipeError:  # the reader of our output went away, as `| head` does
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise typer.Exit(0) from None


class Options:
    """The options before the command, not read until a command asks for the settings."""

    def __init__(
        self, config: Path | None, assignments: list[str], kafka: str | None, redis: str | None
    ) -> None:
        self._config = config
        self._assignments = assignments
        self._short = {"kafka.brokers": kafka, "redis.url": redis}
        self.logs = False  # whether the command logs what it does: then also why it ended

    def load(
        self, *, logs: bool = False, flags: Mapping[str, str] | None = None
    ) -> "tuple[Settings, frozenset[str]]":
        """Return the settings and which of them were given; `logs`: show all, not only errors.

        `flags` are a command's own, which win. An encoder left to `auto` is named.
        """
        from streamrec.monitoring.log_lines import set_up_logs
        from streamrec.settings.load import load_given
        from streamrec.settings.text import resolved

        own = dict(flags or {})
        given_flags: dict[str, str] = {}
        for assignment in self._assignments:
            name, equals, value = assignment.partition("=")
            if not equals:
                raise ConfigurationError(f"--set {assignment}: expected section.key=value")
            given_flags[name.strip()] = value.strip()
        short = {name: value for name, value in self._short.items() if value is not None}
        settings, given = load_given(self._config, os.environ, {**given_flags, **short, **own})
        set_up_logs(settings.logging, quiet=not logs)
        self.logs = logs
        return resolved(settings), given


def settings_of(ctx: typer.Context, *, logs: bool = False) -> "Settings":
    """Return the settings that the command runs under."""
    options: Options = ctx.obj
    return options.load(logs=logs)[0]


def reading_of(
    mapping: "FieldMapping | ItemMapping",
    columns: Columns = "",
    default_type: DefaultType = "",
    separator: Separator = "",
    no_header: NoHeader = False,
    time_format: TimeFormat = "",
    time_zone: TimeZone = "UTC",
    types_map: TypesMap = "",
    min_value: MinValue = None,
    max_refused: MaxRefused = "0",
    skip_refused: SkipRefused = False,
) -> "Reading":
    """Return how a file of events or of items is to be read; `columns` win over `mapping`."""
    from streamrec.files import reading
    from streamrec.settings.mappings import FieldMapping

    of_events = isinstance(mapping, FieldMapping)
    fields: Fields = reading.EVENT_FIELDS if of_events else reading.ITEM_FIELDS
    paths = {ours: getattr(mapping, ours, ours) for ours in fields}
    given = reading.parse_columns(columns, fields, "--columns" if of_events else "--item-columns")
    most, share = reading.parse_refused(max_refused)
    return reading.Reading(
        columns=given,
        mapping={ours: path for ours, path in paths.items() if path != ours},
        default_type=default_type or "click",
        separator={"tab": "\t", "\\t": "\t"}.get(separator, separator),
        header=not no_header,
        time=reading.parse_time(time_format, time_zone),
        types=reading.parse_pairs(types_map, "--types-map", "OLD=NEW, e.g. 0=impression"),
        min_value=min_value,
        max_refused=most,
        max_refused_share=share,
        skip_refused=skip_refused,
    )


def items_of(
    settings: "Settings", file: Path | None, item_columns: str, events: "Reading"
) -> "dict[str, Item]":
    """Return the items of a file, if there is one, with as many rows refused as of the events."""
    from streamrec.files.items import read_items

    reading = reading_of(settings.items.mapping, item_columns).allowing_as(events)
    return read_items(file, reading, say) if file else {}


def reads_events(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options of `reading_of`, and what it returns as argument `reading`."""
    asked = list(signature(reading_of).parameters.values())[1:]
    own = [one for one in signature(command).parameters.values() if one.name != "reading"]

    def run(ctx: typer.Context, **given: Any) -> None:
        options = {one.name: given.pop(one.name) for one in asked}
        from streamrec.files.law import law_of

        events = settings_of(ctx).events
        options["default_type"] = options["default_type"] or events.default_type
        reading = reading_of(events.mapping, **options)
        law = law_of(events, time.time_ns() // 1_000_000)
        command(ctx, reading=reading._replace(law=law), **given)

    run.__name__, run.__doc__ = command.__name__, command.__doc__
    run.__annotations__ = {one.name: one.annotation for one in (*own, *asked)}
    run.__signature__ = Signature([*own, *asked])  # type: ignore[attr-defined]
    return run


def check_writable(file: Path) -> None:
    """Raise ConfigurationError where a file cannot be written, before there is work to lose."""
    if not file.parent.is_dir():
        raise ConfigurationError(f"Cannot write {file}: there is no folder {file.parent}.")
    if file.is_dir():
        raise ConfigurationError(f"Cannot write {file}: it is a folder.")
    if not os.access(file if file.exists() else file.parent, os.W_OK):
        raise ConfigurationError(f"Cannot write {file}: permission denied.")


def say(words: str) -> None:
    """Print beside the result, on standard error."""
    typer.echo(words, err=True)


def screen(width: int, *, highlight: bool = False) -> Console:
    """Return a console at least so wide: a cell that is cut is worse than a wrapped line."""
    console = Console(highlight=highlight)
    console.width = max(console.width, width)
    return console


def end(code: int) -> NoReturn:
    """End the command with its role's exit code."""
    raise typer.Exit(code)
