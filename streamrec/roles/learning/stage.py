"""What both stages of `learn` share: partitions come and go, any doubt starts over from Redis."""

import itertools
import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Protocol

from streamrec.errors import (
    BrokerUnavailable,
    DeliveryFailed,
    FoldFailed,
    LogError,
    StoreError,
)
from streamrec.monitoring.metrics import Metrics
from streamrec.roles.learning.rounds import Batches, rounds
from streamrec.roles.learning.watchdog import Watchdog
from streamrec.roles.reports.stage_report import StageReport
from streamrec.settings.sections import Settings
from streamrec.transport.kafka.assignment import name_of
from streamrec.transport.kafka.log import Log, Partition
from streamrec.transport.redis.store import Store

logger = logging.getLogger(__name__)
DOUBTS = (StoreError, DeliveryFailed, BrokerUnavailable, FoldFailed)
REPORT_SECONDS = 1.0
STILL_SECONDS = 120.0
LONGEST_LINGER = 0.1
BACKOFF_SECONDS = (0.05, 0.1, 0.2, 0.5, 1.0, 2.0)


class ShardsInDoubt(StoreError):
    """Some shards could not be read or stored, or lack a record; the others' batches are done."""

    def __init__(self, doubts: Mapping[Partition, StoreError | LogError]) -> None:
        self.doubts = doubts
        super().__init__(str(next(iter(doubts.values()))))


class Shard(Protocol):
    """The state of one partition; `offset` is the next one to fold."""

    name: str
    offset: int


class Learner(Protocol):
    """What a stage does with messages."""

    @property
    def topics(self) -> Sequence[str]:
        """The topics to subscribe to."""

    def open(self, partition: Partition) -> Any:
        """Restore a partition's shard from Redis, or start it at the log's beginning."""

    def learn(self, batches: Batches, shards: Mapping[Partition, Any]) -> None:
        """Fold and commit; raises one of DOUBTS when it is unclear what was stored.

        Each of the batches has its shard. ShardsInDoubt names the shards that it is unclear of;
        otherwise it is all of them.
        """

    def pass_over(self, partition: Partition, offset: int, shard: Any) -> None:
        """Store that nothing comes before `offset`: markers of transactions, compacted messages."""

    def between(self, shards: Mapping[Partition, Any]) -> None:
        """Do what no event waits for, once a turn; raises as `learn` does."""

    def report(self, shards: Mapping[Partition, Any]) -> None:
        """Set the gauges."""


