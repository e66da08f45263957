"""Peers: the other recommenders a user could pick, as rivals of ours in the prequential evaluation.

Every peer sees the events that ours sees, in the same order: first `scores`, then `learn`. A table
of a peer grows with the run and is dropped with it; only sliding windows forget.
"""

from collections import deque
from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from streamrec.evaluation.peers.libraries import (
    RiverBiasedMF,
    implicit_als,
    implicit_bpr,
    implicit_item,
    need,
)
from streamrec.evaluation.peers.online import Isgd, VmisKnn
from streamrec.state.keys import grow

__all__ = ["PEERS", "Own", "Peer", "Popularity", "make_peers"]

HOUR_MS = 3_600_000


class Peer(Protocol):
    """A recommender that is asked before each event and told after it.

    Users, items and sessions are dense ints in order of first appearance, and time never runs
    backwards. Events of weight 0 or less (dislikes) are not learnt.
    """

    name: str

    def scores(self, user: int, now_ms: int, items: int) -> NDArray[np.float32]:
        """Return float32[items], higher is better, NaN = no opinion; changes nothing."""

    def learn(self, user: int, item: int, weight: float, ts_ms: int, session: int) -> None:
        """Take one event in."""


def make_peers(names: Sequence[str], seed: int) -> list[Peer]:
    """Return new peers by name; raises ConfigurationError where a library is missing."""
    return [PEERS[name](seed) for name in names]


class Popularity:
    """Score = events of the item in the last `window_ms`, for all users the same.

    An event counts while now - ts < window_ms. `learn` forgets what has left the window; a read
    takes it off a copy, so the cost is O(1) an event when reads and events alternate.
    """

    def __init__(self, name: str, window_ms: int) -> None:
        self.name = name
        self._window_ms = window_ms
        self._events: deque[tuple[int, int]] = deque()
        self._counts = np.zeros(1024, np.float32)

    def scores(self, user: int, now_ms: int, items: int) -> NDArray[np.float32]:
        """Return float32[items]: events in the window that ends at `now_ms`."""
        out: NDArray[np.float32] = grow(self._counts[:items], items)[:items].copy()
        for ts_ms, item in self._events:
            if now_ms - ts_ms < self._window_ms:
                break
            if item < items:
                out[item] -= 1
        return out

    def learn(self, user: int, item: int, weight: float, ts_ms: int, session: int) -> None:
        """Count the event and forget the events that are out of the window at its time."""
        if weight <= 0:
            return
        self._counts = grow(self._counts, item + 1)
        self._counts[item] += 1
        self._events.append((ts_ms, item))
        while ts_ms - self._events[0][0] >= self._window_ms:
            self._counts[self._events.popleft()[1]] -= 1


class Own:
    """The user's own items: by count, ties to the newest (`by_count`), or newest first.

    Score = place in that order, the best item having the highest; NaN for items never had.
    """

    def __init__(self, name: str, by_count: bool) -> None:
        self.name = name
        self._by_count = by_count
        self._counts: dict[int, dict[int, int]] = {}  # user -> item -> events, oldest item first

    def scores(self, user: int, now_ms: int, items: int) -> NDArray[np.float32]:
        """Return float32[items]: 1 for the worst of the user's own items, n for the best."""
        out = np.full(items, np.nan, np.float32)
        counts = self._counts.get(user, {})
        own = np.fromiter(counts, np.int64, len(counts))
        if self._by_count:
            events = np.fromiter(counts.values(), np.int64, len(counts))
            own = own[np.argsort(events, kind="stable")]
        shown = own < items
        out[own[shown]] = np.arange(1, len(own) + 1)[shown]
        return out

    def learn(self, user: int, item: int, weight: float, ts_ms: int, session: int) -> None:
        """Count the event and make its item the user's newest."""
        if weight > 0:
            counts = self._counts.setdefault(user, {})
            counts[item] = counts.pop(item, 0) + 1


def _transformer(seed: int) -> Peer:
    need("torch", "neural")
    from streamrec.evaluation.peers.transformer import Transformer

    return Transformer(seed)


PEERS: dict[str, Callable[[int], Peer]] = {
    "popularity_7d": lambda seed: Popularity("popularity_7d", 7 * 24 * HOUR_MS),
    "popularity_1h": lambda seed: Popularity("popularity_1h", HOUR_MS),
    "own_frequent": lambda seed: Own("own_frequent", by_count=True),
    "own_recent": lambda seed: Own("own_recent", by_count=False),
    "isgd": Isgd,
    "vmis_knn": lambda seed: VmisKnn(),
    "river_biased_mf": RiverBiasedMF,
    "implicit_bpr": implicit_bpr,
    "implicit_als": implicit_als,
    "implicit_item": implicit_item,
    "transformer": _transformer,
}
