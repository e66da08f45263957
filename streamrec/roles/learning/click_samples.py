"""Clicks on lists as samples for the neural ranker, made and sent beside the main path.

A sample says what a list knew when it was made. A topic that is missing holds nobody up.
"""

import logging
import queue
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

from streamrec.errors import StreamrecError
from streamrec.events.event import Event
from streamrec.monitoring.metrics import Metrics
from streamrec.neural.sample import MOST_BYTES, click, unpacked
from streamrec.settings.sections import Settings
from streamrec.state.keys import key_of
from streamrec.state.served import shown_at
from streamrec.transport.kafka.log import Log

logger = logging.getLogger(__name__)
SEEDS = 2**63
QUEUED = 2000
"""Samples that wait, at most 8 kB each; more are lost."""
AT_ONCE = 200
COMPLAIN_SECONDS = 60.0
PAUSE_SECONDS = 1.0


class ClickSamples:
    """Makes a sample of a click where the scorer kept what the network would have read."""

    def __init__(self, settings: Settings, metrics: Metrics) -> None:
        self._weights = settings.blend.event_weights
        self._oldest_ms = settings.neural.task_seconds * 1000.0
        self._metrics = metrics

    def of(
        self,
        clicks: Sequence[tuple[int, Event]],
        shown: Sequence[bytes | None],
        readings: Sequence[bytes | None],
    ) -> list[bytes]:
        """Return the samples; clicks: log time and event; for each, what its user was served."""
        made: list[bytes] = []
        for (at, event), row, reading in zip(clicks, shown, readings, strict=True):
            if row and reading and self._weight(event) > 0.0:
                sample = self._of_one(at, event, row, reading)
                if isinstance(sample, bytes):
                    made.append(sample)
                elif sample:
                    self._metrics.neural.click_samples.labels(sample).inc()
        return made

    def _of_one(self, at: int, event: Event, row: bytes, reading: bytes) -> Any:
        """Return the sample's bytes, or why there is none; "" for a list that is gone."""
        listed = unpacked(reading)
        if listed is None:
            return "damaged"
        if listed.made_at != shown_at(row):
            return ""  # that list was replaced by one of which nothing was kept
        if at - listed.made_at > self._oldest_ms:
            return "old"
        key = key_of(event.item)
        seed = (key ^ event.ts) % SEEDS
        sample = click(listed, key, event.type, self._weight(event), at, seed)
        if sample is None:
            return "outside"
        blob = sample.to_bytes()
        return blob if len(blob) <= MOST_BYTES else "too_large"

    def _weight(self, event: Event) -> float:
        return self._weights.get(event.type, 1.0)


class SampleSender:
    """A thread with a producer of its own, opened for the first sample.

    What is lost is counted, and harmless; what is sent again is learnt again, harmless too.
    """

    def __init__(self, open_log: Callable[[], Log], topic: str, metrics: Metrics) -> None:
        self._open_log = open_log
        self._topic = topic
        self._metrics = metrics
        self._waiting: queue.Queue[bytes] = queue.Queue(QUEUED)
        self._stop = threading.Event()
        self._complained = -COMPLAIN_SECONDS
        self._thread = threading.Thread(target=self._run, name="samples", daemon=True)
        self._thread.start()

    def send(self, samples: Sequence[bytes]) -> None:
        """Queue samples; returns at once."""
        for sample in samples:
            try:
                self._waiting.put_nowait(sample)
            except queue.Full:
                self._metrics.neural.click_samples.labels("lost").inc()

    def close(self, seconds: float = 2.0) -> None:
        """Send what waits, for so long; the thread ends with the process."""
        self._stop.set()
        self._thread.join(seconds)

    def _run(self) -> None:
        log: Log | None = None
        while not (self._stop.is_set() and self._waiting.empty()):
            batch = self._take()
            if not batch:
                continue
            try:
                log = log or self._open_log()
                for sample in batch:
                    log.produce(self._topic, sample)
                log.flush()
                self._metrics.neural.click_samples.labels("sent").inc(len(batch))
            except StreamrecError as error:
                self._metrics.neural.click_samples.labels("lost").inc(len(batch))
                self._complain(error)
                self._stop.wait(PAUSE_SECONDS)
        if log is not None:
            log.close()

    def _take(self) -> list[bytes]:
        """Return what waits, after at most a second for a first one."""
        batch: list[bytes] = []
        try:
            batch.append(self._waiting.get(timeout=0.2 if self._stop.is_set() else 1.0))
            while len(batch) < AT_ONCE:
                batch.append(self._waiting.get_nowait())
        except queue.Empty:
            pass
        return batch

    def _complain(self, error: StreamrecError) -> None:
        now = time.monotonic()
        if now - self._complained >= COMPLAIN_SECONDS:
            self._complained = now
            fields = {"cause": str(error), "topic": self._topic}
            logger.warning("samples for `train` are lost; learning goes on", extra=fields)
