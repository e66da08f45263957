"""Peers in the same run: asked before each event, told after it, under the same exclusion rule."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import msgspec
import numpy as np

from streamrec.errors import ConfigurationError
from streamrec.evaluation.peers.registry import Peer
from streamrec.evaluation.ranks import rank_of
from streamrec.events.event import Event
from streamrec.settings.sections import Settings

NOT_LISTED = float("nan")
LISTED = 20
"""A guest's list is read so far."""


class Guest(Protocol):
    """A recommender from outside, which knows users and items by their ids."""

    def recommend(self, user: str, k: int, /) -> Any:
        """Return up to k item ids, best first, or a pair of these and their scores."""

    def learn(self, event: Any, /) -> Any:
        """Take one event in: a dict as docs/events.md has it, ts in epoch milliseconds."""


class Rivals:
    """Ranks the clicked item in the lists of peers; items and users as dense ints by appearance."""

    def __init__(
        self, peers: Sequence[Peer], settings: Settings, guests: Mapping[str, Guest] | None = None
    ) -> None:
        self.peers, self._guests = peers, guests or {}
        self.names = [f"peer:{name}" for name in (*(p.name for p in peers), *self._guests)]
        self._weights = settings.events.weights
        self._rule = settings.lists.exclude
        self._gap_ms = int(settings.lists.session_seconds * 1000)
        self._users: dict[str, int] = {}
        self._items: dict[str, int] = {}
        self._taken: list[set[int]] = []  # items by user: all, or of the current session
        self._disliked: list[set[int]] = []  # items by user, never listed
        self._latest: list[int] = []
        self._sessions: list[int] = []
        self._count = 0

    def places(self, event: Event) -> list[float]:
        """Return the place of the event's item in each peer's list; NaN where it is new."""
        known = len(self._items)
        target, number = self._items.get(event.item), self._users.get(event.user)
        if target is None or number is None:
            return [NOT_LISTED] * len(self.names)
        out = self._disliked[number] | (self._taken[number] if self._rule != "none" else set())
        allowed = np.ones(known, np.bool_)
        allowed[list(out)] = False
        places = [
            float(rank_of(peer.scores(number, event.ts, known), target, allowed))
            for peer in self.peers
        ]
        return places + [self._place_of(name, event, out) for name in self._guests]

    def _place_of(self, name: str, event: Event, out: set[int]) -> float:
        """Return the item's place in a guest's list; NaN where it is not among the first 20.

        Items that our lists leave out are passed over, and more asked for in their stead.
        """
        left: list[str] = []
        for most in (LISTED, LISTED + len(out)):
            listed = ids_of(name, self._guests[name].recommend(event.user, most))
            left = [item for item in listed if self._items.get(item) not in out][:LISTED]
            if len(left) == LISTED or len(listed) < most:
                break
        return float(left.index(event.item)) if event.item in left else NOT_LISTED

    def forget(self, user: str) -> None:
        """Take who comes back under this name for somebody new."""
        self._users.pop(user, None)

    def learn(self, event: Event) -> None:
        """Tell the peers of one event; none of one that is not personal.

        What lists leave out is as in state/user_kernel.py: only what was taken or disliked.
        """
        if not (self.names and event.personal):
            return
        for guest in self._guests.values():
            guest.learn({k: v for k, v in msgspec.structs.asdict(event).items() if v is not None})
        weight, ts = self._weights.get(event.type, 0.0), event.ts
        number = self._users.setdefault(event.user, len(self._taken))
        row = self._items.setdefault(event.item, len(self._items))
        if number == len(self._taken):
            self._taken.append(set())
            self._disliked.append(set())
            self._latest.append(ts)
            self._sessions.append(-1)
        undo = event.type == "remove"
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


def ids_of(name: str, said: Any) -> list[str]:
    """Return the ids that a guest's `recommend` returned; raises ConfigurationError."""
    if isinstance(said, tuple) and len(said) == 2 and not isinstance(said[0], str | int):
        said = said[0]
    try:
        return [str(item) for item in said]
    except TypeError:
        raise ConfigurationError(
            f"peer {name}: recommend returned {type(said).__name__}, neither item ids nor a pair "
            "of ids and scores."
        ) from None
