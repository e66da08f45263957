"""The latest items of a partition, that negatives are drawn from: by key, and as a table's rows."""

import numpy as np
from numpy.typing import NDArray

from streamrec.state.item_table import ItemTable
from streamrec.state.keys import grow
from streamrec.state.ring import Ring
from streamrec.state.user_kernel import RingArrays
from streamrec.state.user_rows import UserRows


class Latest:
    """A ring of keys, and the same as rows of the table that is read. Bound: factors.ring."""

    def __init__(self, ring: Ring) -> None:
        self.ring = ring
        self._table: ItemTable | None = None
        self._arrays: RingArrays | None = None

    def push(self, keys: NDArray[np.uint64]) -> None:
        """Keep the items that the kernel has put in its arrays, in their order."""
        self.ring.push(keys)

    def arrays(self, table: ItemTable, users: UserRows, more: NDArray[np.uint64]) -> RingArrays:
        """Return the items as rows of this table; rebuilt when the table was loaded anew.

        All items of the users' histories, and `more`, get a row before the kernel looks for it.
        """
        arrays = self._arrays
        loaded = users.history_keys(only_loaded=self._table is table)
        loaded = np.concatenate([loaded, more])
        if len(loaded):
            table.rows(loaded)
        if arrays is None or self._table is not table:
            known = table.rows(self.ring.keys[: self.ring.size])
            placed = np.zeros(len(self.ring.keys), np.int32)
            placed[: len(known)] = known
            size = np.array([len(known), self.ring.total % max(1, len(placed))])
            counts = np.bincount(known, minlength=len(table)).astype(np.int32)
            arrays, self._table = RingArrays(placed, counts, size), table
        if len(arrays.counts) < len(table):
            arrays = arrays._replace(counts=grow(arrays.counts, len(table)))
        self._arrays = arrays
        return arrays
