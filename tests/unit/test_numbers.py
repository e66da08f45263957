"""Totals, quantiles and recall from Prometheus text."""

import math
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from streamrec.monitoring.metrics import Metrics
from streamrec.monitoring.numbers import Samples, quantile, recall, scrape, total

LISTED = "streamrec_click_to_list_seconds"


def scraped(folder: Path, *processes: Metrics) -> Samples:
    files = [folder / str(n) for n in range(len(processes))]
    for file, metrics in zip(files, processes, strict=True):
        file.write_bytes(generate_latest(metrics.registry))
    samples = scrape(file.as_uri() for file in files)
    assert samples is not None
    return samples


def test_two_processes_are_summed(tmp_path: Path) -> None:
    one, two = Metrics(CollectorRegistry()), Metrics(CollectorRegistry())
    one.lists_published.inc(30)
    two.lists_published.inc(10)
    for source, hits in (("blend", 8), ("popularity_long", 4), ("similarity", 9)):
        one.prequential_hits.labels(source, "20").inc(hits)
        one.prequential_hits.labels(source, "10").inc(1)
    one.prequential_events.labels("own").inc(80)
    samples = scraped(tmp_path, one, two)
    assert total(samples, "streamrec_lists_published_total") == 40
    assert total(samples, "streamrec_prequential_hits_total", source="similarity", k="20") == 9
    assert list(recall(samples).items()) == [
        ("blend", 0.1),
        ("similarity", 0.1125),
        ("popularity_long", 0.05),
    ]


@pytest.mark.parametrize(("q", "expected"), [(0.5, 0.08), (0.25, 0.07), (0.75, 0.09), (1.0, 0.1)])
def test_quantiles_are_linear_within_a_bucket(tmp_path: Path, q: float, expected: float) -> None:
    metrics = Metrics(CollectorRegistry())
    for seconds in (0.07, 0.09):  # two buckets: 0.06 to 0.08, 0.08 to 0.1
        metrics.click_to_list_seconds.observe(seconds)
    assert quantile(scraped(tmp_path, metrics), q, LISTED) == pytest.approx(expected)


def test_a_quantile_keeps_to_its_labels_and_to_the_last_bound(tmp_path: Path) -> None:
    metrics, learnt = Metrics(CollectorRegistry()), "streamrec_click_to_learnt_seconds"
    metrics.click_to_learnt_seconds.labels("user").observe(500.0)
    samples = scraped(tmp_path, metrics)
    assert quantile(samples, 0.9, learnt, stage="user") == 60.0
    assert math.isnan(quantile(samples, 0.9, learnt, stage="item"))
    assert math.isnan(quantile(samples, 0.9, LISTED))


def test_a_process_that_does_not_answer_gives_nothing() -> None:
    assert scrape(["http://127.0.0.1:1/metrics"]) is None
