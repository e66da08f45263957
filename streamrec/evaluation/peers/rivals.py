"""Peers in the same run: asked before each event, told after it, under the same exclusion rule."""

from collections.abc import Sequence

import numpy as np
from numba import njit

from streamrec.evaluation.peers.registry import Peer
from streamrec.settings.sections import Settings

MISS = float("nan")


class Rivals:
    """Ranks the clicked item in the lists of peers; items and users as dense ints by appearance."""

    def __init__(self, peers: Sequence[Peer], settings: Settings) -> None:
        self.peers = peers
        self.names = [f"peer:{peer.name}" for peer in peers]
        self._rule = settings.lists.exclude
        self._gap_ms = int(settings.lists.session_seconds * 1000)
        self._users: dict[str, int] = {}
        self._items: dict[str, int] = {}
        self._taken: list[set[int]] = []  # items by user: all, or of the current session
        self._disliked: list[set[int]] = []  # items by user, never listed
        self._latest: list[int] = []
        self._sessions: list[int] = []
        self._count = 0

    def places(self, user: str, item: str, ts: int) -> list[float]:
        """Return the item's place in each peer's ranking; NaN where it is new."""
        known = len(self._items)
        target = self._items.get(item)
        if target is None or user not in self._users:
            return [MISS] * len(self.peers)
        number = self._users[user]
        allowed = np.ones(known, np.bool_)
        allowed[list(self._disliked[number])] = False
        if self._rule != "none":
            allowed[list(self._taken[number])] = False
        return [_place(peer.scores(number, ts, known), target, allowed) for peer in self.peers]

    def learn(self, user: str, item: str, weight: float, ts: int, undo: bool = False) -> None:
        """Tell the peers of one event; `undo`: the user takes the item back.

        What lists leave out is as in state/user_kernel.py: only what was taken or disliked.
        """
        number = self._users.setdefault(user, len(self._users))
        row = self._items.setdefault(item, len(self._items))
        if number == len(self._taken):
            self._taken.append(set())
            self._disliked.append(set())
            self._latest.append(ts)
            self._sessions.append(-1)
        if undo or weight < 0:
            self._taken[number].discard(row)
            (self._disliked[number].discard if undo else self._disliked[number].add)(row)
        if undo or weight <= 0:
            return
        if self._sessions[number] < 0 or ts - self._latest[number] > self._gap_ms:
            self._sessions[number] = self._count
            self._count += 1
            if self._rule == "session":
                self._taken[number] = set()
        self._latest[number] = max(ts, self._latest[number])
        self._taken[number].add(row)
        session = self._sessions[number] if self._rule != "user" else number
        for peer in self.peers:
            peer.learn(number, row, weight, ts, session)


@njit(cache=True, nogil=True)
def _place(scores, target, allowed):  # type: ignore[no-untyped-def]
    """Return the place of `target` by score among the allowed; items without one are level."""
    mine = scores[target]
    silent = not mine > -np.inf
    bound = np.float32(-np.inf) if silent else mine
    above = level = count = 0
    for j in range(len(scores)):
        above += allowed[j] & (scores[j] > bound)
        level += allowed[j] & (scores[j] == bound)
        count += allowed[j]
    if silent:
        level = count - above
    return above + (level - allowed[target]) / 2.0
