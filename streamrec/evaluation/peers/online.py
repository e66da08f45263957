"""Peers that learn from every event and need no library: incremental SGD, session neighbours."""

import math
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from streamrec.state.keys import grow

Array = NDArray[Any]

POSITIONS = 8  # S: the newest items of a session that are compared
RING = 500  # m: the latest sessions that are compared
NEIGHBOURS = 200  # k: the most similar of them that vote
FADE = 0.1  # lambda(p) = max(0, 1 - FADE p)


class Isgd:
    """Incremental SGD factorisation of positives (Vinagre, Jorge and Gama, UMAP 2014).

    Score = p_u.q_i; an event takes `STEPS` steps towards the target 1, with e = 1 - p_u.q_i:
    p_u += RATE (e q_i - PENALTY p_u), q_i += RATE (e p_u - PENALTY q_i).
    """

    SIZE = 64
    RATE = 0.02
    PENALTY = 0.1
    STEPS = 5
    SCALE = 0.03

    def __init__(self, seed: int) -> None:
        self.name = "isgd"
        self._chance = [np.random.default_rng([seed, side]) for side in range(2)]
        self._users = np.zeros((0, self.SIZE), np.float32)
        self._vectors = np.zeros((0, self.SIZE), np.float32)
        self._known: set[int] = set()
        self._items = 0

    def scores(self, user: int, now_ms: int, items: int) -> NDArray[np.float32]:
        """Return float32[items]: p_u.q_i, NaN for a user who has no event."""
        out = np.full(items, np.nan, np.float32)
        if user in self._known:
            n = min(items, self._items)
            out[:n] = self._vectors[:n] @ self._users[user]
        return out

    def learn(self, user: int, item: int, weight: float, ts_ms: int, session: int) -> None:
        """Take the steps of one event."""
        self._items = max(self._items, item + 1)
        self._vectors = self._with_rows(self._vectors, item + 1, 1)
        if weight > 0:
            self._known.add(user)
            self._users = self._with_rows(self._users, user + 1, 0)
            _isgd(self._users[user], self._vectors[item], self.RATE, self.PENALTY, self.STEPS)

    def _with_rows(self, vectors: Array, rows: int, side: int) -> Array:
        longer = grow(vectors, rows)
        new = (len(longer) - len(vectors), self.SIZE)
        if new[0]:
            longer[len(vectors) :] = self._chance[side].normal(0.0, self.SCALE, new)
        return longer


@njit(cache=True, nogil=True)
def _isgd(p, q, rate, penalty, steps):  # type: ignore[no-untyped-def]
    """Step both vectors, float[K], so that their product comes nearer to 1."""
    for _ in range(steps):
        dot = 0.0
        for k in range(len(p)):
            dot += p[k] * q[k]
        e = 1.0 - dot
        for k in range(len(p)):
            a, b = p[k], q[k]
            p[k] += rate * (e * b - penalty * a)
            q[k] += rate * (e * a - penalty * b)


