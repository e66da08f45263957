"""Watches the stages from outside: one that does not come back from a call shows its lag too."""

import logging
import time
from collections.abc import Callable, Sequence

from streamrec.errors import LogError
from streamrec.roles.stage import Stage
from streamrec.transport.kafka_log import Log

logger = logging.getLogger(__name__)
STILL_SECONDS = 10.0


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


def watch(standstill: Standstill, stop: Callable[[float], bool], every: float = 5.0) -> None:
    """Look again and again until `stop`, which waits."""
    while not stop(every):
        standstill.look(time.monotonic())
    standstill.close()
