"""The public set of items that stored lists may still hold and nobody is to see any more."""

import logging

import numpy as np
from numpy.typing import NDArray

from streamrec.errors import StoreError
from streamrec.monitoring.metrics import Metrics
from streamrec.sources.segment import SEGMENT_PREFIX
from streamrec.state.item_table import ItemTable
from streamrec.transport.redis.hidden import hidden_items, hide
from streamrec.transport.redis.store import Store

logger = logging.getLogger(__name__)
LOOK_SECONDS = 1.0
WHOLE_SECONDS = 600.0
"""How often the set is compared as a whole: a scorer may have died between seeing and writing."""


class HiddenItems:
    """Keeps `rec:~hidden` what the item table says: the ids of all items that are unavailable.

    Every scorer writes what it sees change, so that the last one to see a change is right. Bound:
    the items of the catalogue.
    """

    def __init__(self, store: Store, metrics: Metrics) -> None:
        self._store = store
        self._metrics = metrics
        self._table: ItemTable | None = None
        self._available = np.zeros(0, np.bool_)  # as written, of the table's first rows
        self._looked = self._compared = -np.inf

    def look(self, table: ItemTable, now: float) -> None:
        """Write what changed, once a second; a Redis that refuses holds up no list."""
        if now - self._looked < LOOK_SECONDS:
            return
        self._looked = now
        available = table.arrays.available[: len(table)].copy()
        whole = table is not self._table or now - self._compared >= WHOLE_SECONDS
        try:
            if whole:
                self._compare(table, available)
                self._compared = now
            else:
                self._write_changes(table, available)
        except StoreError as error:
            self._metrics.redis_errors.labels("score").inc()
            logger.warning("hidden items cannot be stored", extra={"cause": str(error)})
            self._table = None  # nothing is sure: compare as a whole
            return
        self._table, self._available = table, available

    def _compare(self, table: ItemTable, available: NDArray[np.bool_]) -> None:
        wanted = set(_ids(table, np.flatnonzero(~available)))
        stored = hidden_items(self._store)
        hide(self._store, sorted(wanted - stored), sorted(stored - wanted))

    def _write_changes(self, table: ItemTable, available: NDArray[np.bool_]) -> None:
        before = np.ones(len(available), np.bool_)
        before[: len(self._available)] = self._available
        gone, back = np.flatnonzero(before & ~available), np.flatnonzero(available & ~before)
        hide(self._store, _ids(table, gone), _ids(table, back))


def _ids(table: ItemTable, rows: NDArray[np.int64]) -> list[str]:
    """Return the ids of rows, without those that stand for segments."""
    names = (table.ids[row] for row in rows.tolist())
    return [name for name in names if name and not name.startswith(SEGMENT_PREFIX)]
