"""Whose turn it is, among the scorers, to write what is the same for all users."""

import secrets

import numpy as np

from streamrec.transport.item_lists import take_turn
from streamrec.transport.redis_store import Store

TURN_SECONDS = 5.0
"""A scorer that has not been heard of for so long is no more the one that writes."""
LOOK_SECONDS = 0.25


class Turn:
    """Asks for the turn, and keeps it by asking again. Two that hold it at once do no harm."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._me = secrets.token_hex(8)
        self._asked = -np.inf
        self.mine = False

    def come(self, now: float) -> bool:
        """Say whether it is time to look, LOOK_SECONDS after the last time; `mine` is then told.

        now: seconds of a clock that never goes back. Raises StoreError.
        """
        if now - self._asked < LOOK_SECONDS:
            return False
        self._asked, self.mine = now, False
        self.mine = take_turn(self._store, self._me, TURN_SECONDS)
        return True
