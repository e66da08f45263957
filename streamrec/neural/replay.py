"""Samples kept for training, as arrays; batches of them as tensors."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from streamrec.neural.reading import PAST, Shape
from streamrec.neural.sample import FACT_STEP, OTHERS, PAIR_STEP, Sample

Array = NDArray[Any]
Texts = Callable[[Array], Array]
"""Returns float32[..., WHITENED], texts of items by key uint64[...]; zero where there is none."""
ANY = "any"


class Replay:
    """A bounded store of samples: once it is full, a new one takes the place of a random old one.

    Bound: `most` samples of about 6 kB. The newest come first in no order; `fresh` numbers those
    added since the last call of `aged`.
    """

    def __init__(self, shape: Shape, tasks: Mapping[str, float], most: int, seed: int) -> None:
        self.shape, self._most = shape, most
        self._tasks = list(tasks)
        self._rng = np.random.default_rng(seed)
        self.fresh: list[int] = []
        self._size = 0
        self._arrays: dict[str, Array] = {}
        self._grow(min(most, 1024))

    def __len__(self) -> int:
        return self._size

    def fits(self, sample: Sample) -> bool:
        """Say whether a sample has the shape that is read, and a task."""
        n, h, channels = sample.pairs.shape
        shape = self.shape
        fits = channels == len(shape.channels) and sample.facts.shape[1] == shape.facts
        return fits and 2 <= n <= 1 + OTHERS and h <= shape.history and any(self._of_task(sample))

    def add(self, sample: Sample, fresh: bool = True) -> None:
        """Keep a sample that fits."""
        n, h, _ = sample.pairs.shape
        at = self._room()
        a = self._arrays
        a["stands"][at], a["there"][at], a["pairs"][at] = 0.0, False, 0
        a["keys"][at], a["past_keys"][at] = 0, 0
        a["keys"][at, :n], a["past_keys"][at, :h] = sample.keys, sample.past_keys
        a["blend"][at, :n], a["ages"][at, :h] = sample.blend, sample.ages
        a["facts"][at, :n], a["pairs"][at, :n, :h] = sample.facts, sample.pairs
        a["stands"][at, :n], a["there"][at, :h] = sample.stands(), True
        a["weights"][at] = np.array(self._of_task(sample)) * sample.weight
        if fresh:
            self.fresh.append(at)

    def aged(self) -> None:
        """Count all as old."""
        self.fresh = []

    def older(self, count: int) -> Array:
        """Return int64[count] numbers of random old samples; none where there is none."""
        old = np.setdiff1d(np.arange(self._size), np.array(self.fresh, np.int64))
        return self._rng.choice(old, count) if len(old) else old[:0]

    def shuffled(self, which: Array) -> Array:
        """Return numbers in a random order."""
        return self._rng.permutation(which)

    def stands(self, which: Array) -> Array:
        """Return float32[len(which), n]: how many candidates each stands for; 0: there is none."""
        out: Array = self._arrays["stands"][which]
        return out

    def blend(self, which: Array) -> Array:
        """Return float16[len(which), n]: log p of the candidates."""
        out: Array = self._arrays["blend"][which]
        return out

    def batch(self, which: Array, texts: Texts, cut: bool = False) -> dict[str, Tensor]:
        """Return the tensors that PairNetwork reads, of samples by number.

        cut: with no more past items than one of them has; else all batches have the same shape.
        """
        h = max(1, int(self._arrays["there"][which].sum(1).max())) if cut else self.shape.history
        past = np.s_[which, :h]
        at = {"pairs": np.s_[which, :, :h], "past_keys": past, "ages": past, "there": past}
        a = {name: array[at.get(name, which)] for name, array in self._arrays.items()}
        out = {
            "facts": a["facts"].astype(np.float32) / np.float32(FACT_STEP),
            "pairs": a["pairs"].astype(np.float32) / np.float32(PAIR_STEP),
            "blend": a["blend"].astype(np.float32),
            "past": _past(a["ages"].astype(np.float32), a["there"]),
            "there": a["there"].astype(np.float32),
            "stands": a["stands"],
            "weights": a["weights"],
        }
        if self.shape.text:
            out["texts"], out["past_texts"] = texts(a["keys"]), texts(a["past_keys"])
        return {name: torch.from_numpy(array) for name, array in out.items()}

    def _of_task(self, sample: Sample) -> list[bool]:
        return [task in (ANY, sample.type) for task in self._tasks]

    def _room(self) -> int:
        if self._size == self._most:
            held = set(self.fresh)
            while (at := int(self._rng.integers(self._most))) in held and len(held) < self._most:
                pass
            return at
        if self._size == len(self._arrays["stands"]):
            self._grow(min(self._most, 2 * self._size))
        self._size += 1
        return self._size - 1

    def _grow(self, size: int) -> None:
        n, h, c = 1 + OTHERS, self.shape.history, len(self.shape.channels)
        columns: dict[str, tuple[tuple[int, ...], str]] = {
            "keys": ((n,), "u8"), "past_keys": ((h,), "u8"), "blend": ((n,), "f2"),
            "ages": ((h,), "f2"), "facts": ((n, self.shape.facts), "i1"),
            "pairs": ((n, h, c), "i1"), "stands": ((n,), "f4"), "there": ((h,), "?"),
            "weights": ((len(self._tasks),), "f4"),
        }  # fmt: skip
        for name, (shape, dtype) in columns.items():
            grown = np.zeros((size, *shape), dtype)
            grown[: self._size] = self._arrays.get(name, grown)[: self._size]
            self._arrays[name] = grown


def _past(ages: Array, there: Array) -> Array:
    """Return float32[B, h, PAST]; as reading.past_facts, of many."""
    out = np.empty((*ages.shape, PAST), np.float32)
    b = np.arange(ages.shape[1], dtype=np.float32)
    out[..., 0] = np.log1p(b) - 1.5
    out[..., 1] = ages / 5.0 - 1.0
    out[..., 2] = 1.0 / (1.0 + b)
    older = np.zeros_like(there)
    older[:, :-1] = there[:, 1:]
    out[..., 3] = 0.0
    out[:, :-1, 3] = np.diff(ages, axis=1) * older[:, :-1]
    return out
