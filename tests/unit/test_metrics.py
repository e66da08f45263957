"""Metric names: prefix, base units, meanings, no ids in labels."""

from prometheus_client import CollectorRegistry, generate_latest

from streamrec.monitoring.metrics import Metrics


def test_names_and_meanings() -> None:
    metrics = Metrics(CollectorRegistry())
    names = [one.name for one in metrics.described]
    assert len(set(names)) == len(names)
    for one in metrics.described:
        assert one.name.startswith("streamrec_") and one.meaning.endswith(".")
        assert one.name.endswith("_total") == (one.kind == "counter")
        assert not set(one.labels) & {"user", "item", "id"}
        assert not one.name.endswith(("_ms", "_milliseconds", "_kb"))


def test_every_described_metric_is_exported() -> None:
    metrics = Metrics(CollectorRegistry())
    text = generate_latest(metrics.registry).decode()
    for one in metrics.described:
        assert f"# TYPE {one.name} {one.kind}\n" in text
    assert 'streamrec_events_rejected_total{reason="malformed"} 0.0' in text
    assert "_created" not in text


def test_two_in_one_process() -> None:
    first, second = Metrics(), Metrics()
    first.events_duplicate.inc()
    assert "streamrec_events_duplicate_total 0.0" in generate_latest(second.registry).decode()
    assert "process_cpu_seconds_total" in generate_latest(first.registry).decode()
