"""What the processes' Prometheus metrics say: totals, quantiles and live recall."""

import http.client
import math
import urllib.request
from bisect import bisect_left
from collections.abc import Iterable, Mapping

from prometheus_client.parser import text_string_to_metric_families

BLEND = "blend"
TIMEOUT_SECONDS = 2.0

Sample = tuple[str, frozenset[tuple[str, str]]]
Samples = Mapping[Sample, float]
"""Values by name and labels, summed over the processes."""


def scrape(addresses: Iterable[str]) -> Samples | None:
    """Return the sum over these /metrics addresses; None if one of them does not answer."""
    samples: dict[Sample, float] = {}
    for address in addresses:
        try:
            with urllib.request.urlopen(address, timeout=TIMEOUT_SECONDS) as reply:
                text = reply.read().decode()
        except (OSError, http.client.HTTPException):
            return None
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                name = (sample.name, frozenset(sample.labels.items()))
                samples[name] = samples.get(name, 0.0) + sample.value
    return samples


def total(samples: Samples, name: str, **labels: str) -> float:
    """Return the sum over all samples of this name that have these labels."""
    wanted = labels.items()
    return sum(v for (found, has), v in samples.items() if found == name and wanted <= has)


def quantile(samples: Samples, q: float, histogram: str, **labels: str) -> float:
    """Return a quantile (0 < q <= 1), linear within its bucket; NaN when nothing was observed.

    One beyond the last finite bound is that bound.
    """
    buckets: dict[float, float] = {}
    for (name, has), value in samples.items():
        if name == f"{histogram}_bucket" and labels.items() <= has:
            bound = float(dict(has)["le"])
            buckets[bound] = buckets.get(bound, 0.0) + value
    bounds, counts = sorted(buckets), sorted(buckets.values())
    if not counts or counts[-1] <= 0:
        return math.nan
    n = bisect_left(counts, q * counts[-1])
    low, below = (bounds[n - 1], counts[n - 1]) if n else (0.0, 0.0)
    if bounds[n] == math.inf:
        return low
    return low + (bounds[n] - low) * (q * counts[-1] - below) / (counts[n] - below)


def recall(samples: Samples) -> dict[str, float]:
    """Return live recall@20 of every source: the blend first, the rest by falling recall."""
    events = total(samples, "streamrec_prequential_events_total")
    hits = {
        dict(has)["source"]: value / max(events, 1.0)
        for (name, has), value in samples.items()
        if name == "streamrec_prequential_hits_total" and ("k", "20") in has
    }
    return dict(sorted(hits.items(), key=lambda pair: (pair[0] != BLEND, -pair[1])))
