"""Runs the benchmarks that are asked for, one after the other."""

import cProfile
import importlib.util
import io
import pstats
from collections.abc import Callable
from contextlib import closing, nullcontext
from typing import Any, NamedTuple

from benchmarks.clicks import generated, ml_1m
from benchmarks.figures import Bench, Sample, Spread, spreads
from benchmarks.machine import pinned

PROFILE_LINES = 30


class Scale(NamedTuple):
    """How much is measured."""

    repeats: int = 5
    rounds: int = 3  # of the end-to-end phases, 20 s each
    decoded: int = 100_000
    warm: int = 100_000
    folded: int = 20_000
    items: int = 20_000
    lists: int = 1_000
    river: int = 5_000
    evaluated: int = 3_000
    learnt: int | None = None  # None: all of ml-1m
    catalogue: int = 1_000_000
    served: int = 1_000
    served_seconds: int = 10
    exported: int = 50_000
    trained: int = 2_500
    client: str = "confluent" if importlib.util.find_spec("confluent_kafka") else "kafka-python"
    broker: str | None = None  # None: the first of container, jars, embedded that works


class Named(NamedTuple):
    """How a benchmark is made, and on how many cores it runs (None: as many as it likes)."""

    make: Callable[[Scale], Bench]
    cores: int | None


def _decode(scale: Scale) -> Bench:
    from benchmarks.one_core import Decode

    return Decode(ml_1m(scale.decoded), scale.decoded, scale.repeats)


def _folds(scale: Scale) -> Bench:
    from benchmarks.one_core import Folds

    return Folds(ml_1m(), scale.warm, scale.folded, scale.repeats)


def _lists(scale: Scale) -> Bench:
    from benchmarks.one_core import Lists

    events = int(1.5 * scale.warm)
    clicks = generated(events, max(2, events // 75), scale.items)
    return Lists(clicks, scale.items, events, scale.lists, scale.repeats)


def _evaluation(scale: Scale) -> Bench:
    from benchmarks.evaluation import Evaluation

    items, warm = min(5_000, scale.items), min(12_000, scale.warm)
    clicks = generated(2 * (warm + scale.evaluated), max(2, warm // 30), items)
    return Evaluation(clicks, items, warm, scale.evaluated, scale.repeats)


def _river(scale: Scale) -> Bench:
    from benchmarks.river_ratio import River

    return River(ml_1m(), scale.river, scale.river, scale.repeats)


def _memory(scale: Scale) -> Bench:
    from benchmarks.memory import Memory

    return Memory(ml_1m(scale.learnt), scale.lists)


def _end_to_end(scale: Scale) -> Bench:
    from benchmarks.end_to_end import EndToEnd

    return EndToEnd(scale.client, scale.broker, scale.rounds)


def _serve(scale: Scale) -> Bench:
    from benchmarks.serving import Serving

    return Serving(scale.served, scale.served_seconds, scale.rounds)


def _filters(scale: Scale) -> Bench:
    from benchmarks.filtering import Filtering

    users = max(2, scale.warm // 75)
    clicks = generated(scale.warm, users, min(scale.items, scale.catalogue))
    return Filtering(clicks, scale.catalogue, scale.lists, scale.repeats)


def _export(scale: Scale) -> Bench:
    from benchmarks.exporting import Exporting

    return Exporting(scale.exported, scale.rounds)


def _training(scale: Scale) -> Bench:
    from benchmarks.training import Training

    return Training(scale.trained, scale.repeats)


BENCHES = {
    "decode": Named(_decode, 1),
    "folds": Named(_folds, 1),
    "lists": Named(_lists, 1),
    "training": Named(_training, 1),
    "evaluation": Named(_evaluation, 1),
    "river": Named(_river, 1),
    "memory": Named(_memory, None),
    "filters": Named(_filters, 1),
    "end_to_end": Named(_end_to_end, 2),
    "serve": Named(_serve, None),
    "export": Named(_export, None),
}


AS_USERS_RUN = ("end_to_end", "serve", "export")
"""Those whose processes are to have as many threads as users' have."""


class Outcome(NamedTuple):
    """What one benchmark gave."""

    spreads: dict[str, Spread]
    notes: dict[str, object]
    samples: list[Sample]


def measure(name: str, scale: Scale, report: Callable[[str], None]) -> Outcome:
    """Make one benchmark, repeat it, end it."""
    with _cores(name):
        report(f"{name}: preparing")
        with closing(BENCHES[name].make(scale)) as bench:
            samples = []
            for n in range(bench.repeats):
                report(f"{name}: {n + 1} of {bench.repeats}")
                samples.append(bench.once())
            return Outcome(spreads(samples), bench.notes(), samples)


def profile(name: str, scale: Scale) -> str:
    """Return where one repeat of a benchmark spends its time.

    For end_to_end, whose work is in other processes: the cores that each of them used.
    """
    with _cores(name), closing(BENCHES[name].make(scale)) as bench:
        if name == "end_to_end":
            bench.once()
            return _cores_used(bench.notes())
        bench.once()
        profiler = cProfile.Profile()
        profiler.enable()
        bench.once()
        profiler.disable()
        text = io.StringIO()
        pstats.Stats(profiler, stream=text).sort_stats("tottime").print_stats(PROFILE_LINES)
        return text.getvalue()


def _cores(name: str) -> Any:
    cores = BENCHES[name].cores
    return pinned(cores) if cores else nullcontext()


def _cores_used(notes: dict[str, object]) -> str:
    rounds: Any = notes["cores_used"]
    lines = ["cores used by each process"]
    for phase, used in rounds[-1].items():
        lines += [f"  {phase}", *(f"    {role:<10} {cores:6.3f}" for role, cores in used.items())]
    return "\n".join(lines)
