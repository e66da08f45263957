"""The network without torch: the same scores as network.py, in numba and numpy."""

import math
from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from streamrec.neural.reading import Reading, past_facts

Array = NDArray[Any]
LEAK = np.float32(0.1)
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
    mean: Array  # float32[D]
    project: Array  # float32[D, t]

    @classmethod
    def of(cls, weights: Any) -> "Served":
        """Return the network of arrays as in PairNetwork.weights."""

        def turned(name: str) -> Array:
            out: Array = np.ascontiguousarray(weights[name].T)
            return out

        project: Array = np.zeros((len(weights["mean"]), 0), np.float32)
        if "project.weight" in weights:
            project = turned("whiten") @ turned("project.weight")  # of texts as they are stored
        return cls(
            float(weights["alpha"]), turned("pair.weight"), turned("past.weight"),
            weights["pair.bias"], turned("unit.weight"), weights["unit.bias"],
            turned("inward.weight"), weights["inward.bias"],
            turned("again.weight"), weights["again.bias"], weights["heads.weight"][0].copy(),
            weights["mean"], np.ascontiguousarray(project),
        )  # fmt: skip

    def moves(self, reading: Reading) -> NDArray[np.float32]:
        """Return float32[k]: by how much the network moves the blend's scores.

        (alpha - 1) log p_j + v.y_j, of the first task.
        """
        facts = np.concatenate([reading.facts, _pool(self._units(reading))], 1)
        return np.float32(self.alpha - 1.0) * reading.blend + self._outward(facts)

    def shares(self, reading: Reading, n: int) -> NDArray[np.float32]:
        """Return float32[h]: what each past item adds to the move of candidate n.

        d_b = s - s without b; what they leave of s - s without any (they interact) is shared
        equally, so that the shares sum to what the past makes of the candidate.
        """
        one = _only(reading, n)
        units = self._units(one)[0]  # [h, u]
        h = len(units)
        if not h:
            return np.zeros(0, np.float32)
        rest = [np.delete(units, b, 0) for b in range(h)]
        pooled = np.concatenate([_pool(x[None]) for x in (units, *rest, units[:0])])
        facts = np.repeat(one.facts, h + 2, 0)
        said = self._outward(np.concatenate([facts, pooled], 1))
        each = said[0] - said[1 : h + 1]
        shares: NDArray[np.float32] = each + (said[0] - said[-1] - each.sum()) / h
        return shares

    def _units(self, reading: Reading) -> Array:
        """Return u_jb, float32[k, h, u]."""
        said = past_facts(reading.ages) @ self.past + self.pair_bias
        cosines: Array = np.zeros((0, 0), np.float32)
        if self.project.shape[1]:
            mine, past = self._projected(reading.texts), self._projected(reading.past_texts)
            cosines = 2.0 * (mine @ past.T)
        weights = self.pair, self.unit, self.unit_bias
        units: Array = _units(reading.pairs, cosines, said, weights)
        return units

    def _projected(self, texts: Array) -> Array:
        z = (texts - self.mean) @ self.project
        lengths = np.sqrt((z * z).sum(1, keepdims=True))
        out: Array = z / np.maximum(lengths, np.float32(1e-12)) * texts.any(1, keepdims=True)
        return out

    def _outward(self, facts: Array) -> NDArray[np.float32]:
        y: Array = facts @ self.inward + self.inward_bias
        y = np.maximum(y, LEAK * y)
        z: Array = y @ self.again + self.again_bias
        y += np.maximum(z, LEAK * z)
        out: NDArray[np.float32] = y @ self.head
        return out


def _only(reading: Reading, n: int) -> Reading:
    one = slice(n, n + 1)
    return reading._replace(
        at=reading.at[one], rows=reading.rows[one], blend=reading.blend[one],
        facts=reading.facts[one], pairs=reading.pairs[one], texts=reading.texts[one],
    )  # fmt: skip


@njit(cache=True, nogil=True, fastmath=FAST)
def _units(pairs, cosines, said, weights):  # type: ignore[no-untyped-def]
    """Return float32[k, h, u]; pairs: float32[k, h, C]; cosines: float32[k, h] or empty.

    said: float32[h, u], what each past item adds by itself; weights: (W1 [C (+ 1), u], W2, b2).
    """
    inner, outer, bias = weights
    k, h, channels = pairs.shape
    u = len(bias)
    out = np.empty((k, h, u), np.float32)
    first = np.empty(u, np.float32)
    for n in range(k):
        for b in range(h):
            first[:] = said[b]
            for c in range(channels):
                p = pairs[n, b, c]
                if p != 0.0:
                    for q in range(u):
                        first[q] += inner[c, q] * p
            if cosines.shape[0] > 0:
                p = cosines[n, b]
                for q in range(u):
                    first[q] += inner[channels, q] * p
            into = out[n, b]
            into[:] = bias
            for r in range(u):
                a = max(first[r], LEAK * first[r])
                for q in range(u):
                    into[q] += outer[r, q] * a
            for q in range(u):
                into[q] = max(into[q], LEAK * into[q])
    return out


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
        row[u:] = -1e30
        for b in range(h):
            for q in range(u):
                row[q] += units[n, b, q]
                row[u + q] = max(row[u + q], units[n, b, q])
        for q in range(u):
            row[q] *= scale
    return out
