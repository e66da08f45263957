"""The learned blend: a softmax over exactly the candidates that the scorer had, learnt per click.

Score of candidate j: s_j = sum_m (w_m + w_{g,m}) l_m(j) + v . leaky(U x_j + c), where l are the
sources' values and the candidate's extras, g is the bucket of the history's length, and x_j holds
l standardised over the candidates seen so far, 1 / log2(1 + rank) of j in each source's list, and
the history's length. Loss: -log softmax(s)_clicked, weighted by the event's type; a click outside
the candidates teaches nothing (forcing it in ruins the lists). Adagrad for w, RMS-normalised steps
for U, v, c. Safe: the discounted losses of the blend and of every source alone are kept, and the
best of them leads the list (Hedge, Freund and Schapire 1997, by its leader).
"""

from bisect import bisect_right
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from streamrec.blend import kernels, quantised

Array = NDArray[Any]
VERSION = 3
"""Of the stored blend."""
SAMPLE_VERSION = 5
BUCKETS = (1, 2, 5, 20)
"""First history length of each bucket; 0 has a bucket of its own."""
EXTRAS = ("age", "recent", "nearness", "takes", "in_session", "newest")
"""Facts of a candidate that are no source: log(1 + age in hours) of the item; and of the user's own
history: is it in the recent items, 1 / its rank there, log(1 + takes), taken in this session, the
newest of all. Where repeats are listed there are more (sources/repeats.py)."""
E = len(EXTRAS)
MOST_WEIGHT = 1e6
"""A click of more weight is damaged."""
IMPORTANCE_RATE = 0.05
WEIGH_EVERY = 4
"""Clicks between two measurements: of one source each."""
PRIME = 7919
"""Makes the shuffles of successive measurements unlike."""


class BlendRules(NamedTuple):
    """Settings of the steps."""

    start: tuple[float, ...]  # float[M]: linear weights to start from
    pinned: tuple[bool, ...]  # bool[M]: weights that stay what they are
    silence: tuple[float, ...]  # float[M]: what stands for a source that says nothing
    hidden: int = 32
    rate: float = 0.05  # Adagrad, linear part
    network_rate: float = 0.002  # RMS-normalised, network
    decay: float = 0.999  # of the mean squares
    memory: float = 0.998  # discount of the losses, an event
    margin: float = 0.02  # mean loss by which a source must beat the blend to lead
    seed: int = 1
    extras: int = E


class Features(NamedTuple):
    """What the scorer knew of one list's candidates."""

    values: NDArray[np.float32]  # [C, M]: log shares or scores, NaN where a source says nothing
    ranks: NDArray[np.uint8]  # [C, M]: in the source's own list: 1, 2, ..., 255 or worse; 0 absent
    extras: NDArray[np.float32]  # [C, E]
    history: int  # number of known recent items
    silence: NDArray[np.float32]  # [M]: what stands for NaN

    def filled(self) -> "Features":
        """Return the same with numbers for what is not said."""
        values: NDArray[np.float32] = kernels.filled(self.values, self.silence)
        return self._replace(values=values)

    def click(self, clicked: int, weight: float) -> "Click | None":
        """Return what `read_sample` returns of the bytes of a click on this list, without them."""
        values, extras = quantised.rounded(self.values), quantised.rounded(self.extras)
        if values is None or extras is None or np.isnan(extras).any():
            return None
        features = self._replace(values=values, extras=extras).filled()
        return Click(features, clicked, float(np.float32(weight)))

    def sample(self) -> bytes:
        """Return the bytes of this list, for `with_click` and then `read_sample`."""
        shape = (*self.values.shape, self.extras.shape[1])
        head = np.array([SAMPLE_VERSION, *shape, 0, self.history], "<u2").tobytes()
        numbers = np.concatenate([self.values, self.extras], axis=1, dtype=np.float32)
        return head + np.float32(0.0).tobytes() + quantised.pack(numbers, self.ranks)


class Click(NamedTuple):
    """What the blend learns from: a click on a list, its features rounded and filled."""

    features: Features
    clicked: int  # row of the features
    weight: float


