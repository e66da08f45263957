"""The lists of an item row: neighbours (short), cosine (long) and successors (ring), as bytes."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from streamrec.errors import UnknownVersion
from streamrec.state import rows
from streamrec.state.item_kernel import ItemArrays
from streamrec.state.keys import take

Array = NDArray[Any]


class Kind(NamedTuple):
    """How one kind of list lies in ItemArrays, and which setting bounds it."""

    columns: tuple[str, ...]
    size: str
    clock: str
    changed: str
    setting: str


KINDS = {
    "neighbours": Kind(
        ("near", "near_weights", "near_counts"),
        "near_sizes",
        "near_clocks",
        "near_changed",
        "similarity.neighbours",
    ),
    "cosine": Kind(
        ("far", "far_weights"), "far_sizes", "far_clocks", "far_changed", "cosine.neighbours"
    ),
    "successors": Kind(
        ("ring", "ring_ranks"), "ring_totals", "", "ring_changed", "successors.entries"
    ),
}


def columns_of(items: ItemArrays, kind: str) -> tuple[Array, ...]:
    """Return the arrays whose used part is stored."""
    return tuple(getattr(items, name) for name in KINDS[kind].columns)


def take_changed(items: ItemArrays, kind: str, count: int) -> Array:
    """Return the rows changed since the last call."""
    at: Array = take(getattr(items, KINDS[kind].changed), count)
    return at


def encode(items: ItemArrays, kind: str, at: Array) -> list[bytes]:
    """Return the bytes of the lists of rows `at`."""
    columns, totals = columns_of(items, kind), getattr(items, KINDS[kind].size)[at]
    headers = np.zeros(len(at), rows.LIST_HEADER)
    headers["total"] = totals
    headers["size"] = np.minimum(totals, columns[0].shape[1])
    if KINDS[kind].clock:
        headers["clock"] = getattr(items, KINDS[kind].clock)[at]
    sizes = np.repeat(headers["size"][:, None], len(columns), axis=1)
    return rows.pack(headers, columns, at, sizes)


def restore(items: ItemArrays, kind: str, at: Array, blobs: Sequence[bytes]) -> None:
    """Write stored lists into rows `at`; raises UnknownVersion if they do not fit."""
    columns = columns_of(items, kind)
    headers = rows.headers_of(blobs, rows.LIST_HEADER, kind)
    ring = not KINDS[kind].clock
    longest = int(headers["size"].max())
    if longest > columns[0].shape[1] or (ring and (headers["total"] > headers["size"]).any()
                                         and longest != columns[0].shape[1]):  # fmt: skip
        raise UnknownVersion(
            f"{kind} rows in Redis were written with another {KINDS[kind].setting}: set it to what "
            "it was, or start from an empty Redis"
        )
    sizes = np.repeat(headers["size"][:, None], len(columns), axis=1)
    rows.unpack(blobs, headers.dtype.itemsize, columns, at, sizes)
    getattr(items, KINDS[kind].size)[at] = headers["total"]
    if KINDS[kind].clock:
        getattr(items, KINDS[kind].clock)[at] = headers["clock"]


def entries(items: ItemArrays, kind: str, count: int) -> int:
    """Return how many entries the lists of the first `count` rows hold."""
    longest = columns_of(items, kind)[0].shape[1]
    sizes = getattr(items, KINDS[kind].size)[:count]
    return int(np.minimum(sizes, longest).sum())
