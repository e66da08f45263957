"""Samples of metrics, for tests: a name or a label that no metric has is a fault of the test."""

from collections.abc import Mapping

from prometheus_client import CollectorRegistry


def sample(registry: CollectorRegistry, name: str, labels: Mapping[str, str]) -> float:
    """Return one sample of a metric of ours, 0 where it has none yet."""
    metric = registry._names_to_collectors[f"streamrec_{name}"]
    assert set(getattr(metric, "_labelnames", labels)) == set(labels) - {"le"}, f"{name}: labels"
    return registry.get_sample_value(f"streamrec_{name}", dict(labels)) or 0.0
