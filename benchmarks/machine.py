"""The machine and the versions that a result belongs to."""

import contextlib
import os
import platform
from collections.abc import Collection, Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

PACKAGES = ("numpy", "numba", "msgspec", "redis", "kafka-python", "confluent-kafka", "river")
ONE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")


def one_thread() -> dict[str, str | None]:
    """Make numpy and numba use one thread, before they are imported; return what was set before."""
    before = {name: os.environ.get(name) for name in ONE_THREAD}
    os.environ.update(dict.fromkeys(ONE_THREAD, "1"))
    return before


def restore(before: dict[str, str | None]) -> None:
    """Give the variables back, so that child processes run as users run them."""
    for name, value in before.items():
        os.environ.pop(name, None)
        if value is not None:
            os.environ[name] = value


@contextlib.contextmanager
def pinned(cores: int) -> Iterator[None]:
    """Keep this process on the last `cores` cores it may use, where the system can."""
    with on_cores(allowed_cores()[-cores:]):
        yield


@contextlib.contextmanager
def on_cores(numbers: Collection[int]) -> Iterator[None]:
    """Keep this process, and what it starts, on these cores, where the system can."""
    if not numbers:
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, numbers)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def allowed_cores() -> list[int]:
    """Return the numbers of the cores that this process may use; none where nobody says so."""
    return sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []


def describe() -> dict[str, object]:
    """Return CPU, cores, load and versions."""
    return {
        "cpu": _cpu(),
        "cores": len(allowed_cores()) or os.cpu_count(),
        "pinned": hasattr(os, "sched_setaffinity"),
        "system": platform.platform(),
        "python": platform.python_version(),
        "versions": {name: found for name in PACKAGES if (found := _version(name))},
        "load_average": [round(load, 2) for load in os.getloadavg()],
    }


def _cpu() -> str:
    with contextlib.suppress(OSError):
        fields: dict[str, str] = {}
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            name, _, value = line.partition(":")
            fields.setdefault(name.strip(), value.strip())
        if "model name" in fields:
            family = f"family {fields.get('cpu family')} model {fields.get('model')}"
            return f"{fields['model name']} ({family})"
    return platform.processor() or platform.machine()


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return ""
