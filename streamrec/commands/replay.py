"""`streamrec replay`: a file's events go to Kafka in time order, no faster than they are learnt."""

from pathlib import Path

from streamrec.commands.options import say
from streamrec.errors import ConfigurationError
from streamrec.files.event_table import EventTable
from streamrec.files.events import read_events
from streamrec.files.reading import Reading
from streamrec.replay.pace import EventTimePace, KeepUpPace, Pace, SteadyPace
from streamrec.replay.progress import LearntEvents
from streamrec.replay.replay import TARGET_SECONDS, Replay
from streamrec.replay.screen import show_progress
from streamrec.settings.sections import Settings
from streamrec.transport.open_log import open_log


def run(
    settings: Settings,
    file: Path,
    reading: Reading,
    *,
    speed: float | None = None,
    time_factor: float | None = None,
    ids: bool = False,
) -> int:
    """Replay a file and return the exit status."""
    table = read_events(file, reading, say)
    if not len(table):
        raise ConfigurationError(f"{file} has no events.")
    pace = choose_pace(table, speed, time_factor)
    learnt = LearntEvents(settings.redis)
    log = open_log(settings.kafka)
    replay = Replay(table, log, settings.kafka, pace, learnt, ids)
    try:
        show_progress(replay, wait=isinstance(pace, KeepUpPace))
    finally:
        log.close()
        learnt.close()
    return 0


def choose_pace(table: EventTable, speed: float | None, time_factor: float | None) -> Pace:
    """Return the pace that the options ask for: by default, what the learners keep up with."""
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
