"""The network without torch: as network.py but for the shrinkage, in numba and numpy."""

import math
from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from streamrec.neural.reading import Reading, past_facts

Array = NDArray[Any]
LEAK = np.float32(0.1)
NOWHERE = np.float32(-1e30)
FAST = {"reassoc", "contract", "nsz", "arcp"}


class Served(NamedTuple):
    """A network as it serves; u units, d hidden units, t the length of a projected text."""

    alpha: float
    pair: Array  # float32[C (+ 1), u]
    past: Array  # float32[PAST, u]
    pair_bias: Array  # float32[u]
    unit: Array  # float32[u, u]
    unit_bias: Array  # float32[u]
    inward: Array  # float32[X + 2u, d]
    inward_bias: Array  # float32[d]
    again: Array  # float32[d, d]
    again_bias: Array  # float32[d]
    head: Array  # float32[d], of the first task
    project: Array  # float32[D, t]
    middle: Array  # float32[t], what is projected of the mean of the texts

    @classmethod
    def of(cls, weights: Any, shrinkage: float) -> "Served":
        """Return the network of arrays as in PairNetwork.weights; of its moves so much is kept."""

        def turned(name: str) -> Array:
            out: Array = np.ascontiguousarray(weights[name].T)
            return out

        project: Array = np.zeros((len(weights["mean"]), 0), np.float32)
        if "project.weight" in weights:
            project = turned("whiten") @ turned("project.weight")  # of texts as they are stored
        head = np.float32(shrinkage) * weights["heads.weight"][0]
        alpha = 1.0 + shrinkage * (float(weights["alpha"]) - 1.0)
        return cls(
            alpha=alpha, pair=turned("pair.weight"), past=turned("past.weight"),
            pair_bias=weights["pair.bias"], unit=turned("unit.weight"),
            unit_bias=weights["unit.bias"], inward=turned("inward.weight"),
            inward_bias=weights["inward.bias"], again=turned("again.weight"),
            again_bias=weights["again.bias"], head=head,
            project=np.ascontiguousarray(project), middle=weights["mean"] @ project,
        )  # fmt: skip

    def units(self, reading: Reading, texts: Array) -> Array:
        """Return u_jb, float32[k, h, u]: what the network makes of each candidate and past item.

        texts: float32[items, t], projected (neural/projected.py).
        """
        (k, h, channels), u = reading.pairs.shape, len(self.pair_bias)
        x: Array = (reading.pairs.reshape(k * h, channels) @ self.pair[:channels]).reshape(k, h, u)
        if self.project.shape[1]:
            mine, past = texts.take(reading.rows, 0), texts.take(reading.past_rows, 0)
            _add_likeness(x, mine @ past.T, 2.0 * self.pair[channels])
        _leaky(x, (past_facts(reading.ages) @ self.past + self.pair_bias)[None])
        y: Array = (x.reshape(k * h, u) @ self.unit).reshape(k, h, u)
        units: Array = _leaky(y, self.unit_bias[None, None])
        return units

    def moves(self, reading: Reading, units: Array) -> NDArray[np.float32]:
        """Return float32[k]: by how much the network moves the blend's scores; units: as above.

        (alpha - 1) log p_j + v.y_j, of the first task, alpha and v as they serve.
        """
        said = self._outward(reading.facts, _pool(units)[:, None])[:, 0]
        return np.float32(self.alpha - 1.0) * reading.blend + said

    def shares(self, reading: Reading, units: Array, numbers: Array) -> NDArray[np.float32]:
        """Return float32[len(numbers), h]: what each past item adds to the moves of candidates.

        d_b = s - s without b; what they leave of s - s without any (they interact) is shared
        equally, so that the shares sum to what the past makes of the candidate.
        """
        pooled = _pool_without(units[numbers])
        h = pooled.shape[1] - 2
        said = self._outward(reading.facts[numbers], pooled)  # [k, h + 2]
        each = said[:, :1] - said[:, 1:-1]
        left = said[:, 0] - said[:, -1] - each.sum(1)
        shares: NDArray[np.float32] = each + (left / max(h, 1))[:, None]
        return shares

    def _outward(self, facts: Array, pooled: Array) -> NDArray[np.float32]:
        """Return v.y float32[k, w] of facts [k, X] and pooled [k, w, 2u]."""
        (k, w, wide), x = pooled.shape, facts.shape[1]
        y: Array = (pooled.reshape(k * w, wide) @ self.inward[x:]).reshape(k, w, len(self.head))
        _leaky(y, (facts @ self.inward[:x] + self.inward_bias)[:, None])
        z: Array = (y.reshape(k * w, len(self.head)) @ self.again).reshape(y.shape)
        _leaky(z, self.again_bias[None, None])
        out: NDArray[np.float32] = y @ self.head + z @ self.head
        return out


@njit(cache=True, nogil=True, fastmath=FAST)
def _leaky(x, added):  # type: ignore[no-untyped-def]
    """Set x to max(x + added, .1 (x + added)) and return it.

    x: float32[k, h, u]; added: float32[k or 1, h or 1, u].
    """
    k, h, u = x.shape
    for n in range(k):
        for b in range(h):
            one, more = x[n, b], added[min(n, added.shape[0] - 1), min(b, added.shape[1] - 1)]
            for q in range(u):
                y = one[q] + more[q]
                one[q] = max(y, LEAK * y)
    return x


@njit(cache=True, nogil=True, fastmath=FAST)
def _add_likeness(x, likeness, weights):  # type: ignore[no-untyped-def]
    """Add likeness float32[k, h] times weights float32[u] to x float32[k, h, u]."""
    k, h, u = x.shape
    for n in range(k):
        for b in range(h):
            for q in range(u):
                x[n, b, q] += likeness[n, b] * weights[q]


@njit(cache=True, nogil=True, fastmath=FAST)
def _pool(units):  # type: ignore[no-untyped-def]
    """Return float32[k, 2u]: sums over the h past items / sqrt(h), and the largest; 0 of none."""
    k, h, u = units.shape
    out = np.zeros((k, 2 * u), np.float32)
    if h == 0:
        return out
    scale = np.float32(1.0 / math.sqrt(h))
    for n in range(k):
        row = out[n]
        row[u:] = NOWHERE
        for b in range(h):
            for q in range(u):
                row[q] += units[n, b, q]
                row[u + q] = max(row[u + q], units[n, b, q])
        for q in range(u):
            row[q] *= scale
    return out


@njit(cache=True, nogil=True, fastmath=FAST)
def _pool_without(units):  # type: ignore[no-untyped-def]
    """Return float32[k, h + 2, 2u]: as _pool, of all past items, without each, and of none."""
    k, h, u = units.shape
    out = np.zeros((k, h + 2, 2 * u), np.float32)
    if h == 0:
        return out
    out[:, 0] = _pool(units)
    if h == 1:
        return out
    whole, scale = np.float32(math.sqrt(h)), np.float32(1.0 / math.sqrt(h - 1))
    for n in range(k):
        for q in range(u):
            first, second, of = NOWHERE, NOWHERE, -1  # the two largest, and whose the first is
            for b in range(h):
                x = units[n, b, q]
                if x > first:
                    first, second, of = x, first, b
                elif x > second:
                    second = x
            for b in range(h):
                out[n, b + 1, q] = (out[n, 0, q] * whole - units[n, b, q]) * scale
                out[n, b + 1, u + q] = second if b == of else first
    return out
