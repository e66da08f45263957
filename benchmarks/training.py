"""How fast the network learns: a refresh from made-up lists, on a core, and a GPU if there is one.

Random lists take as long as real ones of the same size; how much a log's lists teach is what
`make quality` says.
"""

import time

import numpy as np

from benchmarks.figures import Missing, Sample
from streamrec.neural.reading import Reader
from streamrec.neural.sample import BEST, OTHERS
from streamrec.neural.sample import Sample as Click
from streamrec.settings.load import load
from streamrec.sources.registry import sources_of
from streamrec.text.words import WIDTH

ITEMS = 20_000


class Training:
    """The second refresh of a network, whose first has compiled what there is to compile."""

    def __init__(self, lists: int, repeats: int) -> None:
        try:
            from streamrec.roles.training.ranks import device
        except ImportError as error:
            raise Missing(f"{error}: pip install 'streamrec[neural]'") from error
        self.repeats = repeats
        self._devices = list(dict.fromkeys(("cpu", device())))
        settings = load(None, {}, {"text.model": "minilm"})
        self._rules = settings.neural
        self._shape = Reader(settings, sources_of(settings)).shape
        rng = np.random.default_rng(1)
        self._keys = np.unique(rng.integers(0, 2**63, ITEMS, np.uint64))
        vectors = rng.standard_normal((len(self._keys), WIDTH)).astype(np.float32)
        self._vectors = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
        self._clicks = [self._click(rng) for _ in range(2 * lists)]

    def _click(self, rng: np.random.Generator) -> Click:
        n, h, shape = 1 + OTHERS, self._shape.history, self._shape
        sizes = (n, shape.facts), (n, h, len(shape.channels))
        facts, pairs = (rng.integers(-127, 128, size, np.int8) for size in sizes)
        blend = -np.sort(rng.exponential(2.0, n)).astype(np.float16)
        ages = np.sort(rng.uniform(0.0, 9.0, h)).astype(np.float16)
        keys, past = (rng.choice(self._keys, size, replace=False) for size in (n, h))
        stand_for = (shape.candidates - 1 - BEST) / (OTHERS - BEST)
        return Click(
            keys, past, blend, ages, facts, pairs, "click", 1.0, best=BEST, stand_for=stand_for
        )

    def once(self) -> Sample:
        """Return lists learnt a second, and by how much a GPU's losses are away from the CPU's."""
        found, losses = dict[str, float](), dict[str, np.ndarray]()
        for device in self._devices:
            seconds, losses[device] = self._refresh(device)
            found[f"lists_trained_per_second_{device}"] = len(self._clicks) / 2 / seconds
        for device in self._devices[1:]:
            away = np.abs(losses[device] - losses["cpu"]) / losses["cpu"]
            found[f"loss_difference_{device}"] = float(away.max())
        return found

    def _refresh(self, device: str) -> tuple[float, np.ndarray]:
        """Return CPU seconds (on a GPU, seconds) of the second refresh, and its losses by task."""
        from streamrec.neural.refresh import Refresher

        refresher, half = Refresher(self._rules, self._shape, device), len(self._clicks) // 2
        for click in self._clicks[:half]:
            refresher.add(click)
        refresher.refresh(self._keys, self._vectors)
        for click in self._clicks[half:]:
            refresher.add(click)
        clock = time.process_time if device == "cpu" else time.monotonic
        began = clock()
        period = refresher.refresh(self._keys, self._vectors)
        return clock() - began, np.array(period.losses)

    def notes(self) -> dict[str, object]:
        """Return on what, and how large a network."""
        from streamrec.neural.network import PairNetwork

        network = PairNetwork(self._shape, self._rules)
        weights = sum(p.numel() for p in network.parameters())
        return {"devices": self._devices, "weights": weights, "passes": self._rules.passes}

    def close(self) -> None:
        """Nothing was started."""
