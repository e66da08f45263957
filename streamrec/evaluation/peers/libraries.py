"""Peers from other libraries: river's BiasedMF, and three models of implicit that are refitted.

The libraries are imported when a peer is made, so the rest of the evaluation needs neither.
"""

from collections.abc import Callable
from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import NDArray

from streamrec.errors import ConfigurationError
from streamrec.state.keys import grow

Array = NDArray[Any]
Scorer = Callable[[int, Any], Array]  # user, csr[1, items] of the user's weights -> float[items]

FIRST_FIT = 500
FIT_EVERY = 5_000


def need(module: str, extra: str = "peers") -> Any:
    """Import a module; raises ConfigurationError that names the extra where it is missing."""
    try:
        return import_module(module)
    except ImportError as error:
        raise ConfigurationError(
            f"cannot import {module} ({error}): pip install 'streamrec[{extra}]'"
        ) from error


class RiverBiasedMF:
    """River's BiasedMF, y = mean + b_u + b_i + v_u.v_i (Paterek 2007), squared loss.

    It is made for ratings and learns nothing from clicks alone: each click is y = 1, followed by
    NEGATIVES items drawn evenly from all so far, y = 0. Item rows are mirrored in one matrix, so
    that all scores are one product; a user without events gets mean + b_i, where predict_one would
    draw a vector and keep it.
    """

    SIZE = 32
    RATE = 0.1
    PENALTY = 0.01
    NEGATIVES = 8

    def __init__(self, seed: int) -> None:
        reco, optim = need("river.reco"), need("river.optim")
        self.name = "river_biased_mf"
        self._model = reco.BiasedMF(
            n_factors=self.SIZE,
            bias_optimizer=optim.SGD(self.RATE),
            latent_optimizer=optim.SGD(self.RATE),
            l2_bias=self.PENALTY,
            l2_latent=self.PENALTY,
            latent_initializer=optim.initializers.Normal(sigma=0.1, seed=seed),
            seed=seed,
        )
        self._chance = np.random.default_rng(seed)
        self._items = 0
        self._mirror = np.full((1024, self.SIZE + 1), np.nan)  # v_i, b_i

    def scores(self, user: int, now_ms: int, items: int) -> NDArray[np.float32]:
        """Return float32[items]: what predict_one returns for a known user and item."""
        out = np.full(items, np.nan, np.float32)
        model = self._model
        n = min(items, self._items)
        known = np.zeros(self.SIZE + 1)
        known[:-1] = model.u_latents.get(user, 0.0)
        known[-1] = 1.0
        base = model.global_mean.get() + model.u_biases.get(user, 0.0)
        out[:n] = self._mirror[:n] @ known + base
        return out

    def learn(self, user: int, item: int, weight: float, ts_ms: int, session: int) -> None:
        """Take one click in, then its negatives."""
        self._items = max(self._items, item + 1)
        self._mirror = grow(self._mirror, self._items, np.nan)
        if weight > 0:
            self._step(user, item, 1.0)
            for other in self._chance.integers(self._items, size=self.NEGATIVES).tolist():
                if other != item:
                    self._step(user, other, 0.0)

    def _step(self, user: int, item: int, y: float) -> None:
        self._model.learn_one(user, item, y)
        self._mirror[item, :-1] = self._model.i_latents[item]
        self._mirror[item, -1] = self._model.i_biases[item]


