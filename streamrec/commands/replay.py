"""`streamrec replay`: a file's events go to Kafka in time order, no faster than they are learnt."""

from contextlib import closing
from typing import TYPE_CHECKING, Annotated

import typer

from streamrec.commands.options import EXIT_REFUSED, EventsFile, end, reads_events, say, settings_of
from streamrec.errors import ConfigurationError

if TYPE_CHECKING:
    from streamrec.files.event_table import EventTable
    from streamrec.files.reading import Reading
    from streamrec.replay.pace import Pace


@reads_events
def replay(
    ctx: typer.Context,
    reading: "Reading",
    file: EventsFile,
    speed: Annotated[
        float | None, typer.Option(help="Events a second, whether they are learnt or not.")
    ] = None,
    time_factor: Annotated[
        float | None, typer.Option(help="Times the speed at which the events happened.")
    ] = None,
    ids: Annotated[
        bool, typer.Option("--ids", help="Give ids, so that a second replay is dropped.")
    ] = False,
) -> None:
    """Send a file's events to Kafka in time order, no faster than they are learnt.

    Ends with 65 if any was refused, unless --skip-refused is given.
    """
    settings = settings_of(ctx)
    from streamrec.files.events import read_events
    from streamrec.replay.pace import KeepUpPace
    from streamrec.replay.progress import LearntEvents
    from streamrec.replay.replay import Replay
    from streamrec.replay.screen import show_progress
    from streamrec.transport.kafka.open_log import open_for_command

    table = read_events(file, reading, say)
    if not len(table):
        raise ConfigurationError(f"{file} has no events.")
    pace = _pace(table, speed, time_factor)
    with (
        closing(LearntEvents(settings.redis)) as learnt,
        closing(open_for_command(settings.kafka)) as log,
    ):
        sending = Replay(table, log, settings.kafka, pace, learnt, ids)
        show_progress(sending, wait=isinstance(pace, KeepUpPace))
    if sending.refused and not reading.skip_refused:
        end(EXIT_REFUSED)


def _pace(table: "EventTable", speed: float | None, time_factor: float | None) -> "Pace":
    """Return the pace that the options ask for: by default, what the learners keep up with."""
    from streamrec.replay.pace import EventTimePace, KeepUpPace, SteadyPace
    from streamrec.replay.replay import TARGET_SECONDS

    if speed is not None and time_factor is not None:
        raise ConfigurationError("--speed and --time-factor exclude each other.")
    for option, value in (("--speed", speed), ("--time-factor", time_factor)):
        if value is not None and not value > 0:
            raise ConfigurationError(f"{option} must be above 0.")
    if speed is not None:
        return SteadyPace(speed)
    if time_factor is not None:
        return EventTimePace(table.ts, time_factor)
    return KeepUpPace(TARGET_SECONDS)
