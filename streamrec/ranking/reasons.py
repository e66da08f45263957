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
    """Return for each item the past ones that support it, as table rows, strongest first; then -1.

    By what they add to the score of the source that the item stands out for (Source.support), as
    `explain` does. lists: the ListMaker; source: int64[len(rows)], number of the source.
    """
    most = min(lists.settings.lists.because, len(shopper.history))
    out = np.full((len(rows), most), -1, np.int32)
    for m in set(source.tolist()) if most else ():
        support = lists.sources[m].support(table.arrays, shopper, rows, lists.scratch.where)
        if support is not None:
            _strongest(support, shopper.history, source == m, out)
    found: list[list[int]] = out.tolist()
    return found


@njit(cache=True, nogil=True)
def _strongest(support, history, mine, out):  # type: ignore[no-untyped-def]
    """Write to out int32[C, most], where mine bool[C], the past items of most support above 0.

    support: float64[C, H], of which nothing is left; history: int32[H]; of equals the newest comes
    first.
    """
    for n in range(len(mine)):
        if not mine[n]:
            continue
        for k in range(out.shape[1]):
            best = np.argmax(support[n])
            if support[n, best] <= 0.0:
                break
            out[n, k] = history[best]
            support[n, best] = 0.0
