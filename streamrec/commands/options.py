"""What the commands share: the options before the command, and how a command ends."""

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer
from typer.core import TyperGroup

from streamrec.errors import ConfigurationError, StreamrecError

if TYPE_CHECKING:
    from streamrec.settings.sections import Settings


_COLUMNS = "The file's names of user, item, type, ts, value, session, segment: user=customer"
Columns = Annotated[str, typer.Option(metavar="FIELD=COLUMN,...", help=_COLUMNS)]
DefaultType = Annotated[
    str, typer.Option("--as", metavar="TYPE", help="Type of events that have none.")
]
"""Options of the commands that read a file of events."""


class Commands(TyperGroup):
    """Turns streamrec's own errors into one line and their exit code."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command."""
        try:
            return super().invoke(ctx)
        except StreamrecError as error:
            typer.echo(f"streamrec: {error}", err=True)
            raise typer.Exit(error.exit_code) from None
        except KeyboardInterrupt:
            raise typer.Exit(130) from None
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

    def load(
        self, *, logs: bool = False, flags: Mapping[str, str] | None = None
    ) -> "tuple[Settings, frozenset[str]]":
        """Return the settings and which of them were given; `logs`: show all, not only errors.

        `flags` are a command's own, which win.
        """
        from streamrec.monitoring.log_lines import set_up_logs
        from streamrec.settings.load import load_given

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
        return settings, given


def settings_of(ctx: typer.Context, *, logs: bool = False) -> "Settings":
    """Return the settings that the command runs under."""
    options: Options = ctx.obj
    return options.load(logs=logs)[0]


def end(code: int) -> NoReturn:
    """End the command with its role's exit code."""
    raise typer.Exit(code)
