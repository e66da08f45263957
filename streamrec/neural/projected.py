"""Texts of items as a network reads them: they change seldom, and lists are many."""

import math
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from streamrec.neural.reading import Reading
from streamrec.neural.serve import Served
from streamrec.state.item_table import ItemTable
from streamrec.state.keys import grow

Array = NDArray[Any]


class Projected:
    """Each item's text, projected when it is first read. Bound: 4 (t + 1) bytes an item.

    It is projected again when it or the network is another one; t: Served.project.
    """

    def __init__(self, column: str) -> None:
        """Start with none; column: that of the vectors of texts, "" where there are none."""
        self._column = column
        self._of: tuple[Served, ItemTable] | None = None
        self._made: Array = np.zeros(0, np.uint32)  # 0: not; else 1 + changes of the text till then
        self._vectors: Array = np.zeros((0, 0), np.float32)

    def of(self, network: Served, table: ItemTable, reading: Reading) -> NDArray[np.float32]:
        """Return float32[items, t], of which the rows that a list reads are right."""
        if self._of is None or self._of[0] is not network or self._of[1] is not table:
            self._of = network, table
            self._made = self._made[:0]
            self._vectors = np.zeros((0, len(network.middle)), np.float32)
        if len(network.middle):
            arrays = table.arrays
            self._made = grow(self._made, len(arrays.worded))
            self._vectors = grow(self._vectors, len(arrays.worded))
            texts, by = getattr(arrays, self._column), (network.project, network.middle)
            for rows in (reading.rows, reading.past_rows):
                _bring_up(rows, (self._made, arrays.worded), texts, by, self._vectors)
        return self._vectors


@njit(cache=True, nogil=True)
def _bring_up(rows, turns, texts, by, out):  # type: ignore[no-untyped-def]
    """Project the texts of those rows that are not yet, or that changed since.

    turns: (made, changes) uint32[items]; the others as of `project`.
    """
    made, changes = turns
    for row in rows:
        if made[row] != changes[row] + 1:
            project(texts[row], by, out[row])
            made[row] = changes[row] + 1


@njit(cache=True, nogil=True)
def project(text, by, z):  # type: ignore[no-untyped-def]
    """Fill z float32[t] with a text int8[D] or float32[D], projected, of unit length; 0 of none.

    by: (project float32[D, t], middle float32[t]) of Served. One by one, so that no vector depends
    on which others are projected with it.
    """
    matrix, middle = by
    z[:] = 0.0
    square = np.float32(0.0)
    for d in range(len(text)):
        x = np.float32(text[d])
        square += x * x
        for q in range(len(z)):
            z[q] += x * matrix[d, q]
    if square == 0.0:
        return
    scale, length = np.float32(1.0 / math.sqrt(square)), np.float32(0.0)
    for q in range(len(z)):
        z[q] = z[q] * scale - middle[q]
        length += z[q] * z[q]
    scale = np.float32(1.0 / max(math.sqrt(length), 1e-12))
    for q in range(len(z)):
        z[q] *= scale
