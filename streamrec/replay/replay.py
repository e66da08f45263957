"""A file's events go to Kafka in time order, no faster than they are learnt."""

import threading
import time

import msgspec

from streamrec.files.event_table import EventEncoder, EventTable
from streamrec.replay.pace import KeepUpPace, Pace
from streamrec.replay.progress import LearntEvents
from streamrec.settings.sections import KafkaSettings
from streamrec.transport.kafka.log import Log

TARGET_SECONDS = 0.3
"""How long an event may wait to be learnt before the replay slows down."""
CHUNK = 500
LOOK_SECONDS = 0.05
FLUSH_SECONDS = 1.0
STALLED_SECONDS = 5.0
STOP_SECONDS = 10.0
_MERGES = b'"type":"merge"'


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
        self.taken_in = 0
        self.turned_away: dict[str, int] = {}
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
        """Find out what became of the events that were sent, at most 20 times a second."""
        if self._progress is not None and now - self._looked_at >= LOOK_SECONDS:
            self._looked_at = now
            self.taken_in = min(self.sent, self._progress.count())
            self.turned_away = self._progress.turned_away()
            if isinstance(self._pace, KeepUpPace):
                self._pace.observe(now, self.taken_in)

    def stalled_seconds(self) -> float:
        """Return for how long nothing was learnt although events are on their way."""
        if not isinstance(self._pace, KeepUpPace):
            return 0.0
        return self._pace.stalled_seconds(time.monotonic(), self.sent)

    @property
    def learnt(self) -> int:
        """How many of the events that were sent have been learnt."""
        return max(0, self.taken_in - sum(self.turned_away.values()))

    @property
    def refused(self) -> int:
        """How many of the file's rows, and of the events that were sent, were refused."""
        return self.table.refused + self.turned_away.get("rejected", 0)

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
            if _MERGES in value:  # what the visitor did is to be in the log before
                self._log.flush()
            self._log.produce(self._settings.events_topic, value, key=key)
        self.sent = stop

    def _describe(self, item: int) -> None:
        self._described.add(item)
        name = self.table.item_names[item]
        metadata = self.table.catalogue.get(name)
        if metadata is not None:
            value = msgspec.json.encode(metadata)
            self._log.produce(self._settings.items_topic, value, key=name.encode())


class ReplayThread(threading.Thread):
    """Runs a replay beside the screen; `check` raises what went wrong in it."""

    def __init__(self, replay: Replay) -> None:
        super().__init__(daemon=True)
        self._replay = replay
        self._stopped = threading.Event()
        self._failure: BaseException | None = None

    def run(self) -> None:
        """Send until the end or until `stop`."""
        try:
            self._replay.run(self._stopped)
        except BaseException as error:  # raised again by check, in the main thread
            self._failure = error

    def check(self) -> None:
        """Raise the error that ended the replay, if one did."""
        if self._failure is not None:
            raise self._failure

    def stop(self) -> None:
        """Send no more, and wait (at most 10 s) until what was sent is acknowledged."""
        self._stopped.set()
        self.join(STOP_SECONDS)


def state_of(replay: Replay) -> str:
    """Return how the replay is doing, in a few words."""
    seconds = replay.stalled_seconds()
    if seconds > STALLED_SECONDS:
        return f"nothing learnt for {seconds:.0f} s: is `streamrec learn` running?"
    turned = (f", {count:,} {name}" for name, count in replay.turned_away.items())
    return f"{replay.learnt:,} learnt" + "".join(turned)


def outcome(replay: Replay) -> str:
    """Return what became of the file's events, and where it says why."""
    words = state_of(replay)
    if replay.turned_away.get("rejected"):
        words += " by `streamrec learn`, whose settings may differ: why is with the dead letters"
    if replay.table.refused:
        words += f"; {replay.table.refused:,} rows of the file were refused before"
    return words
