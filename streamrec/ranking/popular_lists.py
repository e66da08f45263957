"""Lists for strangers of whom something is known: a category they look at, or a segment."""

from collections import defaultdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from streamrec.ranking.published import ListItem
from streamrec.sources.popularity import HALF_LIVES
from streamrec.state.item_table import ItemTable

Array = NDArray[Any]
HALF_LIFE = "medium"
MOST = 1000
"""Categories that have a list: those with the most items."""


def rows_by_category(table: ItemTable) -> dict[str, Array]:
    """Return the rows of the items of each category, the largest MOST of them."""
    found: defaultdict[str, list[int]] = defaultdict(list)
    for row, names in table.categories.items():
        for name in names:
            found[name].append(row)
    largest = sorted(found, key=lambda name: (-len(found[name]), name))[:MOST]
    return {name: np.array(found[name], np.int32) for name in largest}


def popular_among(table: ItemTable, rows: Array, length: int) -> list[ListItem]:
    """Return the available items of `rows` that are popular today; score: the share among them."""
    heats = table.arrays.heats[rows, HALF_LIVES[HALF_LIFE]]
    known = np.isfinite(heats)
    rows, heats = rows[known], heats[known]
    counts = np.exp2(heats - heats.max(initial=-np.inf)) if len(rows) else heats
    return _best(table, rows, counts, length, f"popularity_{HALF_LIFE}")


def popular_in_segment(table: ItemTable, segment: int, length: int) -> list[ListItem]:
    """Return the available items that are taken most in the segment of that row."""
    arrays = table.arrays
    size = int(arrays.similarity_size[segment])
    rows = arrays.similarity_keys[segment, :size]
    known = rows >= 0
    counts = arrays.similarity_weights[segment, :size][known].astype(np.float64)
    return _best(table, rows[known], counts, length, "segment")


def _best(table: ItemTable, rows: Array, counts: Array, length: int, source: str) -> list[ListItem]:
    fit = table.arrays.stored[rows] & table.arrays.available[rows] & (counts > 0.0)
    rows, counts = rows[fit], counts[fit]
    shares = counts / (counts.sum() or 1.0)
    best = np.argsort(-shares, kind="stable")[:length].tolist()
    named = ((table.ids[rows[k]], float(shares[k])) for k in best)
    return [ListItem(name, round(share, 4), source, []) for name, share in named if name]
