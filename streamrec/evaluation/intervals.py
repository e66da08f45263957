"""How sure a difference is: paired moving-block bootstrap over a stream.

Events that are near in the stream are alike (one user's session, one day's fashion), so single
events must not be drawn as if they were independent: blocks of neighbours are (Künsch 1989;
circular: Politis and Romano 1992). Both sides are resampled at the same places, which takes out
what is hard or easy for both.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

FEWEST_BLOCKS = 20
"""Blocks are shortened until there are so many: of one block there is nothing to draw."""
STARTS_AT_ONCE = 1_000_000


class Interval(NamedTuple):
    """A difference of means and where it may lie."""

    difference: float
    low: float
    high: float


def interval(
    a: NDArray[np.float64],
    b: NDArray[np.float64],
    block: int = 500,
    rounds: int = 1000,
    seed: int = 0,
    level: float = 0.95,
) -> Interval:
    """Return mean(a) - mean(b) with its percentile interval; NaN where there is no event.

    a, b: float64[n], the metric of each event under either side, in stream order. In each round
    ceil(n / block) blocks start at random places of the ring d = a - b, the last one cut so that
    n values are drawn; their mean is one replicate. A stream shorter than 20 blocks gets shorter
    blocks, max(1, n // 20). Memory: O(n) and 16 MB, whatever the number of rounds.
    """
    if a.shape != b.shape or a.ndim != 1:
        raise ValueError(f"one value an event on both sides, not {a.shape} and {b.shape}")
    if block < 1 or rounds < 1 or not 0.0 < level < 1.0:
        raise ValueError("block and rounds are at least 1, level lies between 0 and 1")
    n = len(a)
    if n == 0:
        return Interval(np.nan, np.nan, np.nan)
    difference = a.astype(np.float64) - b
    block = min(block, max(1, n // FEWEST_BLOCKS))
    means = _replicates(difference, block, rounds, np.random.default_rng(seed))
    low, high = np.quantile(means, [(1.0 - level) / 2.0, (1.0 + level) / 2.0])
    return Interval(float(difference.mean()), float(low), float(high))


def _replicates(
    values: NDArray[np.float64], block: int, rounds: int, rng: np.random.Generator
) -> NDArray[np.float64]:
    """Return float64[rounds] means of resampled rings.

    The sum of the block at s is P[s + block] - P[s], with P the prefix sums of the ring.
    """
    n = len(values)
    prefix = np.concatenate(([0.0], np.cumsum(np.concatenate((values, values[:block])))))
    full = prefix[block : block + n] - prefix[:n]
    blocks = -(-n // block)
    rest = n - (blocks - 1) * block
    part = prefix[rest : rest + n] - prefix[:n]
    at_once = max(1, STARTS_AT_ONCE // blocks)
    means = np.empty(rounds)
    for first in range(0, rounds, at_once):
        size = min(at_once, rounds - first)
        starts = rng.integers(n, size=(size, blocks))
        sums = full[starts[:, 1:]].sum(axis=1) + part[starts[:, 0]]
        means[first : first + size] = sums / n
    return means