class VmisKnn:
    """Session nearest neighbours over an item index, VMIS-kNN (Kersbergen et al., SIGMOD 2022).

    h_1..h_S are the newest items of the user's latest session. Of the RING sessions of latest event
    that share one, the NEIGHBOURS most similar vote: sim(s) = sum over h_b in s of (S - b + 1) / S,
    score_j = idf_j sum over s with j of sim(s) lambda(first b with h_b in s), with lambda(b) =
    1 - 0.1 b and idf_j = log(1 + N / n_j), N sessions, n_j with j. The own session has no vote.
    """

    def __init__(self) -> None:
        self.name = "vmis_knn"
        self._latest: dict[int, int] = {}  # user -> session
        self._recent: dict[int, list[int]] = {}  # session -> newest items, newest first
        self._pairs: set[tuple[int, int]] = set()  # (session, item)
        self._events = 0
        self._rings = np.zeros((256, RING), np.int32)  # item -> latest sessions that took it up
        self._sessions_of = np.zeros(256, np.int64)  # item -> n_j
        self._ends = np.zeros(1024, np.int64)  # session -> number of its latest event
        self._heads = np.full(1024, -1, np.int64)  # session -> its newest entry
        self._entries = np.zeros((1024, 2), np.int64)  # item, entry before it in the session
        self._scratch = np.zeros((1024, 2), np.int64)  # all 0 between calls

    def scores(self, user: int, now_ms: int, items: int) -> NDArray[np.float32]:
        """Return float32[items]: votes of similar sessions, NaN for items without one."""
        out = np.zeros(items, np.float32)
        session = self._latest.get(user, -1)
        history = np.array(self._recent.get(session, ()), np.int64)
        index = (self._rings, self._sessions_of, self._ends, self._heads, self._entries)
        _vote(history, session, *index, len(self._recent), self._scratch, out)
        return out

    def learn(self, user: int, item: int, weight: float, ts_ms: int, session: int) -> None:
        """Put the item in front of its session, and the session in the ring of the item."""
        if weight <= 0:
            return
        self._latest[user] = session
        recent = [item, *(h for h in self._recent.get(session, ()) if h != item)]
        self._recent[session] = recent[:POSITIONS]
        self._events += 1
        self._ends = grow(self._ends, session + 1)
        self._ends[session] = self._events
        if (session, item) in self._pairs:
            return
        entry = len(self._pairs)
        self._pairs.add((session, item))
        self._heads = grow(self._heads, session + 1, -1)
        self._scratch = grow(self._scratch, session + 1)
        self._entries = grow(self._entries, entry + 1)
        self._entries[entry] = item, self._heads[session]
        self._heads[session] = entry
        self._rings = grow(self._rings, item + 1)
        self._sessions_of = grow(self._sessions_of, item + 1)
        self._rings[item, self._sessions_of[item] % RING] = session
        self._sessions_of[item] += 1


@njit(cache=True, nogil=True)
def _vote(  # type: ignore[no-untyped-def]
    history, own, rings, sessions_of, ends, heads, entries, sessions, scratch, out
):
    """Fill out float32[items] with the scores; scratch[s] = (S sim(s), first b) meanwhile."""
    found = np.empty(len(history) * rings.shape[1], np.int64)
    n = 0
    for b in range(len(history)):
        h = history[b]
        for r in range(min(sessions_of[h], rings.shape[1])):
            s = rings[h, r]
            if s == own:
                continue
            if scratch[s, 0] == 0:
                found[n] = s
                scratch[s, 1] = b + 1
                n += 1
            scratch[s, 0] += POSITIONS - b
    late = _cut(ends[found[:n]], RING)
    near = np.zeros(n, np.int64)  # similarity, then lateness; 0 for those that are not late enough
    for f in range(n):
        s = found[f]
        near[f] = (scratch[s, 0] << 40) + ends[s] if ends[s] >= late else 0
    least = max(1, _cut(near, NEIGHBOURS))
    for f in range(n):
        s = found[f]
        if near[f] >= least:
            vote = scratch[s, 0] / POSITIONS * max(0.0, 1.0 - FADE * scratch[s, 1])
            entry = heads[s]
            while entry >= 0:
                j = entries[entry, 0]
                if j < len(out):
                    out[j] += vote
                entry = entries[entry, 1]
        scratch[s] = 0
    for j in range(len(out)):
        if out[j] > 0:
            out[j] *= math.log(1.0 + sessions / sessions_of[j])
        else:
            out[j] = np.nan


@njit(cache=True, nogil=True)
def _cut(values, keep):  # type: ignore[no-untyped-def]
    """Return the value that the `keep` largest reach, the values being distinct.

    values: int64[n].
    """
    if len(values) <= keep:
        return 0
    at = len(values) - keep
    return np.partition(values, at)[at]
