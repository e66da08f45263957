"""Keeps, of a share of the lists, what the neural ranker would read: a click makes it a sample."""

import logging
import math
import random
import time

from streamrec.errors import StoreError
from streamrec.monitoring.metrics import Metrics
from streamrec.neural.budget import SampleBudget, budget_of
from streamrec.neural.sample import kept, packed
from streamrec.ranking.lists import ListMaker, UserList
from streamrec.settings.sections import Settings
from streamrec.state.item_table import ItemTable
from streamrec.transport.redis.readings import settle_readings
from streamrec.transport.redis.store import Store

logger = logging.getLogger(__name__)
SETTLE_SECONDS = 1.0
REFUSED_SECONDS = 60.0
"""Until a Redis that refused is asked again."""


class KeptReadings:
    """Chooses lists within neural.sample_bytes_per_second, as of the state they were made from.

    The budget is one for all scorers: a bucket in Redis, with which each settles once a second.
    """

    def __init__(
        self, settings: Settings, store: Store, lists: ListMaker, metrics: Metrics
    ) -> None:
        budget = budget_of(settings)
        self.ttl_seconds = math.ceil(settings.neural.task_seconds) if budget else 0
        self._budget = SampleBudget(budget)
        self._store = store
        self._lists = lists
        self._metrics = metrics
        self._settle_at = -math.inf

    def look(self, now: float) -> None:
        """Settle with the other scorers, once a second; until Redis lets it, spend alone."""
        budget = self._budget
        if not budget.rate or now < self._settle_at:
            return
        self._settle_at = now + SETTLE_SECONDS
        try:
            held = settle_readings(self._store, budget.rate, budget.most, budget.spent)
        except StoreError as error:
            self._settle_at = now + REFUSED_SECONDS
            self._metrics.redis_errors.labels("score").inc()
            cause = {"setting": "neural.sample_bytes_per_second", "cause": str(error)}
            logger.warning("scorers cannot share a budget: each has its own", extra=cause)
            return
        budget.settle(held, time.monotonic())

    def of(self, made: UserList, table: ItemTable, at: int) -> bytes:
        """Return the bytes to keep of a list made at `at` (epoch ms), or none."""
        share = self._budget.share(time.monotonic())
        self._metrics.neural.sample_share.set(share)
        if made.ranked is None or random.random() >= share:
            return b""
        reading = self._lists.reading_of(made.ranked, table)
        if reading is None:
            return b""
        blob = packed(kept(reading, table.keys, at))
        self._budget.spend(len(blob))
        return blob
