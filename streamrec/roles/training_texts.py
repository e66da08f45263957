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
        reader = Reader(settings, sources_of(settings))
        self.shape, self._column = reader.shape, reader.vectors
        self._metrics = metrics
        self._feed = ItemFeed(
            store, item_shards(shards), lambda: ItemTable(settings, with_lists=True), 0.0
        )

    def refresh(self) -> None:
        """Read what changed; without texts there is nothing to read."""
        if self.shape.text:
            self._feed.refresh(time.monotonic(), self._metrics)

    def of(self, keys: Array) -> Array:
        """Return float32[..., D] of items by key uint64[...], zero where there is none."""
        table = self._feed.table
        rows = table.index.rows(keys.ravel())
        found = getattr(table.arrays, self._column)[np.maximum(rows, 0)] * (rows >= 0)[:, None]
        out: Array = found.reshape(*keys.shape, -1)
        return out

    def known(self) -> Array:
        """Return float32[items, D], all texts known now."""
        if not self.shape.text:
            return np.zeros((0, 0), np.float32)
        table = self._feed.table
        vectors = getattr(table.arrays, self._column)[: len(table)]
        out: Array = vectors[vectors.any(1)]
        return out
