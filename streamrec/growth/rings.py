"""Rings: ids of the duplicate window to the shard of their user, latest items, events to all heirs.

Rings of several shards become one by age: how many entries are newer in the former ring.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from streamrec.growth.plan import feeders, heirs
from streamrec.state.ring import Ring

Array = NDArray[Any]
Sizes = Sequence[Sequence[int]]
"""(capacity, total) of the duplicate window and of each of LATEST, as `rings` in meta has it."""
LATEST = ("latest", "newcomers")


class Window(NamedTuple):
    """Entries of a duplicate window, oldest first: ids, keys of their users, ages."""

    ids: NDArray[np.uint64]
    owners: NDArray[np.uint64]
    ages: NDArray[np.int64]


class Former(NamedTuple):
    """The rings of a shard as they were; latest: each of LATEST, oldest first."""

    window: Window
    latest: list[NDArray[np.uint64]]
    sizes: Sizes


def former(sizes: Sizes, chunks: Mapping[bytes, bytes]) -> Former:
    """Return rings from their chunks; places of forgotten ids are left out."""
    names = zip(("ids", "owners", *LATEST), (sizes[0], *sizes), strict=True)
    ids, owners, *latest = (
        Ring.restore(name, size[0], (size[0], size[1]), chunks).latest() for name, size in names
    )
    used = ids != 0
    window = Window(ids[used], owners[used], np.arange(len(ids))[::-1][used])
    return Former(window, latest, sizes)


def dealt(
    window: Window, home: int, counts: tuple[int, int], users: NDArray[np.uint64], places: Array
) -> dict[int, Window]:
    """Return the entries of shard `home` by the shard that each goes to.

    counts: partitions before and after; users: sorted keys of the users with a row in `home`,
    places: where each of them goes. Whose id it is may be unknown: it goes to all heirs.
    """
    at = np.searchsorted(users, window.owners).clip(0, max(0, len(users) - 1))
    known = users[at] == window.owners if len(users) else np.zeros(len(at), np.bool_)
    known &= window.owners != 0
    goes = np.where(known, places[at] if len(users) else 0, -1)
    all_heirs = set(heirs(home, *counts)) | set(np.unique(goes[known]).tolist())
    found = {}
    for number in sorted(all_heirs):
        here = goes == number
        if number in heirs(home, *counts):
            here |= goes < 0
        found[number] = Window(*(column[here] for column in window))
    return found


def rings_of(
    number: int,
    counts: tuple[int, int],
    windows: Sequence[Window],
    formers: Sequence[Former | None],
) -> tuple[dict[bytes, bytes], list[list[int]]]:
    """Return the chunks of a new shard's rings, and their sizes for its meta.

    windows: what is dealt to it; formers: the rings of all former shards, None of empty ones.
    """
    from_here = [f for n in feeders(number, *counts) if (f := formers[n]) is not None]
    known = from_here or [f for f in formers if f is not None]
    capacity = max((f.sizes[0][0] for f in known), default=0)
    ids, owners = Ring("ids", capacity), Ring("owners", capacity)
    latest = [
        Ring(name, max((f.sizes[1 + k][0] for f in known), default=0))
        for k, name in enumerate(LATEST)
    ]
    if windows:
        ages = np.concatenate([window.ages for window in windows])
        order = np.argsort(-ages, kind="stable")
        ids.push(np.concatenate([window.ids for window in windows])[order])
        owners.push(np.concatenate([window.owners for window in windows])[order])
    for k, ring in enumerate(latest if from_here else []):
        ages = np.concatenate([np.arange(len(f.latest[k]))[::-1] for f in from_here])
        order = np.argsort(-ages, kind="stable")
        ring.push(np.concatenate([f.latest[k] for f in from_here])[order])
    sizes = [[len(ring.keys), ring.total] for ring in (ids, *latest)]
    chunks: dict[bytes, bytes] = {}
    for ring in (ids, owners, *latest):
        chunks |= ring.changed_chunks()
    return chunks, sizes
