"""The duplicate window of a partition: the latest event ids, as hashes, and whose they are."""

from hashlib import blake2b

import numpy as np

from streamrec.state.keys import key_of
from streamrec.state.ring import Ring


class Duplicates:
    """The latest (user, id) pairs. Bound: events.duplicate_window, 16 bytes each.

    Releases before the forgetting of users stored no owners: those are not known.
    """

    def __init__(self, ids: Ring, owners: Ring) -> None:
        self.ids = ids
        self.owners = owners  # keys of the users of `ids`; 0: not known
        self._known: set[int] = set(ids.latest().tolist())

    def is_new(self, user: str, identifier: str, *, personal: bool = True) -> bool:
        """Say whether the (user, id) is not in the window, and remember it; perhaps not whose."""
        short = duplicate_key(user, identifier)
        if short in self._known:
            return False
        if len(self.ids.keys):
            replaced = self.ids.push_one(short)
            self.owners.push_one(key_of(user) if personal else 0)
            if replaced is not None:
                self._known.discard(replaced)
            self._known.add(short)
        return True

    def forget(self, user: str) -> int:
        """Take the ids of a user out of the window, and return how many there were."""
        at = np.flatnonzero(self.owners.keys == np.uint64(key_of(user)))
        self._known.difference_update(self.ids.keys[at].tolist())
        self.ids.clear(at)
        self.owners.clear(at)
        return len(at)


def duplicate_key(user: str, identifier: str) -> int:
    """Return the 64-bit key of an event id; ids need to be unique only for their user."""
    text = f"{user}\0{identifier}".encode()
    return int.from_bytes(blake2b(text, digest_size=8).digest(), "little")
