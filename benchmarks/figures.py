"""The figures of build/bench.json: their names, their targets, and how many repeats become one."""

import math
import statistics
from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

Sample = Mapping[str, float]


class Missing(Exception):
    """A program that a benchmark needs is not there; the text says which package has it."""


class Figure(NamedTuple):
    """One measured number and what it should be."""

    key: str
    label: str
    unit: str
    target: float
    at_least: bool = True  # False: at most

    def met(self, value: float) -> bool:
        """Say whether the value reaches the target."""
        return value >= self.target if self.at_least else value <= self.target


FIGURES = (
    Figure("decode_events_per_second", "decode", "events/s", 500_000),
    Figure("user_fold_events_per_second", "user fold", "events/s", 30_000),
    Figure("item_fold_events_per_second", "item fold", "events/s", 50_000),
    Figure("lists_per_second", "scorer, 20,000 items", "lists/s", 1_000),
    Figure("evaluation_events_per_second", "evaluation, 5,000 items", "scored/s", 1_000),
    Figure("river_ratio", "factors against river BiasedMF", "times", 2),
    Figure("end_to_end_events_per_second", "end to end, learnt", "events/s", 5_000),
    Figure("learnt_ms_p99", "click to learnt at 5,000/s, p99", "ms", 1_000, at_least=False),
    Figure("list_ms_p50", "click to new list at 500/s, p50", "ms", 80, at_least=False),
    Figure("list_ms_p99", "click to new list at 500/s, p99", "ms", 250, at_least=False),
    Figure("redis_bytes_per_user", "Redis, a user after ml-1m", "bytes", 1_500, at_least=False),
    Figure("redis_bytes_per_item", "Redis, an item after ml-1m", "bytes", 4_000, at_least=False),
    Figure("served_lists_per_second", "serve and Redis on one core", "lists/s", 3_000),
    Figure("served_ms_p99", "serve at half of 3,000/s, p99", "ms", 15, at_least=False),
    Figure("served_without_list", "serve, requests without a list", "", 0, at_least=False),
    Figure("filtered_list_ms_p99", "list of 1 % of 1,000,000 items, p99", "ms", 5, at_least=False),
    Figure("exported_lists_per_second", "lists export", "lists/s", 10_000),
)
KEYS = tuple(figure.key for figure in FIGURES)


class Bench(Protocol):
    """One benchmark: prepared when made, measured again and again."""

    repeats: int

    def once(self) -> Sample:
        """Measure once: figures by key, and whatever else is worth a line, by other names."""

    def notes(self) -> dict[str, object]:
        """Return how it was measured, for the details."""

    def close(self) -> None:
        """End what was started."""


class Spread(NamedTuple):
    """The median of some repeats, and the range they lay in."""

    median: float
    low: float
    high: float
    repeats: int


def spreads(samples: Sequence[Sample]) -> dict[str, Spread]:
    """Return the median and range of each name; a repeat without the name does not count."""
    out = {}
    for name in dict.fromkeys(name for sample in samples for name in sample):
        values = [sample[name] for sample in samples if name in sample]
        finite = [value for value in values if math.isfinite(value)]
        if finite:
            out[name] = Spread(statistics.median(finite), min(finite), max(finite), len(finite))
    return out
