"""What a stage tells of its partitions: lag, how long messages wait, and why it ended."""

import logging
import time
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from functools import partial

from streamrec.errors import (
    BrokerUnavailable,
    CommitConflict,
    DeliveryFailed,
    GapError,
    StoreError,
)
from streamrec.monitoring.metrics import TOPICS, Metrics
from streamrec.monitoring.stop_reasons import reason_of
from streamrec.settings.sections import KafkaSettings
from streamrec.transport.kafka.log import Message, Partition
from streamrec.transport.redis.stopped import Stopped, forget_stopped, note_stopped
from streamrec.transport.redis.store import Store

logger = logging.getLogger(__name__)


class StageReport:
    """Sets the gauges of one stage; with a `store`, others can read there what ended it.

    What grows with time is computed at each scrape, so that it grows while the loop hangs, too.
    """

    def __init__(
        self,
        stage: str,
        topics: Sequence[str],
        kafka: KafkaSettings,
        metrics: Metrics,
        still_seconds: Callable[[], float],
        store: Store | None = None,
    ) -> None:
        self._stage = stage
        self._metrics = metrics
        self._store = store
        self._oldest = OldestUnlearnt()
        self._began: dict[Partition, int] = {}  # where this process took the partition up
        names = (kafka.events_topic, kafka.items_topic, kafka.updates_topic)
        kinds = dict(zip(names, TOPICS, strict=True))
        self._kinds = {topic: kinds.get(topic, topic) for topic in topics}
        metrics.turn_age_seconds.labels(stage).set_function(still_seconds)
        for topic, kind in self._kinds.items():
            oldest = metrics.oldest_unlearnt_seconds.labels(kind)
            oldest.set_function(partial(self._oldest_seconds, topic))

    def took(self, partition: Partition, offset: int) -> None:
        """Note that a partition is ours, and where it continues."""
        self._began[partition] = offset

    def released(self, partition: Partition) -> None:
        """Forget a partition that was revoked: its lag is for its next owner to tell."""
        self._oldest.forget(partition)
        with suppress(KeyError):  # it was never told
            self._metrics.lag_messages.remove(*self._labels(partition))

    def learnt(self, partition: Partition, messages: Sequence[Message]) -> None:
        """Note what was learnt last."""
        self._oldest.learnt(partition, messages[-1].timestamp)

    def doubt(self, error: BaseException, partitions: Collection[Partition]) -> None:
        """Count an error, and note that what was polled is not learnt."""
        if isinstance(error, DeliveryFailed):
            self._metrics.produce_errors.inc()
        elif isinstance(error, BrokerUnavailable):
            self._metrics.kafka_errors.labels(self._stage).inc()
        elif isinstance(error, StoreError) and not isinstance(error, CommitConflict):
            self._metrics.redis_errors.labels(self._stage).inc()
        elif isinstance(error, GapError):
            self._metrics.partition_refetches.labels(self._stage).inc()
        for partition in partitions:
            self._oldest.seen(partition, True, time.time())

    def position(self, partition: Partition, position: int, end: int | None) -> None:
        """Tell the lag of a partition; `end` is not known for a moment after it was taken."""
        if end is not None:
            self._oldest.seen(partition, position < end, time.time())
            self._metrics.lag_messages.labels(*self._labels(partition)).set(max(0, end - position))
        if position > self._began.get(partition, position) or (end is not None and position >= end):
            self._began[partition] = -1  # learnt on: it does not stand still

    def owned(self, partitions: Collection[Partition]) -> None:
        """Tell how many partitions are ours; what is learnt on no longer stands still."""
        counts = Counter(self._kinds[partition.topic] for partition in partitions)
        for kind in self._kinds.values():
            self._metrics.partitions_assigned.labels(kind).set(counts[kind])
        if self._store is not None:
            going = [p for p in partitions if self._began.get(p) == -1]
            forget_stopped(self._store, map(self._place, going))

    def stopped(self, error: BaseException, partitions: Collection[Partition]) -> None:
        """Leave word of what ended this stage: its metrics end with the process."""
        if self._store is None:
            return
        why = Stopped(self._stage, reason_of(error), str(error), time.time())
        try:
            note_stopped(self._store, {self._place(p): why for p in partitions})
        except StoreError as silent:
            logger.warning("why the stage stopped is not in Redis", extra={"cause": str(silent)})

    def _oldest_seconds(self, topic: str) -> float:
        return self._oldest.oldest_seconds(topic, time.time())

    def _labels(self, partition: Partition) -> tuple[str, str]:
        return self._kinds[partition.topic], str(partition.number)

    def _place(self, partition: Partition) -> str:
        return "/".join(self._labels(partition))


class OldestUnlearnt:
    """Bounds how long the oldest unlearnt message of each partition has waited.

    It came after the last learnt one was logged, and after the partition was last seen learnt to
    its end: the later of the two is the earliest that it can have come. So what is told is never
    too short, and does not grow while messages flow. Where neither is known, as at a start, it
    counts from the first look. Times are epoch seconds; holds an entry for each owned partition.
    """

    def __init__(self) -> None:
        self._logged: dict[Partition, float] = {}  # log's time of the last message learnt
        self._at_end: dict[Partition, float] = {}  # when it was last seen learnt to its end
        self._behind: dict[Partition, float] = {}  # since the first look that found it behind

    def learnt(self, partition: Partition, log_time_ms: int) -> None:
        """Note the log's time of the last message learnt; -1: it has none."""
        if log_time_ms >= 0:
            self._logged[partition] = log_time_ms / 1000.0

    def seen(self, partition: Partition, behind: bool, now: float) -> None:
        """Note whether a partition has messages that are not learnt yet."""
        if behind:
            self._behind.setdefault(partition, now)
        else:
            self._behind.pop(partition, None)
            self._at_end[partition] = now

    def forget(self, partition: Partition) -> None:
        """Drop a partition that was revoked."""
        for known in (self._logged, self._at_end, self._behind):
            known.pop(partition, None)

    def oldest_seconds(self, topic: str, now: float) -> float:
        """Return how long the longest waiting message has waited at most, 0 when all is learnt."""
        since = [self._since(*one) for one in tuple(self._behind.items()) if one[0].topic == topic]
        return max(0.0, now - min(since)) if since else 0.0

    def _since(self, partition: Partition, first_look: float) -> float:
        known = self._logged.get(partition), self._at_end.get(partition)
        return max((at for at in known if at is not None), default=first_look)
