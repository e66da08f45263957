"""Watches the stages from outside: one that does not come back from a call, a log that changed."""

import logging
import threading
import time
from collections.abc import Callable, Sequence

from streamrec.errors import ConfigurationError, LogError, StoreError, WrongTopic
from streamrec.roles.learning.stage import Stage
from streamrec.settings.sections import Settings
from streamrec.transport.kafka.log import Log
from streamrec.transport.kafka.open_log import open_kafka

logger = logging.getLogger(__name__)
STILL_SECONDS = 10.0
LOOK_SECONDS = 5.0


def oversee(stages: Sequence[Stage], settings: Settings, stop: threading.Event) -> None:
    """Look at the stages, and at the log they read, until `stop`."""
    still = Standstill(stages, lambda: open_kafka(settings.kafka))
    while not stop.wait(LOOK_SECONDS):
        still.look(time.monotonic())
        _check(stages, stop)
    still.close()


class Standstill:
    """Sets the gauges of a stage that does not turn; `new_log` opens a Log of this thread's own."""

    def __init__(self, stages: Sequence[Stage], new_log: Callable[[], Log]) -> None:
        self._stages = stages
        self._new_log = new_log
        self._log: Log | None = None

    def look(self, now: float) -> None:
        """Ask Kafka for the ends of a still stage's partitions; `now` is a monotonic reading."""
        for stage in self._stages:
            if stage.still_seconds(now) > STILL_SECONDS:
                logger.warning("a stage stands still", extra={"stage": stage.name})
                try:
                    self._show_lag(stage)
                except LogError as error:
                    logger.warning("its lag is not known", extra={"cause": str(error)})

    def _show_lag(self, stage: Stage) -> None:
        if self._log is None:
            self._log = self._new_log()
        for partition, shard in list(stage.shards.items()):
            stage.report.position(partition, shard.offset, self._log.log_end(partition) or 0)

    def close(self) -> None:
        """Disconnect."""
        if self._log is not None:
            self._log.close()


def _check(stages: Sequence[Stage], stop: threading.Event) -> None:
    """End the stages when the log is not the one that the state was learnt from any more."""
    try:
        stages[0].check()
    except (ConfigurationError, WrongTopic) as error:
        stages[0].failed = error
        stop.set()
    except (LogError, StoreError) as error:
        logger.debug("the log cannot be checked", extra={"cause": str(error)})