class Refitted:
    """A batch model, fitted on all events so far after 500 of them and then at every 5,000th.

    The matrix holds the summed weights of each user and item. Items newer than the last fit, and
    users the model can say nothing of, are NaN.
    """

    def __init__(self, name: str, fit: Callable[[Any], Scorer]) -> None:
        self.name = name
        self._fit = fit
        self._matrix = need("scipy.sparse").csr_matrix
        self._limits = need("threadpoolctl").threadpool_limits
        self._events = 0
        self._pairs = np.zeros((1024, 2), np.int32)
        self._weights = np.zeros(1024, np.float32)
        self._own: dict[int, dict[int, float]] = {}
        self._items = 0  # of the last fit
        self._scorer: Scorer | None = None

    def scores(self, user: int, now_ms: int, items: int) -> NDArray[np.float32]:
        """Return float32[items] of the last fitted model, for the user's items of this moment."""
        out = np.full(items, np.nan, np.float32)
        own = {h: w for h, w in self._own.get(user, {}).items() if h < self._items}
        if self._scorer is not None and own:
            rows = np.fromiter(own, np.int32, len(own))
            weights = np.fromiter(own.values(), np.float32, len(own))
            ends = np.array([0, len(own)], np.int32)
            n = min(items, self._items)
            found = self._scorer(user, self._matrix((weights, rows, ends), (1, self._items)))
            out[:n] = found[:n]
        return out

    def learn(self, user: int, item: int, weight: float, ts_ms: int, session: int) -> None:
        """Note the event; fit when it is time."""
        if weight <= 0:
            return
        n = self._events
        self._events += 1
        self._pairs, self._weights = grow(self._pairs, n + 1), grow(self._weights, n + 1)
        self._pairs[n], self._weights[n] = (user, item), weight
        own = self._own.setdefault(user, {})
        own[item] = own.get(item, 0.0) + weight
        if self._events == FIRST_FIT or self._events % FIT_EVERY == 0:
            self._refit()

    def _refit(self) -> None:
        users, rows = self._pairs[: self._events].T
        shape = (int(users.max()) + 1, int(rows.max()) + 1)
        matrix = self._matrix((self._weights[: self._events], (users, rows)), shape)
        with self._limits(limits=1, user_api="blas"):
            self._scorer = self._fit(matrix)
        self._items = shape[1]


def implicit_bpr(seed: int) -> Refitted:
    """Return Bayesian personalised ranking (Rendle et al. 2009).

    implicit cannot fold a user into BPR; a user newer than the fit gets the mean vector of the own
    items (recall@10 of 0.100 instead of 0.016 without, first 20,000 events of MovieLens-100K).
    """
    bpr = need("implicit.cpu.bpr")

    def fit(matrix: Any) -> Scorer:
        model = bpr.BayesianPersonalizedRanking(
            factors=64, learning_rate=0.05, iterations=50, num_threads=1, random_state=seed
        )
        model.fit(matrix, show_progress=False)
        vectors, users = model.item_factors, model.user_factors

        def score(user: int, own: Any) -> Array:
            if user < len(users):
                return np.asarray(vectors @ users[user])
            mean = (own @ vectors)[0] / own.sum()
            mean[-1] = 1.0  # the last column of the items is their bias
            return np.asarray(vectors @ mean)

        return score

    return Refitted("implicit_bpr", fit)


def implicit_als(seed: int) -> Refitted:
    """Return implicit ALS (Hu et al. 2008); the user's vector is solved afresh for each list."""
    als = need("implicit.cpu.als")

    def fit(matrix: Any) -> Scorer:
        model = als.AlternatingLeastSquares(
            factors=32, regularization=0.1, iterations=10, num_threads=1, random_state=seed
        )
        model.fit(matrix, show_progress=False)
        return lambda user, own: model.item_factors @ model.recalculate_user(0, own)

    return Refitted("implicit_als", fit)


def implicit_item(seed: int) -> Refitted:
    """Return item-item cosine (Deshpande and Karypis 2004): sum of similarities to own items."""
    neighbours = need("implicit.nearest_neighbours")

    def fit(matrix: Any) -> Scorer:
        model = neighbours.ItemItemRecommender(K=200, num_threads=1)
        model.fit(neighbours.normalize(matrix.T).T.tocsr(), show_progress=False)

        def score(user: int, own: Any) -> Array:
            out = np.full(matrix.shape[1], np.nan, np.float32)
            rows, found = model.recommend(0, own, len(out), filter_already_liked_items=False)
            out[rows] = found
            return out

        return score

    return Refitted("implicit_item", fit)
