"""The duplicate window of a partition: the latest event ids, as hashes, and whose they are."""

from collections.abc import Mapping
from hashlib import blake2b

import numpy as np

from streamrec.state.keys import key_of
from streamrec.state.ring import Ring


class Duplicates:
    """The latest (user, id) pairs. Bound: events.duplicate_window, 16 bytes each."""

    def __init__(self, capacity: int) -> None:
        self.ids = Ring("ids", capacity)
        self.owners = Ring("owners", capacity)  # keys of the users of `ids`; 0: not known
        self._known: set[int] = set()

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

    def note_changed(self) -> None:
        """Note that all of it is to be stored."""
        self.ids.note_changed()
        self.owners.note_changed()

    def changed_chunks(self) -> dict[bytes, bytes]:
        """Return what to store since the last call, by field name."""
        return self.ids.changed_chunks() | self.owners.changed_chunks()

    @classmethod
    def restore(
        cls, capacity: int, stored: tuple[int, int], chunks: Mapping[bytes, bytes]
    ) -> "Duplicates":
        """Return the window from its chunks; `stored` is (capacity, total) as of the commit.

        Releases before the forgetting of users stored no owners: those are not known.
        """
        window = cls(capacity)
        window.ids = Ring.restore("ids", capacity, stored, chunks)
        window.owners = Ring.restore("owners", capacity, stored, chunks)
        window._known = set(window.ids.latest().tolist())
        return window


def duplicate_key(user: str, identifier: str) -> int:
    """Return the 64-bit key of an event id; ids need to be unique only for their user."""
    text = f"{user}\0{identifier}".encode()
    return int.from_bytes(blake2b(text, digest_size=8).digest(), "little")
