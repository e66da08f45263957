"""Factors: online matrix factorisation (session-FISM), in the form that splits over two stages.

User vector z = sum_b w_b c_{h_b} over the newest items h_b, w_b ~ decay^(b-1); item i has a target
vector t_i, a bias b_i and a context vector c_i = t_i + e_i. Loss of an event: sampled softmax with
logQ correction, a_j = z.t_j + b_j - log q_j over {i} u N (Kabbur et al. 2013; Yi et al. 2019).

User stage, from a slightly old copy of the table: draws N, z, p = softmax(a), the context gradient
g = (1 - p_i) t_i - sum_N p_j t_j, and R_j = log sum over the others of exp a.
Owner of j, with fresh t_j, b_j: p = sigmoid(z.t_j + b_j - log q_j - R_j), t_j += (y_j - p) z;
owner of h_b: t and e both += w_b g. Steps are row-wise Adagrad: lr / sqrt(sum of mean squares).
Score of j: z.t_j + b_j, and a multiple of log share_j where `factors.prior` says so. With few
events t_j knows little: then a multiple of the cosine of j's text is added too (few_events.py).
"""

import math
from collections.abc import Sequence
from typing import Annotated, Any, Literal, NamedTuple

import numpy as np
from msgspec import Meta
from numba import njit
from numpy.typing import NDArray

from streamrec.settings.types import Count, NonNegative, Positive, Section, Share, Size
from streamrec.sources.few_events import TextOfFew
from streamrec.sources.popularity import HALF_LIVES, LOG_FLOOR
from streamrec.sources.source import Shopper, Source
from streamrec.sources.user_vector import FAST, mean_of
from streamrec.state.keys import start_vectors
from streamrec.state.schema import Column

Array = NDArray[Any]
INIT_SCALE = 0.1  # of the start vectors: their products stay far below the first steps
PAIR_SCALE = 2.0  # twice the usual spread of c_b.t_j
SKIP = 1e-4  # a target whose error is smaller is not stepped: its row need not be stored again


class FactorSettings(Section, frozen=True, kw_only=True):
    """Online matrix factorisation (session-FISM), split over the two stages."""

    size: Size = 64
    """Length of a factor vector."""
    negatives: Size = 20
    """Negatives drawn for an event."""
    context: Size = 8
    """Newest items of the user that make up the user's vector."""
    context_decay: Annotated[float, Meta(gt=0, le=1)] = 0.7
    """Weight of the b-th newest item is this to the power b-1, normalised."""
    context_norm: Share = 1.0
    """The user's vector is the context's weighted sum over the sum of weights to this power."""
    prior: NonNegative = 0.0
    """Weight of an item's log popularity in its score, in learning and in lists; 1 suits news."""
    prior_half_life: Literal["short", "medium", "long"] = "short"
    """Which half-life that popularity has."""
    text_weight: NonNegative = 4.0
    """Of the cosine of texts in the score of an item with few events; needs an encoder. 0: none."""
    text_events: Count = 5
    """An item has few events while it has had fewer than these."""
    learning_rate: Positive = 0.1
    """Row-wise Adagrad step."""
    uniform_share: Share = 0.25
    """Share of negatives drawn uniformly over all items; the rest come from the latest events."""
    ring: Size = 5000
    """Latest events of a partition that negatives are drawn from."""
    seed: Count = 1
    """Seed of the initial vectors and of the draws."""


class Vectors(NamedTuple):
    """Factors of many items, K each."""

    targets: Array  # float32[items, K]
    deltas: Array  # float32[items, K]: e, the context vector less the target vector
    biases: Array  # float32[items]
    target_sums: Array  # float32[items]: Adagrad
    delta_sums: Array  # float32[items]
    bias_sums: Array  # float32[items]


