"""What every process tells of the state in Redis, so that it is seen whichever of them live."""

import logging
import time
from collections import Counter
from collections.abc import Sequence
from typing import Any

from streamrec.errors import StoreError
from streamrec.monitoring.metrics import Metrics
from streamrec.transport.redis.keys import DUE, LATER, Shards, item_shards, key, user_shards
from streamrec.transport.redis.memory import redis_memory
from streamrec.transport.redis.stopped import stopped
from streamrec.transport.redis.store import Store

logger = logging.getLogger(__name__)
MEMORY_SECONDS = 5.0
DENIED_SECONDS = 60.0
"""Until INFO is asked again where it was refused."""


class StateReport:
    """Sets gauges of the whole installation: equal in all processes, so a query takes the max."""

    def __init__(self, store: Store, shards: Shards, metrics: Metrics) -> None:
        self._store = store
        self.name = shards.state
        self._users, self._items = user_shards(shards), item_shards(shards)
        self._metrics = metrics
        self._memory_at = 0.0
        self._told: set[tuple[str, str]] = set()
        counts = {"events": shards.users, "items": shards.metadata, "updates": shards.items}
        for topic, count in counts.items():
            metrics.topic_partitions.labels(topic).set(count)

    def report(self, now: float) -> None:
        """Set the gauges; what Redis does not answer stays as it was and is counted."""
        try:
            self._report_due()
            self._report_stopped()
        except StoreError as error:
            self._failed(error)
            return
        if now >= self._memory_at:
            self._memory_at = now + MEMORY_SECONDS
            try:
                self._report_memory()
            except StoreError as error:
                self._memory_at = now + DENIED_SECONDS
                self._failed(error)

    def _report_due(self) -> None:
        names = [key(name, DUE) for name in self._users]
        waiting = [*names, *(key(name, LATER) for name in self._users)]
        found = self._store.run(
            [("ZCARD", name) for name in waiting]
            + [("ZRANGE", name, 0, 0, "WITHSCORES") for name in names]
        )
        counts, firsts = found[: len(waiting)], found[len(waiting) :]
        since = [_score(first) for first in firsts if first]  # epoch ms
        waited = time.time() - min(since) / 1000.0 if since else 0.0
        self._metrics.due_users.set(sum(counts))
        self._metrics.oldest_due_seconds.set(max(0.0, waited))  # a leased one's is in the future

    def _report_stopped(self) -> None:
        counts = Counter((one.stage, one.reason) for one in stopped(self._store).values())
        for labels in self._told | set(counts):
            self._metrics.shards_stopped.labels(*labels).set(counts[labels])
        self._told |= set(counts)

    def _report_memory(self) -> None:
        memory = redis_memory(self._store, [*self._users, *self._items])
        self._metrics.redis_memory_bytes.set(memory.used_bytes)
        self._metrics.redis_memory_limit_bytes.set(memory.limit_bytes)
        self._metrics.redis_evicted_keys.set(memory.evicted_keys)

    def _failed(self, error: StoreError) -> None:
        self._metrics.redis_errors.labels("report").inc()
        logger.warning("the state in Redis could not be reported", extra={"cause": str(error)})


def _score(found: Sequence[Any]) -> float:
    """Return the score of one member WITHSCORES: a flat list in RESP2, of pairs in RESP3."""
    last = found[-1]
    return float(last[-1] if isinstance(last, list | tuple) else last)
