"""Sends samples to their topic, beside the main path: a topic that is missing holds nobody up."""

import logging
import queue
import threading
import time
from collections.abc import Callable, Sequence

from streamrec.errors import StreamrecError
from streamrec.monitoring.metrics import Metrics
from streamrec.transport.kafka_log import Log

logger = logging.getLogger(__name__)
QUEUED = 2000
"""Samples that wait, at most 8 kB each; more are lost."""
AT_ONCE = 200
COMPLAIN_SECONDS = 60.0
PAUSE_SECONDS = 1.0


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