class Factors(Source):
    """What the user's latest items stand for, learnt by their vectors."""

    name = section = "factors"
    follows = "items"
    Settings = FactorSettings
    weight = 1.0
    in_blend = in_pairs = "raw"

    def __init__(self, settings: Any) -> None:
        self._mine: FactorSettings = settings.factors
        self._by = self._mine.context_decay, self._mine.context_norm
        self._decays = self._mine.context_decay ** np.arange(self._mine.context)
        self._prior: Array | None = None
        self._texts = TextOfFew(settings, self._mine.text_weight, self._mine.text_events)

    def columns(self) -> Sequence[Column]:
        """Return t, e, b, their sums of squares, and, for readers, c = t + e."""
        k = self._mine.size
        sums = ("target_sum", "delta_sum", "bias_sum")
        return (
            Column("bias", "<f4"),
            *(Column(name, "<f4", table="") for name in sums),
            Column("targets", "<f4", k),
            Column("deltas", "<f4", k, table=""),
            Column("contexts", "<f4", k, stored=False),
        )

    def start(self, arrays: Any, keys: NDArray[np.uint64], first: int) -> None:
        """Give new items their start vectors."""
        start_vectors(arrays.targets, keys, first, self._mine.seed, INIT_SCALE)
        if "contexts" in arrays.names:
            arrays.contexts[first : len(keys)] = arrays.targets[first : len(keys)]

    def learn(self, arrays: Any, update: Any) -> None:
        """Step the vectors of the targets, negatives and history items of a record."""
        a, c = arrays, update.columns
        vectors = a.targets, a.deltas, a.bias, a.target_sum, a.delta_sum, a.bias_sum
        both = c["z"].astype(np.float32), c["g"].astype(np.float32)
        rows, rate = (c["scored"], c["context"]), self._mine.learning_rate
        _learn(vectors, rows, both, update.events, a.items_changed, rate)

    def follow(self, arrays: Any, rows: Array, theirs: Any, source: Array) -> None:
        """Add up context vectors."""
        _add_rows(theirs.targets, theirs.deltas, source, rows, arrays.contexts)

    def prepare(self, table: Any) -> None:
        """Compute what popularity adds to the scores, and find the items with few events."""
        if self._mine.prior:
            life = HALF_LIVES[self._mine.prior_half_life]
            shares = np.log(2.0) * (table.heats[:, life] - table.log2_totals[life])
            self._prior = (self._mine.prior * np.maximum(shares, LOG_FLOOR)).astype(np.float32)
        self._texts.prepare(table)

    def score_all(self, arrays: Any, users: Sequence[Shopper], out: Array) -> None:
        """Fill out with z.t_j + b_j (+ prior); without a history nothing is said."""
        self.score_rows(arrays, users, slice(out.shape[1]), out)

    def score_rows(self, arrays: Any, users: Sequence[Shopper], rows: Any, out: Array) -> None:
        """Fill out with the same of some rows, or a slice of them."""
        z = np.zeros((len(users), self._mine.size), np.float32)
        for k, user in enumerate(users):
            mean_of(arrays.contexts, user.history[: self._mine.context], self._by, z[k])
        np.matmul(z, arrays.targets[rows].T, out=out)
        out += arrays.bias[rows]
        if self._prior is not None:
            out += self._prior[rows]
        self._texts.add(arrays, users, rows, out)
        for k, user in enumerate(users):
            if not len(user.history):
                out[k] = np.nan

    def support(self, arrays: Any, user: Shopper, rows: Array, where: Array) -> Array:
        """Return w_b c_{h_b}.t_j of each past item, and its text's; the rest is the item's own."""
        out = np.zeros((len(rows), len(user.history)))
        context = user.history[: self._mine.context]
        weights = self._decays[: len(context)]
        products = arrays.targets.take(rows, 0) @ arrays.contexts.take(context, 0).T
        out[:, : len(context)] = products * (weights / weights.sum() ** self._by[1])
        self._texts.support(arrays, user, rows, where, out)
        return out

    def pairs(self, arrays: Any, past: Array, rows: Array, where: Array) -> Array:
        """Return c_b.t_j of each pair, in units of PAIR_SCALE."""
        scaled = arrays.contexts.take(past, 0).T / np.float32(PAIR_SCALE)
        out: Array = arrays.targets.take(rows, 0) @ scaled
        return out


@njit(cache=True, nogil=True)
def _add_rows(a, b, source, rows, out):  # type: ignore[no-untyped-def]
    """Set rows of out float32[items, K] to the sums of rows `source` of a and b."""
    for n in range(len(rows)):
        out[rows[n]] = a[source[n]] + b[source[n]]


