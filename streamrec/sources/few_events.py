"""What the text of an item with few events adds to the factors' score: a multiple of the cosine."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from streamrec.sources.content import Content
from streamrec.sources.source import Shopper

Array = NDArray[Any]


class TextOfFew:
    """The term weight cos_j of the items j that have fewer than so many events, and a text.

    Without an encoder, or before the first call of `prepare`, there are none.
    """

    def __init__(self, settings: Any, weight: float, events: int) -> None:
        self._content, self._weight, self._events = Content(settings), weight, events
        self._few: Array = np.zeros(0, np.bool_)  # of each row

    def prepare(self, table: Any) -> None:
        """Find the items; see Source.prepare."""
        if self._weight > 0.0 and self._content.encoded:
            arrays, n = table.table.arrays, len(table.table)
            self._few = (arrays.events[:n] < self._events) & (arrays.text_by[:n] != 0)

    def add(self, arrays: Any, users: Sequence[Shopper], rows: Any, out: Array) -> None:
        """Add to out float32[users, rows]; rows: int[...], or a slice of them."""
        at = self._with_text(rows)
        cosines = np.empty((len(users), len(at)), np.float32)
        if len(at):
            few = at if isinstance(rows, slice) else rows[at]
            self._content.score_rows(arrays, users, few, cosines)
        _add(cosines, at, np.float32(self._weight), out)  # none too: so warm_up compiles it

    def support(self, arrays: Any, user: Shopper, rows: Array, where: Array, out: Array) -> None:
        """Add each past item's part to out float64[rows, history]."""
        at = self._with_text(rows)
        out[at] += self._weight * self._content.support(arrays, user, rows[at], where)

    def _with_text(self, rows: Any) -> Array:
        return np.flatnonzero(self._few[rows]) if len(self._few) else np.zeros(0, np.int64)


@njit(cache=True, nogil=True)
def _add(cosines, at, weight, out):  # type: ignore[no-untyped-def]
    """Add weight * cosines float32[users, n], where they are not NaN, to the columns `at` of out.

    at: int64[n]; out: float32[users, rows].
    """
    for u in range(len(out)):
        for n in range(len(at)):
            if not np.isnan(cosines[u, n]):
                out[u, at[n]] += weight * cosines[u, n]
