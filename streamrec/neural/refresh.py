"""The refresh: samples come in; every so many of them are judged, then learnt; on drift sooner.

The same in `train` and in `evaluate`. AdamW (Loshchilov and Hutter 2019) with warm start; half of
a refresh is new samples, half older ones; what serves is the weights' running mean. Every so many
refreshes a network starts from nothing beside it, learns a part of what is kept at each of them,
and is gone on with if the gate finds it better on the samples after the last one.
"""

from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from streamrec.neural.drift import Drift
from streamrec.neural.gate import Decision, Gate, gains
from streamrec.neural.network import PairNetwork, Weights
from streamrec.neural.reading import Shape
from streamrec.neural.replay import Replay, Texts
from streamrec.neural.sample import Sample
from streamrec.neural.together import Ranks
from streamrec.neural.trained import BATCH, Trained, mark_of
from streamrec.settings.neural import NeuralSettings

Array = NDArray[Any]
FIRST, SHARE = 1500, 0.25
"""Samples of the first refresh; share of all samples that make a later one, up to the setting."""
LEAST = 100
"""New samples that a refresh before its time needs."""
JUDGED = 128
"""Samples scored at once; with more the arrays leave the cache, and each takes thrice as long."""


class Verdict(NamedTuple):
    """What the new samples said of what was trained before them."""

    decision: Decision
    weights: Weights | None  # of what serves from now on, where that changed


class Period(NamedTuple):
    """What came of one refresh."""

    number: int
    decision: Decision
    weights: Weights | None  # as in Verdict
    losses: tuple[float, ...]  # mean, by task
    trained: int  # samples learnt from, with repetition


