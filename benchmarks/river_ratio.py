"""Matrix factorisation alone against river's BiasedMF: same K, events and run, alternated."""

import time
from typing import Any

import numpy as np
from numba import njit

from benchmarks.clicks import Clicks
from benchmarks.figures import Sample
from streamrec.settings.sections import Settings
from streamrec.sources.factors import (
    INIT_SCALE,
    Vectors,
    gradient,
    step_context,
    step_target,
)
from streamrec.sources.user_vector import user_vector
from streamrec.state.keys import mix, start_vectors
from streamrec.state.user_kernel import draw


class River:
    """Ours learns 20 negatives and 8 context items an event, river makes one regression step."""

    def __init__(self, clicks: Clicks, warm: int, events: int, repeats: int) -> None:
        from river.reco import BiasedMF

        self.repeats = repeats
        self._factors = Settings().factors
        self._users = np.unique(clicks.users, return_inverse=True)[1].astype(np.int64)
        self._items = np.unique(clicks.items, return_inverse=True)[1].astype(np.int64)
        self._clicks, self._events = clicks, events
        self._ours = Model(self._users, self._items, self._factors)
        self._theirs: Any = BiasedMF(n_factors=self._factors.size, seed=1)
        self._next = 0
        self._step(warm)

    def once(self) -> Sample:
        """Return how many times as many events a second ours learns."""
        ours, theirs = self._step(self._events)
        return {
            "river_ratio": theirs / ours,
            "factors_events_per_second": self._events / ours,
            "river_events_per_second": self._events / theirs,
        }

    def _step(self, events: int) -> tuple[float, float]:
        """Let both learn the next events; return the CPU seconds of each."""
        at = np.arange(self._next, self._next + events) % len(self._users)
        self._next += events
        start = time.process_time()
        self._ours.learn(self._users[at], self._items[at])
        ours = time.process_time() - start
        pairs = [(self._clicks.users[n], self._clicks.items[n]) for n in at.tolist()]
        learn = self._theirs.learn_one
        start = time.process_time()
        for user, item in pairs:
            learn(user=user, item=item, y=1.0)
        return ours, time.process_time() - start

    def notes(self) -> dict[str, object]:
        """Return the shape of the work."""
        return {
            "events_a_repeat": self._events,
            "factor_size": self._factors.size,
            "negatives": self._factors.negatives,
            "context_items": self._factors.context,
        }

    def close(self) -> None:
        """Nothing was started."""


class Model:
    """Factors and histories of a session-FISM that learns in one place."""

    def __init__(self, users: Any, items: Any, factors: Any) -> None:
        n, k = int(items.max()) + 1, factors.size
        both = [np.zeros((n, k), np.float32) for _ in range(2)]
        self._vectors = Vectors(*both, *(np.zeros(n, np.float32) for _ in range(4)))
        start_vectors(self._vectors.targets, np.arange(n, dtype=np.uint64), 0, 1, INIT_SCALE)
        self._arrays = (
            np.full((int(users.max()) + 1, factors.context), -1, np.int64),
            np.zeros(factors.ring, np.int64),
            np.zeros(n, np.int64),
            np.zeros(1, np.int64),
        )
        self._rules = (
            factors.negatives,
            factors.context_decay,
            factors.context_norm,
            factors.uniform_share,
            factors.learning_rate,
        )

    def learn(self, users: Any, items: Any) -> None:
        """Learn events in order."""
        _learn(users, items, self._vectors, self._arrays, self._rules)


@njit(cache=True)
def _learn(users, items, vectors, arrays, rules):  # type: ignore[no-untyped-def]
    """Draw, gradient, one step of each target and context vector, for each event."""
    targets, deltas, biases = vectors.targets, vectors.deltas, vectors.biases
    history, ring, counts, total = arrays
    negatives, decay, norm, uniform_share, rate = rules
    size, width = targets.shape[1], history.shape[1]
    contexts = np.empty((width, size), np.float32)
    own, weights = np.arange(width), np.empty(width, np.float32)
    rows, live = np.empty(1 + negatives, np.int64), np.arange(len(targets)).astype(np.int32)
    log_q, rest = np.empty(1 + negatives, np.float32), np.empty(1 + negatives, np.float32)
    z, g = np.empty(size, np.float32), np.empty(size, np.float32)
    for e in range(len(users)):
        user, item = users[e], items[e]
        found = 0
        while found < width and history[user, found] >= 0:
            h = history[user, found]
            for k in range(size):
                contexts[found, k] = targets[h, k] + deltas[h, k]
            found += 1
        if found > 0:
            user_vector((contexts, own[:found]), (decay, norm), weights[:found], z)
            latest = ring, min(total[0], len(ring)), counts
            state = mix(np.uint64(total[0]))
            draw(item, live, latest, uniform_share, state, (rows, log_q))
            gradient((targets, biases), (rows, log_q), True, z, rest, g)
            for n in range(len(rows)):
                if rows[n] >= 0:
                    wanted = log_q[n], rest[n], np.uint8(n == 0), np.float32(1.0)
                    step_target(vectors, rows[n], z, wanted, rate)
            for b in range(found):
                step_context(vectors, history[user, b], g, weights[b], rate)
        for b in range(width - 1, 0, -1):
            history[user, b] = history[user, b - 1]
        history[user, 0] = item
        at = total[0] % len(ring)
        if total[0] >= len(ring):
            counts[ring[at]] -= 1
        ring[at] = item
        counts[item] += 1
        total[0] += 1