@njit(cache=True, nogil=True, fastmath=FAST)
def gradient(table, drawn, positive, z, rest, g):  # type: ignore[no-untyped-def]
    """Fill rest[n] = R_n and g = context gradient for rows (row 0 the event's item, -1 skipped).

    table: (targets float32[items, K], biases float32[items]); drawn: (rows, log_q) of draw; z, g:
    float32[K]. `positive` False (a dislike): the item is a negative too, so g pushes away from it.
    """
    targets, biases = table
    rows, log_q = drawn
    m, top = len(rows), -1e30
    a = np.empty(m)
    for n in range(m):
        if rows[n] >= 0:
            t = targets[rows[n]]
            s = np.float32(0.0)
            for k in range(len(z)):
                s += t[k] * z[k]
            a[n] = s + biases[rows[n]] - log_q[n]
            top = max(top, a[n])
    total = 0.0
    for n in range(m):
        if rows[n] >= 0:
            a[n] = math.exp(a[n] - top)
            total += a[n]
    g[:] = 0.0
    for n in range(m):
        if rows[n] >= 0:
            p = a[n] / total
            others = total - a[n]
            rest[n] = top + math.log(max(others, 1e-30))
            d = np.float32(1.0 - p) if n == 0 and positive else np.float32(-p)
            t = targets[rows[n]]
            for k in range(len(z)):
                g[k] += d * t[k]


@njit(cache=True, nogil=True)
def _learn(vectors, steps, both, events, changed, rate):  # type: ignore[no-untyped-def]
    """Step the vectors, a plain tuple as Vectors, event by event.

    steps: (updates.SCORED[...], CONTEXT[...]); both: (z, g), float32[n, K]; events: Learnt.events.
    """
    vectors = Vectors(*vectors)
    (scored, context), (zs, gs), (known, fresh, weights, _) = steps, both, events
    s = x = 0
    for e in range(len(fresh)):
        z, g, weight = zs[e], gs[e], weights[e]
        while s < len(scored) and scored[s].event == e:
            one = scored[s]
            row = known[one.key]
            if row >= 0 and fresh[e]:
                wanted = (one.log_q, one.rest, one.y, weight)
                if step_target(vectors, row, z, wanted, rate):
                    changed[row] = -1
            s += 1
        while x < len(context) and context[x].event == e:
            row = known[context[x].key]
            if row >= 0 and fresh[e]:
                step_context(vectors, row, g, context[x].weight * weight, rate)
                changed[row] = -1
            x += 1


@njit(cache=True, nogil=True, fastmath=FAST)
def step_target(vectors, row, z, wanted, rate):  # type: ignore[no-untyped-def]
    """Rescore one item afresh and step its target vector and bias; returns False when skipped.

    z: float32[K]; wanted: (log q, R, y, weight of the event).
    """
    log_q, rest, y, weight = wanted
    biases, sums, bias_sums = vectors.biases, vectors.target_sums, vectors.bias_sums
    t = vectors.targets[row]
    s, square = np.float32(0.0), np.float32(0.0)
    for k in range(len(z)):
        s += t[k] * z[k]
        square += z[k] * z[k]
    p = 1.0 / (1.0 + math.exp(-(s + biases[row] - log_q - rest)))
    d = y - p
    if abs(d) < SKIP:
        return False
    d *= weight
    sums[row] += d * d * square / len(z)
    bias_sums[row] += d * d
    step = np.float32(rate / math.sqrt(sums[row] + 1e-8) * d)
    for k in range(len(z)):
        t[k] += step * z[k]
    biases[row] += rate / math.sqrt(bias_sums[row] + 1e-8) * d
    return True


@njit(cache=True, nogil=True, fastmath=FAST)
def step_context(vectors, row, g, weight, rate):  # type: ignore[no-untyped-def]
    """Step the context vector c = t + e of one history item by weight * g float32[K], in both."""
    sums, delta_sums, square = vectors.target_sums, vectors.delta_sums, np.float32(0.0)
    for k in range(len(g)):
        square += g[k] * g[k]
    square *= np.float32(weight * weight / len(g))
    sums[row] += square
    delta_sums[row] += square
    a = np.float32(rate * weight / math.sqrt(sums[row] + 1e-8))
    b = np.float32(rate * weight / math.sqrt(delta_sums[row] + 1e-8))
    t, e = vectors.targets[row], vectors.deltas[row]
    for k in range(len(g)):
        t[k] += a * g[k]
        e[k] += b * g[k]
