"""The role `train`: samples in, versions of the neural ranker out; needs torch.

One process, or several under torchrun: then all but rank 0 only take their part of each step.

It keeps nothing that a restart loses: the samples stay in Kafka, the latest version in Redis says
up to where it has learnt, and the pointer to what serves moves only to a version that is stored.
"""

import logging
import os
import signal
import threading
import time

from streamrec.errors import LogError, StoreError, WrongTopic
from streamrec.monitoring.health import serve_health
from streamrec.monitoring.metrics import Metrics
from streamrec.monitoring.starting import starting
from streamrec.neural.reading import Reader
from streamrec.neural.refresh import Refresher
from streamrec.neural.together import Ranks
from streamrec.neural.trained import follow
from streamrec.roles.leave import stop_on_signals
from streamrec.roles.training.published_versions import PublishedVersions
from streamrec.roles.training.ranks import device, joined
from streamrec.roles.training.training_input import TrainingSamples, TrainingTexts
from streamrec.settings.sections import Settings
from streamrec.sources.registry import names_of, sources_of
from streamrec.transport.kafka.log import Log
from streamrec.transport.kafka.open_log import open_kafka
from streamrec.transport.redis.declared import Unchanged, wait_for_shards
from streamrec.transport.redis.keys import Shards
from streamrec.transport.redis.store import Store
from streamrec.transport.redis.versions import Versions

logger = logging.getLogger(__name__)
AT_ONCE = 256
POLL_SECONDS = 0.5
REST = 2.0
"""A trainer that cannot reach Kafka or Redis tries again after so many seconds."""


class Trainer:
    """One loop: poll, take in, refresh when it is time, publish."""

    def __init__(
        self,
        settings: Settings,
        log: Log,
        store: Store,
        shards: Shards,
        metrics: Metrics,
        ranks: Ranks | None = None,
    ) -> None:
        self._texts = TrainingTexts(settings, store, shards, metrics)
        rules, shape = settings.neural, self._texts.shape
        self.refresher = Refresher(rules, shape, device(), ranks)
        self._versions = PublishedVersions(settings, shape, Versions(store), metrics)
        self._samples = TrainingSamples(settings, log, self.refresher, metrics)
        self._metrics = metrics
        self._unchanged = Unchanged(store.shards, shards)
        metrics.begin(settings, names_of(settings))
        for task, weight in rules.tasks.items():
            metrics.neural.weight.labels(task).set(weight)
        fields = {"device": device(), "topic": settings.kafka.samples_topic, "tasks": rules.tasks}
        if ranks is not None:
            fields |= {"ranks": str(ranks.size)}
        logger.info("training", extra=fields)

    @property
    def ready(self) -> bool:
        """Whether it reads samples."""
        return self._samples.assigned

    def start(self) -> None:
        """Go on from the latest version in Redis, and join the group."""
        manifest = self._versions.resume(self.refresher)
        self._samples.subscribe({} if manifest is None else manifest.offsets)

    def step(self) -> int:
        """Do one turn; return how many samples came."""
        self._unchanged.look(time.monotonic())
        came = self._samples.take(POLL_SECONDS, AT_ONCE)
        waiting = len(self.refresher.replay.fresh)
        self._metrics.neural.waiting.set(waiting)
        if why := self.refresher.due(waiting):
            self.refresh(why)
        return came

    def refresh(self, why: str) -> None:
        """Judge, learn, publish: the decision on the last version first, then the new one."""
        began = time.monotonic()
        self._versions.follow(self.refresher)
        period = self.refresher.refresh(*self._texts.known())
        self._versions.publish(self.refresher, period, self._samples.learnt())
        self._metrics.neural.refreshes.labels(why).inc()
        self._metrics.neural.learnt.inc(period.trained)
        self._metrics.neural.seconds.inc(time.monotonic() - began)

    def once(self, stop: threading.Event) -> None:
        """Learn what the topic holds now, and end."""
        while not stop.is_set() and (self.step() or not self._samples.at_end()):
            pass
        if self.refresher.replay.fresh and not stop.is_set():
            self.refresh("once")


def run(settings: Settings, once: bool = False, stop: threading.Event | None = None) -> int:
    """Train until SIGTERM or `stop`, or once; return the exit code."""
    starting(settings, "train")
    ranks = joined(os.environ)
    if ranks is not None and ranks.rank > 0:
        return _follow(settings, ranks)
    stop = stop or stop_on_signals()
    metrics = Metrics(role="train")
    store = Store(settings.redis)
    ready: list[Trainer] = []
    health = serve_health(
        settings.metrics,
        metrics,
        live=lambda: [],
        ready=lambda: [] if ready and ready[0].ready else ["it has joined no group yet"],
    )
    done = False
    while not stop.is_set() and not done:
        try:
            done = _run_one(settings, store, metrics, ranks, ready, once, stop)
        except (StoreError, LogError) as error:  # nothing in memory is worth more than a restart
            if once or isinstance(error, WrongTopic):
                raise
            metrics.redis_errors.labels("train").inc(isinstance(error, StoreError))
            logger.warning("the trainer starts over", extra={"cause": str(error)})
            stop.wait(REST)
    if ranks is not None:
        ranks.end()
        ranks.leave()
    health.close()
    store.close()
    return 0


def _follow(settings: Settings, ranks: Ranks) -> int:
    """Take this rank's part of each step until rank 0 ends; return the exit code."""
    for number in signal.SIGTERM, signal.SIGINT:  # torchrun tells all: rank 0 finishes its refresh
        signal.signal(number, signal.SIG_IGN)
    logger.info("training with rank 0", extra={"rank": ranks.rank, "device": device()})
    follow(ranks, settings.neural, Reader(settings, sources_of(settings)).shape, device())
    logger.info("rank 0 has ended the training", extra={"rank": ranks.rank})
    ranks.leave()
    return 0


def _run_one(
    settings: Settings,
    store: Store,
    metrics: Metrics,
    ranks: Ranks | None,
    ready: list[Trainer],
    once: bool,
    stop: threading.Event,
) -> bool:
    """Run a trainer until `stop`, or once; say whether it is done."""
    shards = wait_for_shards(store.shards, stop)
    if shards is None:
        return True
    log = open_kafka(settings.kafka, f"{settings.kafka.group}-train")
    try:
        trainer = Trainer(settings, log, store, shards, metrics, ranks)
        trainer.start()
        ready[:] = [trainer]
        if once:
            trainer.once(stop)
        while not once and not stop.is_set():
            trainer.step()
        return True
    finally:
        ready.clear()
        log.close()