class Refresher:
    """The trainer's state: samples, the network, its running mean, what serves."""

    def __init__(
        self,
        rules: NeuralSettings,
        shape: Shape,
        device: str = "cpu",
        ranks: Ranks | None = None,
    ) -> None:
        """Start without a network; device: "cpu", or "cuda": there with bfloat16 products.

        ranks: this one, rank 0, and the others that learn with it; None: it learns alone.
        """
        torch.set_num_threads(rules.threads)
        self.rules, self.shape, self._device = rules, shape, device
        self._ranks = ranks
        self.replay = Replay(shape, rules.tasks, rules.replay_samples, rules.seed)
        self.gate = Gate(rules.gate_periods)
        self.number = 0
        self._seen = 0
        self._drift, self._drifted = Drift(), False
        self._trained: Trained | None = None
        self._rival: Trained | None = None  # from nothing, as a check
        self.serving: Weights | None = None
        self._beside = ThreadPoolExecutor(1, "judging")

    def resume(self, weights: Weights, number: int, seen: int, recent: tuple[float, ...]) -> None:
        """Go on from the weights that refresh `number` made, after `seen` samples."""
        self._trained = Trained(self.rules, self.shape, self.rules.seed + number, self._device)
        self._trained.start(weights)
        self.number, self._seen = number, seen
        self.gate = Gate(self.rules.gate_periods, recent)

    def add(self, sample: Sample, fresh: bool = True) -> bool:
        """Take a sample in; say whether it can be learnt from. fresh: nothing learnt from it."""
        fits = self.notice(sample) if fresh else self.replay.fits(sample)
        if fits:
            self.replay.add(sample, fresh)
        return fits

    def notice(self, sample: Sample) -> bool:
        """Count a new sample, and see whether lists drift; say whether it can be learnt from.

        The first half of add: it may be called while `learn` runs.
        """
        fits = self.replay.fits(sample)
        if fits:
            self._seen += 1
            by_blend = gains(sample.blend[None].astype(np.float32), sample.stands()[None])
            self._drifted |= self._drift.seen(float(by_blend[0]))
        return fits

    @property
    def seen(self) -> int:
        """Return how many new samples there were."""
        return self._seen

    def candidate(self) -> Weights | None:
        """Return the weights that the next refresh judges."""
        return self._trained.mean_weights() if self._trained is not None else None

    def due(self, waiting: int) -> str:
        """Return why that many new samples make a refresh: due or drift; "" if they do not."""
        if waiting >= min(self.rules.refresh_samples, max(FIRST, int(SHARE * self._seen))):
            return "due"
        return "drift" if self._drifted and waiting >= LEAST else ""

    def refresh(self, keys: Array, vectors: Array) -> Period:
        """Judge by the new samples, then learn from them.

        keys: uint64[n] and vectors: float32[n, D] of the items whose texts are known now.
        """
        return self.learn(self.judge(keys, vectors), keys, vectors)

    def judge(self, keys: Array, vectors: Array) -> Verdict:
        """Decide by the new samples what serves from now on; see refresh."""
        fresh = self._fresh()
        by_blend = gains(self.replay.blend(fresh), self.replay.stands(fresh))
        served = self._beside.submit(self._gains, self.serving, fresh, keys, vectors)
        mine = self._gains(self.candidate(), fresh, keys, vectors)
        check = None
        if self._rival is not None and self._of_scratch(self.number + 1) == 0:
            check = self._gains(self._rival.mean_weights(), fresh, keys, vectors)
        decision = self.gate.judge(by_blend, served.result(), mine, check)
        self._drifted, changed = False, None
        if decision.promoted:
            changed = self.serving = self.candidate()
        if decision.restarted:
            self._trained = self._rival
        return Verdict(decision, changed)

    def learn(self, judged: Verdict, keys: Array, vectors: Array) -> Period:
        """Learn from the new samples, and old ones: the next refresh judges it; see refresh.

        What serves stays as it is; until it returns, this object may be asked nothing but whether a
        refresh is due, and told what is to be noticed.
        """
        self.number += 1
        self._trained = self._trained or self._new(vectors)
        count = self._learn_rival(keys, vectors)
        which = self._drawn(self._fresh())
        losses = self._learn(self._trained, which, keys, vectors)
        self.replay.aged()
        return Period(self.number, *judged, losses, count + len(which))

    def _learn_rival(self, keys: Array, vectors: Array) -> int:
        """Let the network from nothing learn its part of what is kept; return the samples.

        Draws of its own: one that is never gone on with changes nothing else.
        """
        at = self._of_scratch(self.number)
        if at == 0:
            self._rival = self._new(vectors)
        if self._rival is None:
            return 0
        part = np.arange(at or 0, len(self.replay), self.rules.scratch_every)
        rng = np.random.default_rng((self.rules.seed, self.number))
        self._learn(self._rival, rng.permutation(part), keys, vectors)
        return len(part)

    def _of_scratch(self, number: int) -> int | None:
        """Return how many refreshes after a network from nothing began; None: there are none."""
        return number % self.rules.scratch_every if self.rules.scratch_every else None

    def _fresh(self) -> Array:
        return np.array(self.replay.fresh, np.int64)

    def _new(self, vectors: Array) -> Trained:
        """Return a network that has learnt nothing; vectors: the texts known now."""
        made = Trained(self.rules, self.shape, self.rules.seed + self.number, self._device)
        made.network.set_texts(vectors)
        return made

    def _gains(
        self, weights: Weights | None, fresh: Array, keys: Array, vectors: Array
    ) -> Array | None:
        """Return the discounted gains float64[samples] of weights, as they would serve."""
        if weights is None:
            return None
        network = PairNetwork(self.shape, self.rules)
        network.load(weights)
        texts, scores = texts_of(network, keys, vectors), []
        with torch.no_grad():
            for x in range(0, len(fresh), JUDGED):
                batch = self.replay.batch(fresh[x : x + JUDGED], texts, cut=True)
                moves = network(batch)[:, 0] - batch["blend"]
                scores.append((batch["blend"] + self.rules.shrinkage * moves).numpy())
        return gains(np.concatenate(scores), self.replay.stands(fresh))

    def _drawn(self, fresh: Array) -> Array:
        """Return int64 numbers of the samples to learn from, in their order."""
        count = int(self.rules.passes * len(fresh))
        older = self.replay.older(count // 2)
        newer = self.replay.shuffled(np.resize(fresh, count - len(older)))
        return self.replay.shuffled(np.concatenate([newer, older]))

    def _learn(
        self, trained: Trained, which: Array, keys: Array, vectors: Array
    ) -> tuple[float, ...]:
        """Let a network learn from samples by number; return the mean losses, by task."""
        texts = texts_of(trained.network, keys, vectors)
        lambdas = torch.tensor(list(self.rules.tasks.values()))
        sums, counts = torch.zeros(len(lambdas)), 0
        ranks = self._ranks
        if ranks is not None:
            ranks.begin(-(-len(which) // BATCH), mark_of(self.rules, self.shape))
            trained.alike(ranks)
        cut = ranks is None and self._device == "cpu"  # else all must have one shape
        for x in range(0, len(which), BATCH):
            batch = self.replay.batch(np.sort(which[x : x + BATCH]), texts, cut)
            sums += trained.step(batch, lambdas, ranks)
            counts += 1
        return tuple((sums / max(1, counts)).tolist())


def texts_of(network: PairNetwork, keys: Array, vectors: Array) -> Texts:
    """Return texts by key, whitened for a network; keys uint64[n] and vectors float32[n, D]."""
    order = np.argsort(keys)
    ordered = keys[order]
    with torch.no_grad():
        stored = torch.from_numpy(vectors[order]).to(network.mean.device)
        short = network.whitened(stored).cpu().numpy()
    short = np.concatenate([short, np.zeros((1, short.shape[1]), np.float32)])

    def texts(wanted: Array) -> Array:
        at = np.minimum(np.searchsorted(ordered, wanted), max(0, len(ordered) - 1))
        known = ordered[at] == wanted if len(ordered) else np.zeros(wanted.shape, bool)
        out: Array = short[np.where(known, at, -1)]
        return out

    return texts
