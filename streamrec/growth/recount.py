"""Counts rows before and after, apart from how they were dealt: nothing lost, nothing twice.

A tally is a number of rows and the sum of their hashes, so the order in which they are read, and
the shard in which they lie, do not matter.
"""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from hashlib import blake2b
from typing import NamedTuple

import numpy as np

from streamrec.growth.rings import Former
from streamrec.growth.user_rows import KIND, TYPES

MODULUS = 1 << 64
Rows = Iterable[tuple[bytes, bytes]]


class Tally(NamedTuple):
    """So many rows, whose hashes have this sum; so many of them where they do not belong."""

    rows: int = 0
    sum: int = 0
    astray: int = 0

    def plus(self, other: "Tally") -> "Tally":
        """Return the tally of both."""
        total = (self.sum + other.sum) % MODULUS
        return Tally(self.rows + other.rows, total, self.astray + other.astray)


def tally(rows: Rows, place: Callable[[bytes], int], here: int) -> Tally:
    """Count rows as they stand; place: the shard that a field belongs to."""
    count = total = astray = 0
    for field, row in rows:
        count, total = count + 1, total + _hash(field, row)
        astray += place(field) != here
    return Tally(count, total % MODULUS, astray)


def told_users(rows: Rows, types: Sequence[str], but: Collection[bytes]) -> Rows:
    """Yield users with what their rows say, whatever shard says it; without some of them."""
    for user, row in rows:
        if user not in but:
            said = KIND.read(row)
            del said["offset"]
            said |= {name: [types[code] for code in said[name].tolist()] for name in TYPES}
            lists = {name: np.asarray(value).tolist() for name, value in said.items()}
            yield user, repr(lists).encode()


def events_of(rows: Rows, of: Collection[bytes]) -> Counter[bytes]:
    """Return how many events the rows of some users count."""
    counts: Counter[bytes] = Counter()
    for user, row in rows:
        if user in of:
            counts[user] += int(KIND.read(row)["events"])
    return counts


def differences(what: str, before: Tally, after: Tally) -> list[str]:
    """Return what does not agree; each a sentence."""
    found = []
    if before.rows != after.rows:
        found.append(f"{what}: {before.rows} rows before, {after.rows} after")
    elif before.sum != after.sum:
        found.append(f"{what}: rows say something else than before")
    if after.astray:
        found.append(f"{what}: {after.astray} rows are in a shard that is not theirs")
    return found


def lost_ids(before: Mapping[int, Former], after: Mapping[int, Former]) -> list[str]:
    """Return whether ids of the duplicate windows are missing or new; a full window drops some."""
    had = _ids(before)
    have = _ids(after)
    found = []
    if made_up := len(np.setdiff1d(have, had)):
        found.append(f"duplicate window: {made_up} ids that were not there")
    full = any(len(f.window.ids) == f.sizes[0][0] for f in after.values())
    if not full and (missing := len(np.setdiff1d(had, have))):
        found.append(f"duplicate window: {missing} ids are lost")
    return found


def _ids(rings: Mapping[int, Former]) -> "np.ndarray[tuple[int], np.dtype[np.uint64]]":
    empty = np.zeros(0, np.uint64)
    return np.unique(np.concatenate([empty, *(f.window.ids for f in rings.values())]))


def _hash(field: bytes, row: bytes) -> int:
    length = len(field).to_bytes(4, "little")
    return int.from_bytes(blake2b(length + field + row, digest_size=8).digest(), "little")
