"""Reasons: which past items speak for a recommended one."""

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from streamrec.sources.source import Shopper
from streamrec.state.item_table import ItemTable

Array = NDArray[Any]


@njit(cache=True, nogil=True)
def stands_out(parts, ranks):  # type: ignore[no-untyped-def]
    """Return int64[C]: the source whose part is most above its mean, of those that list the item.

    parts: float64[C, M or more]; ranks: uint8[C, M], 0 where a source does not list it.
    """
    count, m = ranks.shape
    means = np.zeros(m)
    for c in range(count):
        means += parts[c, :m]
    means /= max(count, 1)
    out = np.zeros(count, np.int64)
    for c in range(count):
        most = -np.inf
        for k in range(m):
            if ranks[c, k] > 0 and parts[c, k] - means[k] > most:
                most, out[c] = parts[c, k] - means[k], k
    return out


def because(
    lists: Any, table: ItemTable, shopper: Shopper, rows: Array, source: Array
) -> list[list[int]]:
    """Return for each item the past ones that support it, as table rows, strongest first.

    By what they add to the score of the source that the item stands out for (Source.support), as
    `explain` does. lists: the ListMaker; source: int64[len(rows)], number of the source.
    """
    out: list[list[int]] = [[] for _ in rows]
    most = min(lists.settings.lists.because, len(shopper.history))
    if not most:
        return out
    for m in np.unique(source).tolist():
        mine = np.flatnonzero(source == m)
        one, where = lists.sources[m], lists.scratch.where
        support = one.support(table.arrays, shopper, rows[mine], where)
        if support is not None:
            best = np.argsort(-support, axis=1, kind="stable")[:, :most]
            for n, order, values in zip(mine.tolist(), best, support, strict=True):
                out[n] = [int(shopper.history[b]) for b in order.tolist() if values[b] > 0.0]
    return out
