"""What the children's Prometheus metrics say: rates, quantiles and live recall."""

import http.client
import math
import urllib.request
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

from prometheus_client.parser import text_string_to_metric_families

BLEND = "blend"
POPULARITY = "popularity_"
TIMEOUT_SECONDS = 1.0

Sample = tuple[str, tuple[tuple[str, str], ...]]
Samples = Mapping[Sample, float]
"""Values by name and sorted labels, summed over the processes."""


class Snapshot(NamedTuple):
    """All samples at one moment."""

    at: float  # monotonic seconds
    samples: Samples


class Numbers:
    """Snapshots of the last `window_seconds`, and the first one."""

    def __init__(self, window_seconds: float) -> None:
        self._window = window_seconds
        self._recent: deque[Snapshot] = deque()
        self.first: Snapshot | None = None

    def add(self, snapshot: Snapshot) -> None:
        """Take a snapshot in; older ones than the window are dropped."""
        self.first = self.first or snapshot
        self._recent.append(snapshot)
        while len(self._recent) > 2 and self._recent[1].at <= snapshot.at - self._window:
            self._recent.popleft()

    @property
    def whole(self) -> "Span":
        """From the first snapshot to the last."""
        first = self.first or Snapshot(0.0, {})
        return Span(first, self._recent[-1] if self._recent else first)

    @property
    def recent(self) -> "Span":
        """The last `window_seconds`."""
        if not self._recent:
            return self.whole
        return Span(self._recent[0], self._recent[-1])


class Span(NamedTuple):
    """What happened between two snapshots."""

    start: Snapshot
    end: Snapshot

    def grown(self, name: str, **labels: str) -> float:
        """Return how much a counter grew, over all labels that are not named."""
        wanted = set(labels.items())
        return sum(
            value - self.start.samples.get(sample, 0.0)
            for sample, value in self.end.samples.items()
            if sample[0] == name and wanted <= set(sample[1])
        )

    def per_second(self, name: str, **labels: str) -> float:
        """Return a counter's growth a second."""
        seconds = self.end.at - self.start.at
        return self.grown(name, **labels) / seconds if seconds > 0 else 0.0

    def quantile(self, q: float, histogram: str, **labels: str) -> float:
        """Return a quantile, linear within its bucket; NaN when nothing was observed."""
        bounds: dict[float, float] = {}
        for (name, found), value in self.end.samples.items():
            if name == f"{histogram}_bucket" and set(labels.items()) <= set(found):
                bound = float(dict(found)["le"])
                before = self.start.samples.get((name, found), 0.0)
                bounds[bound] = bounds.get(bound, 0.0) + value - before
        return quantile_of(sorted(bounds.items()), q)

    def recall(self) -> dict[str, float]:
        """Return recall@20 of every source: the blend first, the rest by falling recall."""
        events = self.grown("streamrec_prequential_events_total")
        sources = {
            dict(labels)["source"]
            for name, labels in self.end.samples
            if name == "streamrec_prequential_hits_total"
        }
        if not events:
            return {}
        hits = "streamrec_prequential_hits_total"
        found = {source: self.grown(hits, source=source, k="20") / events for source in sources}
        return dict(sorted(found.items(), key=lambda pair: (pair[0] != BLEND, -pair[1])))


def quantile_of(buckets: Sequence[tuple[float, float]], q: float) -> float:
    """Return a quantile of cumulative (upper bound, count) buckets, the last bound being inf."""
    if not buckets or buckets[-1][1] <= 0:
        return math.nan
    rank = q * buckets[-1][1]
    low, below = 0.0, 0.0
    for bound, count in buckets:
        if count >= rank and count > below:
            return (
                low if bound == math.inf else low + (bound - low) * (rank - below) / (count - below)
            )
        low, below = bound, count
    return low


def best_popularity(recall: Mapping[str, float]) -> float:
    """Return the recall of the best popularity source; 0 when there is none."""
    return max(
        (value for name, value in recall.items() if name.startswith(POPULARITY)), default=0.0
    )


def scrape(addresses: Iterable[str], at: float) -> Snapshot | None:
    """Return the sum over these /metrics addresses; None if one of them does not answer."""
    with ThreadPoolExecutor(max_workers=8) as pool:
        texts = list(pool.map(_fetch, addresses))
    if any(text is None for text in texts):
        return None
    samples: dict[Sample, float] = {}
    for text in texts:
        for family in text_string_to_metric_families(text or ""):
            for sample in family.samples:
                if sample.name.startswith("streamrec_"):
                    name = (sample.name, tuple(sorted(sample.labels.items())))
                    samples[name] = samples.get(name, 0.0) + sample.value
    return Snapshot(at, samples)


def _fetch(address: str) -> str | None:
    try:
        with urllib.request.urlopen(address, timeout=TIMEOUT_SECONDS) as reply:
            return str(reply.read().decode())
    except (OSError, http.client.HTTPException):
        return None
