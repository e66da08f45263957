"""Keeps, of a share of the lists, what the neural ranker would read: a click makes it a sample."""

import math
import random
import time

from streamrec.monitoring.metrics import Metrics
from streamrec.neural.budget import SampleBudget
from streamrec.neural.sample import kept, packed
from streamrec.ranking.lists import ListMaker, UserList
from streamrec.settings.sections import Settings
from streamrec.state.item_table import ItemTable


class KeptReadings:
    """Chooses lists within neural.sample_bytes_per_second, as of the state they were made from."""

    def __init__(self, settings: Settings, lists: ListMaker, metrics: Metrics) -> None:
        neural, learned = settings.neural, settings.blend.kind == "learned"
        budget = neural.sample_bytes_per_second * (neural.on and learned)
        self.ttl_seconds = math.ceil(neural.task_seconds) if budget else 0
        self._budget = SampleBudget(budget)
        self._lists = lists
        self._metrics = metrics

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
