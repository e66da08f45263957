"""`streamrec replay`: a file's events go to Kafka in time order, no faster than they are learnt."""

import threading
import time
from pathlib import Path

import msgspec

from streamrec.config import KafkaSettings, Settings
from streamrec.errors import ConfigurationError
from streamrec.roles.event_files import read_events
from streamrec.roles.event_table import EventEncoder, EventTable
from streamrec.roles.learnt import LearntEvents
from streamrec.roles.pace import EventTimePace, KeepUpPace, Pace, SteadyPace
from streamrec.roles.replay_screen import show_progress
from streamrec.transport.log import Log
from streamrec.transport.open_log import open_log

TARGET_SECONDS = 0.3
"""How long an event may wait to be learnt before the replay slows down."""
CHUNK = 500
LOOK_SECONDS = 0.05
FLUSH_SECONDS = 1.0


class Replay:
    """Sends a table's events, keyed by user, and an item's metadata before its first event."""

    def __init__(
        self,
        table: EventTable,
        log: Log,
        settings: KafkaSettings,
        pace: Pace,
        learnt: LearntEvents | None = None,
        ids: bool = False,
    ) -> None:
        self.table = table
        self.sent = 0
        self.learnt = 0
        self._log = log
        self._settings = settings
        self._pace = pace
        self._progress = learnt
        self._encoder = EventEncoder(table, ids)
        self._described: set[int] = set()
        self._looked_at = 0.0

    def run(self, stop: threading.Event) -> None:
        """Send until the table ends or `stop` is set; all that was sent is acknowledged then.

        Raises DeliveryFailed at most a second after Kafka failed to acknowledge an event.
        """
        flushed_at = time.monotonic()
        while self.sent < len(self.table) and not stop.is_set():
            now = time.monotonic()
            self.look(now)
            if now - flushed_at >= FLUSH_SECONDS:
                flushed_at = now
                self._log.flush()
            room = min(self._pace.allowed(now, self.sent), CHUNK, len(self.table) - self.sent)
            if room > 0:
                self._send(room)
            else:
                stop.wait(0.002)
        self._log.flush()

    def look(self, now: float) -> None:
        """Find out how many of the sent events have been learnt, at most 20 times a second."""
        if self._progress is not None and now - self._looked_at >= LOOK_SECONDS:
            self._looked_at = now
            self.learnt = min(self.sent, self._progress.count())
            if isinstance(self._pace, KeepUpPace):
                self._pace.observe(now, self.learnt)

    def stalled_seconds(self) -> float:
        """Return for how long nothing was learnt although events are on their way."""
        if not isinstance(self._pace, KeepUpPace):
            return 0.0
        return self._pace.stalled_seconds(time.monotonic(), self.sent)

    @property
    def clock(self) -> int:
        """The time of the last event sent, in epoch milliseconds."""
        return int(self.table.ts[max(0, self.sent - 1)]) if len(self.table) else 0

    def _send(self, count: int) -> None:
        stop = self.sent + count
        for item in self.table.items[self.sent : stop].tolist():
            if item not in self._described:
                self._describe(item)
        for key, value in self._encoder.messages(self.sent, stop):
            self._log.produce(self._settings.events_topic, value, key=key)
        self.sent = stop

    def _describe(self, item: int) -> None:
        self._described.add(item)
        name = self.table.item_names[item]
        metadata = self.table.catalogue.get(name)
        if metadata is not None:
            value = msgspec.json.encode(metadata)
            self._log.produce(self._settings.items_topic, value, key=name.encode())


def run(
    settings: Settings,
    file: Path,
    *,
    columns: dict[str, str] | None = None,
    default_type: str = "click",
    speed: float | None = None,
    time_factor: float | None = None,
    ids: bool = False,
) -> int:
    """Replay a file and return the exit status."""
    table = read_events(file, columns, default_type)
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