def with_click(sample: bytes, clicked: int, weight: float) -> bytes:
    """Return the sample with its clicked candidate and the weight of the click."""
    return b"".join(
        (sample[:8], clicked.to_bytes(2, "little"), sample[10:12], np.float32(weight).tobytes(),
         sample[16:])
    )  # fmt: skip


def bucket_of(history: int) -> int:
    """Return the bucket of a history's length."""
    return bisect_right(BUCKETS, history)


class LearnedBlend:
    """State of the blend: about 2,500 floats. Reads never write; features must be filled."""

    def __init__(self, rules: BlendRules) -> None:
        self.rules = rules
        rng = np.random.default_rng(rules.seed)
        h, m = rules.hidden, len(rules.start)
        e = rules.extras
        width = 2 * m + e + 1
        self.pinned = np.array(rules.pinned)
        self.silence = np.array(rules.silence, np.float32)
        linear = np.zeros((1 + 1 + len(BUCKETS), m + e), np.float32)  # row 0: for all buckets
        linear[0, :m] = rules.start
        self.linear = linear
        self.linear_sums = np.zeros_like(linear)
        self.inward = (rng.standard_normal((h, width)) / np.sqrt(width)).astype(np.float32)
        self.shift = np.zeros(h, np.float32)
        self.outward = np.zeros(h, np.float32)
        self.squares = np.zeros(h * width + 2 * h, np.float32)
        self.mean = np.zeros(m + e, np.float32)
        self.square = np.ones(m + e, np.float32)
        self.losses = np.zeros(1 + m, np.float64)  # blend, sources: discounted sums
        self.seen = np.zeros(2, np.float64)  # samples, discounted samples
        self.importance = np.zeros(m, np.float64)  # loss gained by shuffling a source, recent mean

    def scores(self, features: Features) -> NDArray[np.float32]:
        """Return float32[C]."""
        out: NDArray[np.float32] = self._network(features)[0]
        weights = self.weights(features.history)
        kernels.add_linear(features.values, features.extras, weights, out)
        return out

    def linear_parts(self, features: Features) -> NDArray[np.float32]:
        """Return float32[C, M + E]: what each source and extra adds to the scores."""
        raw = np.concatenate([features.values, features.extras], axis=1, dtype=np.float32)
        out: NDArray[np.float32] = raw * self.weights(features.history)
        return out

    def network(self, features: Features) -> NDArray[np.float32]:
        """Return float32[C]: what the network adds to the scores."""
        out: NDArray[np.float32] = self._network(features)[0]
        return out

    def weights(self, history: int) -> NDArray[np.float32]:
        """Return float32[M + E]: the linear weights for a history of this length."""
        out: NDArray[np.float32] = self.linear[0] + self.linear[1 + bucket_of(history)]
        return out

    def leader(self) -> int:
        """Return -1 while the blend may lead the list, else the source that must."""
        best = int(self.losses[1:].argmin())
        trust = self.rules.margin * self.seen[1]
        return best if self.losses[1 + best] < self.losses[0] - trust else -1

    def learn(self, features: Features, clicked: int, weight: float) -> None:
        """Take one click in: the candidates it was chosen from, its row among them, its weight."""
        values, ranks, extras, history, _ = features
        scores, hidden, x = self._network(features)
        kernels.add_linear(values, extras, self.weights(history), scores)
        rules, steps, own = self.rules, self.seen[0] + 1.0, 1 + bucket_of(history)
        kernels.lose(scores, ranks, clicked, rules.memory, self.losses)
        self.seen[1] = self.seen[1] * rules.memory + 1.0
        d = kernels.softmax(scores)
        self._weigh(features, clicked, float(d[clicked]))
        d[clicked] -= 1.0
        d *= np.float32(weight)
        both = self.linear[0], self.linear[own]
        both_sums = self.linear_sums[0], self.linear_sums[own]
        kernels.step_linear((values, extras), d, self.pinned, rules.rate, both, both_sums)
        toward, by_shift, by_outward = kernels.backward(d, hidden, self.outward)
        gradients, at = ((toward.T @ x).ravel(), by_shift, by_outward), 0
        for array, gradient in zip((self.inward, self.shift, self.outward), gradients, strict=True):
            kernels.step(
                array.ravel(), gradient, self.squares[at : at + array.size],
                rules.network_rate, rules.decay, 1.0 - rules.decay**steps,
            )  # fmt: skip
            at += array.size
        self.seen[0] = steps
        kernels.standardise(values, extras, max(0.001, 1.0 / steps), self.mean, self.square)

    def read_sample(self, blob: bytes) -> Click | None:
        """Return the click; None for another version or shape, or damaged."""
        if len(blob) < 16:
            return None
        version, count, m, e, clicked, history = np.frombuffer(blob, "<u2", 6).tolist()
        shape = (SAMPLE_VERSION, len(self.pinned), self.rules.extras)
        weight = float(np.frombuffer(blob, "<f4", 1, 12)[0])
        if (version, m, e) != shape or clicked >= count or not 0.0 <= weight <= MOST_WEIGHT:
            return None
        found = quantised.unpack(blob[16:], count, m + e, m)
        if found is None:
            return None
        (numbers, ranks), silence = found, self.silence
        values, extras = numbers[:, :m].copy(), numbers[:, m:].copy()
        if np.isnan(extras).any():
            return None
        features = Features(values, ranks, extras, history, silence).filled()
        return Click(features, clicked, weight)

    def _weigh(self, features: Features, clicked: int, p: float) -> None:
        """Measure the importance of one source, in turn: by how much shuffling it raises the loss.

        Permutation importance (Breiman 2001), over the candidates of the list.
        """
        step, count = int(self.seen[0]), len(features.values)
        if step % WEIGH_EVERY:
            return
        m = step // WEIGH_EVERY % len(self.importance)
        order = (np.arange(count) + 1 + step * PRIME % max(1, count - 1)) % count
        values, ranks = features.values.copy(), features.ranks.copy()
        values[:, m], ranks[:, m] = values[order, m], ranks[order, m]
        shuffled = kernels.softmax(self.scores(features._replace(values=values, ranks=ranks)))
        gained = np.log(max(p, 1e-9)) - np.log(max(float(shuffled[clicked]), 1e-9))
        self.importance[m] += IMPORTANCE_RATE * (gained - self.importance[m])

    def inputs(self, features: Features) -> NDArray[np.float32]:
        """Return float32[C, 2M + E + 1], what the network reads: x_j."""
        values, ranks, extras, history, _ = features
        length = 0.3 * np.log1p(history)
        x: NDArray[np.float32]
        x = kernels.inputs(values, ranks, extras, length, self.mean, self.square)
        return x

    def _network(self, features: Features) -> tuple[Array, Array, Array]:
        """Return the network's scores [C], its hidden layer [C, H] and input [C, 2M + E + 1]."""
        x = self.inputs(features)
        hidden = x @ self.inward.T
        return kernels.network_scores(hidden, self.shift, self.outward), hidden, x

    def _arrays(self) -> tuple[Array, ...]:
        return (
            self.linear, self.linear_sums, self.inward, self.shift, self.outward, self.squares,
            self.mean, self.square, self.losses, self.seen, self.importance,
        )  # fmt: skip

    def _head(self) -> bytes:
        shape = [VERSION, self.rules.hidden, len(self.pinned), self.rules.extras]
        return np.array(shape, "<u2").tobytes()

    def to_bytes(self) -> bytes:
        """Return the state: version, hidden units, arrays."""
        return self._head() + b"".join(a.tobytes() for a in self._arrays())

    @classmethod
    def from_bytes(cls, blob: bytes, rules: BlendRules) -> Self | None:
        """Return the stored state; None when it has another shape (then it is learnt anew)."""
        blend = cls(rules)
        size = 8 + sum(a.nbytes for a in blend._arrays())
        if blob[:8] != blend._head() or len(blob) != size:
            return None
        at = 8
        for array in blend._arrays():
            array[...] = np.frombuffer(blob, array.dtype, array.size, at).reshape(array.shape)
            at += array.nbytes
        return blend
