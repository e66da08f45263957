"""Reasons: which past items speak for a recommended one."""

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from streamrec.neural.serve import Served
from streamrec.state.item_table import ItemTable

Array = NDArray[Any]


@njit(cache=True, nogil=True)
def stands_out(parts, ranks, moves):  # type: ignore[no-untyped-def]
    """Return int64[C]: the source whose part is most above its mean, of those that list the item.

    parts: float64[C, M or more]; ranks: uint8[C, M], 0 where a source does not list it; moves:
    float64[C], the neural ranker's part, which counts as number M.
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
        if moves[c] != 0.0 and moves[c] - moves.mean() > most:
            out[c] = m
    return out


def because(lists: Any, table: ItemTable, ranked: Any, source: Array) -> list[list[int]]:
    """Return for each item the past ones that support it, as table rows, strongest first; then -1.

    By what they add to the score of the source that the item stands out for (Source.support), or to
    the neural ranker's part, as `explain` does. lists: the ListMaker; ranked: Ranked; source:
    int64[length], number of the source of each in the list.
    """
    shopper, rows = ranked.shopper, ranked.candidates[ranked.order]
    most = min(lists.settings.lists.because, len(shopper.history))
    out = np.full((len(rows), most), -1, np.int32)
    for m in set(source.tolist()) if most else ():
        if m == len(lists.sources):
            support = neural_support(lists.network, ranked, ranked.order, source == m)
        else:
            support = lists.sources[m].support(table.arrays, shopper, rows, lists.scratch.where)
        if support is not None:
            _strongest(support, shopper.history, source == m, out)
    found: list[list[int]] = out.tolist()
    return found


def neural_support(
    network: Served | None, ranked: Any, numbers: Array, wanted: Array
) -> NDArray[np.float64]:
    """Return float64[len(numbers), history]: what each past item adds to the neural ranker's part.

    ranked: Ranked; numbers: of candidates; wanted: bool, for which of them; 0 of the others, and of
    what the network does not read.
    """
    out, reading = np.zeros((len(numbers), len(ranked.shopper.history))), ranked.reading
    if network is None or reading is None:
        return out
    place = np.full(len(ranked.candidates), -1)
    place[reading.at] = np.arange(len(reading.at))
    asked = np.flatnonzero(wanted & (place[numbers] >= 0))
    if len(asked):
        shares = network.shares(reading, ranked.units, place[numbers[asked]])
        out[asked, : shares.shape[1]] = shares
    return out


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
