"""The texts of items, for the trainer: vectors as the scorers have them."""

import time
from typing import Any

import numpy as np
from numpy.typing import NDArray

from streamrec.monitoring.metrics import Metrics
from streamrec.neural.reading import Reader
from streamrec.settings.sections import Settings
from streamrec.sources.registry import sources_of
from streamrec.state.item_table import ItemTable
from streamrec.transport.item_feed import ItemFeed
from streamrec.transport.redis_keys import Shards, item_shards
from streamrec.transport.redis_store import Store

Array = NDArray[Any]


class TrainingTexts:
    """A copy of the item table, brought up to date at each refresh."""

    def __init__(self, settings: Settings, store: Store, shards: Shards, metrics: Metrics) -> None:
        self._reader = Reader(settings, sources_of(settings))
        self.shape = self._reader.shape
        self._metrics = metrics
        self._feed = ItemFeed(
            store, item_shards(shards), lambda: ItemTable(settings, with_lists=True), 0.0
        )

    def refresh(self) -> None:
        """Read what changed; without texts there is nothing to read."""
        if self.shape.text:
            self._feed.refresh(time.monotonic(), self._metrics)

    def known(self) -> tuple[Array, Array]:
        """Return keys uint64[n] and vectors float32[n, D] of the items whose texts are known."""
        if not self.shape.text:
            return np.zeros(0, np.uint64), np.zeros((0, 0), np.float32)
        return self._reader.known(self._feed.table)