class Stage:
    """One loop over one consumer group; owns the shards of its partitions."""

    def __init__(
        self,
        name: str,
        log: Log,
        learner: Learner,
        settings: Settings,
        metrics: Metrics,
        linger_seconds: float | None = None,
        store: Store | None = None,
        check: Callable[[], None] = lambda: None,
    ) -> None:
        self.name = name
        self.shards: dict[Partition, Shard] = {}
        self.failed: BaseException | None = None
        self.assigned = False
        self.check = check  # raises when the log is not the one that the state was learnt from
        self._log = log
        self._learner = learner
        self._settings = settings
        shortest = settings.batches.linger_seconds
        self._linger = shortest if linger_seconds is None else linger_seconds
        self._metrics = metrics
        self._watchdog = Watchdog(settings.kafka.stuck_seconds)
        self._reported = 0.0
        self._waiting: dict[Partition, float] = {}  # shards to restore, and when to try
        self._failures = 0
        self._turned = time.monotonic()
        self._stop = threading.Event()
        self._taking: Sequence[Partition] = ()
        self.report = StageReport(
            name, learner.topics, settings.kafka, metrics,
            lambda: self.still_seconds(time.monotonic()), store,
        )  # fmt: skip

    def run(self, stop: threading.Event) -> None:
        """Learn until `stop` is set; sets it, and `failed`, on an error that needs a person."""
        self._stop = stop
        try:
            self._log.subscribe(self._learner.topics, self._take, self._release)
            while not stop.is_set():
                try:
                    stop.wait(self.step())
                except DOUBTS as doubt:
                    self._start_over(doubt)
        except Exception as error:
            self.failed = error
            self.report.stopped(error, {*self.shards, *self._waiting, *self._taking})
            stop.set()
        finally:
            self._log.close()

    def unready(self) -> list[str]:
        """Return why this stage should not be counted on; empty when it can be."""
        if not self.assigned:
            return [f"the {self.name} stage has joined no group yet"]
        return [f"the {self.name} stage is starting over"] if self._waiting else []

    def dead(self) -> list[str]:
        """Return why this process should be restarted; empty while the loop turns."""
        still = self.still_seconds(time.monotonic())
        return [f"the {self.name} stage stands still"] if still > STILL_SECONDS else []

    def still_seconds(self, now: float) -> float:
        """Return how long ago the loop turned."""
        return now - self._turned

    def step(self) -> float:
        """Poll, learn, report: one turn of the loop; return how long to linger before the next.

        A stream is followed in turns as far apart as learning took, at least `linger_seconds`: half
        of the time is left to the others. One that is behind is followed without a pause.
        """
        self._restore()
        batches = self._log.poll(
            self._settings.kafka.fetch_wait_seconds, self._settings.batches.max_events
        )
        polled = time.monotonic()
        self._learn(batches)
        self._learner.between({p: s for p, s in self.shards.items() if p not in self._waiting})
        if not self._waiting:
            self._failures = 0
        now = self._turned = time.monotonic()
        if now - self._reported >= REPORT_SECONDS:
            self._reported = now
            self._report(now)
        settings, got = self._settings.batches, sum(map(len, batches.values()))
        if got >= settings.max_events // 2:
            return 0.0
        return max(self._linger, min(now - polled, LONGEST_LINGER))

    def _learn(self, batches: Batches) -> None:
        """Learn in rounds; where the learner took only a part, the rest will be polled again.

        A shard in doubt does not end the rounds of the others: what is left out would be skipped.
        """
        left: set[Partition] = set()
        doubts: dict[Partition, StoreError | LogError] = {}
        for whole in rounds(batches):
            batch = {p: messages for p, messages in whole.items() if p in self.shards.keys() - left}
            if batch:
                try:
                    self._learner.learn(batch, self.shards)
                except ShardsInDoubt as doubt:
                    doubts.update(doubt.doubts)
            left |= doubts.keys()
            left |= {p for p, m in batch.items() if self.shards[p].offset <= m[-1].offset}
            for partition in batch.keys() - left:
                self.report.learnt(partition, batch[partition])
        if doubts:
            raise ShardsInDoubt(doubts)

    def _take(self, partitions: Sequence[Partition]) -> Mapping[Partition, int]:
        """Restore the shards of new partitions; return where they continue."""
        self._taking = partitions
        self._insist(self.check)
        taken: dict[Partition, Shard] = {
            p: self._insist(partial(self._learner.open, p)) for p in partitions
        }
        self._taking = ()
        self.shards.update(taken)
        for partition, shard in taken.items():
            self.report.took(partition, shard.offset)
            logger.info("partition taken", extra=self._fields(partition))
        self.assigned = True
        self._metrics.rebalances.labels(self.name, "assigned").inc(len(partitions))
        return {p: self.shards[p].offset for p in partitions}

    def _release(self, partitions: Sequence[Partition]) -> None:
        for partition in partitions:
            self._waiting.pop(partition, None)
            if self.shards.pop(partition, None) is not None:
                fields = {"stage": self.name, "partition": name_of(partition)}
                logger.info("partition released", extra=fields)
            self._watchdog.forget(partition)
            self.report.released(partition)
        self._metrics.rebalances.labels(self.name, "revoked").inc(len(partitions))

    def _start_over(self, doubt: BaseException) -> None:
        """Drop the shards in doubt; they are restored from Redis before they learn on."""
        all_of_them = dict.fromkeys(self.shards, doubt)
        doubts = doubt.doubts if isinstance(doubt, ShardsInDoubt) else all_of_them
        for cause in set(doubts.values()) or {doubt}:
            self._tell(cause, [p for p, why in doubts.items() if why is cause])
        wait = BACKOFF_SECONDS[min(self._failures, len(BACKOFF_SECONDS) - 1)]
        self._failures += 1
        self._turned = time.monotonic()
        for partition in doubts.keys() & self.shards.keys():
            del self.shards[partition]
            self._waiting[partition] = self._turned + wait
            self._log.hold(partition)
        if not self.shards:
            self._stop.wait(wait)

    def _restore(self) -> None:
        """Read shards in doubt from Redis, each when its time has come."""
        now = time.monotonic()
        for partition in [p for p, at in self._waiting.items() if at <= now]:
            try:
                shard = self._learner.open(partition)
            except DOUBTS as error:
                self._tell(error, [partition])
                self._waiting[partition] = time.monotonic() + BACKOFF_SECONDS[-1]
                continue
            del self._waiting[partition]
            self.shards[partition] = shard
            self._log.seek(partition, shard.offset)

    def _tell(self, doubt: BaseException, partitions: Sequence[Partition]) -> None:
        """Count and log why shards start over."""
        self.report.doubt(doubt, partitions)
        names = ",".join(map(name_of, sorted(partitions)))
        cause = {"stage": self.name, "partitions": names, "cause": str(doubt)}
        logger.warning("starting over from Redis", extra=cause)

    def _insist(self, call: Callable[[], Any]) -> Any:
        """Return what a call does; partitions are not given up because Redis or Kafka restarts."""
        for wait in itertools.chain(BACKOFF_SECONDS, itertools.repeat(BACKOFF_SECONDS[-1])):
            try:
                return call()
            except DOUBTS as error:
                cause = {"stage": self.name, "cause": str(error)}
                logger.warning("a shard cannot be restored yet", extra=cause)
                self._turned = time.monotonic()
                if self._stop.wait(wait):
                    raise
        raise AssertionError("the waits never end")

    def _report(self, now: float) -> None:
        for partition, shard in self.shards.items():
            at = self._log.position(partition)
            if at > shard.offset:
                self._learner.pass_over(partition, at, shard)
        positions = {p: shard.offset for p, shard in self.shards.items()}
        for partition, position in positions.items():
            high = self._log.high_watermark(partition)
            self._watchdog.seen(partition, position, high, now)
            self.report.position(partition, position, high)
        stuck = [p for p in self._watchdog.stuck(now) if self._has_more(p, positions[p])]
        for partition in stuck:
            self._metrics.partition_refetches.labels(self.name).inc()
            logger.warning("partition is stuck, fetching anew", extra=self._fields(partition))
            self._watchdog.forget(partition)
            self._log.seek(partition, positions[partition])
        self._log.commit(positions)
        self.report.owned({*self.shards, *self._waiting})
        self._learner.report(self.shards)

    def _has_more(self, partition: Partition, position: int) -> bool:
        """Say whether there is something to read: an open transaction cannot be read yet."""
        end = self._log.log_end(partition)
        return end is None or end > position

    def _fields(self, partition: Partition) -> dict[str, Any]:
        offset = self.shards[partition].offset
        return {"stage": self.name, "partition": name_of(partition), "offset": offset}
