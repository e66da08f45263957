"""Makes metric families: what a closed label may say is exported from the start, as 0."""

from collections.abc import Mapping, Sequence
from itertools import product
from typing import NamedTuple

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.metrics import MetricWrapperBase


class Described(NamedTuple):
    """One line of docs/metrics.md; `role` is empty where every process has the metric."""

    name: str
    kind: str
    labels: tuple[str, ...]
    role: str
    meaning: str


class Families:
    """Makes the families of one process; those of other roles are made but not exported.

    Labels are given by name. Open ones (a partition) have no series before their first value;
    closed ones name all their values (`result=("ok", "failed")`), so that a first error shows as an
    increase from 0 and a query of it is never empty.
    """

    def __init__(self, registry: CollectorRegistry, role: str = "") -> None:
        self.registry = registry
        self.described: list[Described] = []
        self._role = role
        self._of = ""

    def of(self, role: str) -> "Families":
        """Say whose the families are that are made next; "" for every process's."""
        self._of = role
        return self

    def counter(self, name: str, meaning: str, *open: str, **closed: Sequence[str]) -> Counter:
        """Return a new counter; `name` is without prefix and `_total`."""
        labels = self._describe(f"{name}_total", "counter", meaning, open, closed)
        made = Counter(f"streamrec_{name}", meaning, labels, registry=self._to)
        _begin(made, open, closed)
        return made

    def gauge(self, name: str, meaning: str, *open: str, **closed: Sequence[str]) -> Gauge:
        """Return a new gauge."""
        labels = self._describe(name, "gauge", meaning, open, closed)
        made = Gauge(f"streamrec_{name}", meaning, labels, registry=self._to)
        _begin(made, open, closed)
        return made

    def histogram(
        self,
        name: str,
        meaning: str,
        buckets: Sequence[float],
        *open: str,
        **closed: Sequence[str],
    ) -> Histogram:
        """Return a new histogram."""
        labels = self._describe(name, "histogram", meaning, open, closed)
        full = f"streamrec_{name}"
        made = Histogram(full, meaning, labels, buckets=buckets, registry=self._to)
        _begin(made, open, closed)
        return made

    @property
    def _to(self) -> CollectorRegistry | None:
        mine = not self._of or self._role in ("", self._of)
        return self.registry if mine else None

    def _describe(
        self,
        name: str,
        kind: str,
        meaning: str,
        open: Sequence[str],
        closed: Mapping[str, Sequence[str]],
    ) -> tuple[str, ...]:
        labels = (*open, *closed)
        self.described.append(Described(f"streamrec_{name}", kind, labels, self._of, meaning))
        return labels


def _begin(
    family: MetricWrapperBase, open: Sequence[str], closed: Mapping[str, Sequence[str]]
) -> None:
    """Make the series of a family whose labels are all closed."""
    if closed and not open:
        for values in product(*closed.values()):
            family.labels(*values)
