"""What the trainer reads: the samples topic, which no restart loses, and the texts of items."""

import logging
import time
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from streamrec.monitoring.metrics import Metrics
from streamrec.neural.reading import Reader
from streamrec.neural.refresh import Refresher
from streamrec.neural.sample import Sample
from streamrec.settings.sections import Settings
from streamrec.sources.registry import sources_of
from streamrec.state.item_table import ItemTable
from streamrec.transport.kafka.assignment import name_of
from streamrec.transport.kafka.log import Log, Message, Partition
from streamrec.transport.redis.item_feed import ItemFeed
from streamrec.transport.redis.keys import Shards, item_shards
from streamrec.transport.redis.store import Store

logger = logging.getLogger(__name__)
Array = NDArray[Any]


class Learnt(NamedTuple):
    """Up to where samples were taken in, by partition, and when they were clicked (epoch ms)."""

    offsets: dict[str, int]
    clicked_from: int
    clicked_to: int


class TrainingSamples:
    """Fills the refresher; what an earlier trainer learnt from comes in again as old samples.

    Bound: of each partition the latest neural.replay_samples / partitions are read at the start.
    """

    def __init__(
        self, settings: Settings, log: Log, refresher: Refresher, metrics: Metrics
    ) -> None:
        self._topic = settings.kafka.samples_topic
        self._most = settings.neural.replay_samples
        self._log = log
        self._refresher = refresher
        self._metrics = metrics
        self._known: Mapping[str, int] = {}  # offsets learnt before, by partition
        self._next: dict[Partition, int] = {}
        self._times: list[int] = []
        self.assigned = False

    def subscribe(self, known: Mapping[str, int]) -> None:
        """Join the group; known: offsets up to which an earlier trainer learnt."""
        self._known = known
        self._partitions = max(1, self._log.partitions(self._topic))
        self._log.subscribe([self._topic], self._take, self._release)

    def take(self, seconds: float, most: int) -> int:
        """Poll once and take samples in; return how many messages came."""
        batches = self._log.poll(seconds, most)
        for partition, messages in batches.items():
            known = self._known.get(name_of(partition), 0)
            for message in messages:
                self._take_in(message, message.offset >= known)
            self._next[partition] = messages[-1].offset + 1
        if batches:
            self._log.commit(self._next)
        return sum(map(len, batches.values()))

    def learnt(self) -> Learnt:
        """Return what the samples since the last call were; a refresh has learnt from them."""
        # not where it reads: after a restart that is behind what was learnt, for a while
        reached = {name_of(p): at for p, at in self._next.items()}
        names = self._known.keys() | reached.keys()
        offsets = {n: max(self._known.get(n, 0), reached.get(n, 0)) for n in sorted(names)}
        out = Learnt(offsets, min(self._times, default=0), max(self._times, default=0))
        self._times, self._known = [], offsets
        return out

    def at_end(self) -> bool:
        """Say whether all that the topic held when last asked was taken in."""
        ends = {partition: self._log.log_end(partition) for partition in self._next}
        return self.assigned and all(
            end is None or self._next[partition] >= end for partition, end in ends.items()
        )

    def _take_in(self, message: Message, new: bool) -> None:
        sample = Sample.from_bytes(message.value or b"")
        fits = sample is not None and self._refresher.add(sample, new)
        kind = "unfit" if not fits else "new" if new else "old"
        self._metrics.neural.samples.labels(kind).inc()
        if sample is not None and fits and new:
            self._times.append(sample.clicked_at)

    def _release(self, partitions: Sequence[Partition]) -> None:
        for partition in partitions:
            self._next.pop(partition, None)

    def _take(self, partitions: Sequence[Partition]) -> Mapping[Partition, int]:
        """Return where to begin: not at more samples than are kept."""
        share = self._most // self._partitions
        for partition in partitions:
            start, end = self._log.log_start(partition), self._log.log_end(partition)
            self._next[partition] = start if end is None else max(start, end - share)
            if end is not None and self._known.get(name_of(partition), 0) > end:
                self._known = {**self._known, name_of(partition): 0}  # the topic was made anew
        self.assigned = True
        began = {name_of(p): self._next[p] for p in partitions}
        logger.info("samples are read again from the topic", extra={"from": began})
        return {p: self._next[p] for p in partitions}


class TrainingTexts:
    """A copy of the item table, brought up to date at each refresh."""

    def __init__(self, settings: Settings, store: Store, shards: Shards, metrics: Metrics) -> None:
        self._reader = Reader(settings, sources_of(settings))
        self.shape = self._reader.shape
        self._metrics = metrics
        self._feed = ItemFeed(
            store, item_shards(shards), lambda: ItemTable(settings, with_lists=True), 0.0
        )

    def known(self) -> tuple[Array, Array]:
        """Read what changed; return keys uint64[n] and vectors float32[n, D] of known texts."""
        if not self.shape.text:
            return np.zeros(0, np.uint64), np.zeros((0, 0), np.float32)
        self._feed.refresh(time.monotonic(), self._metrics)
        return self._reader.known(self._feed.table)
