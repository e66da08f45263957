"""Rates, quantiles and recall from Prometheus text."""

import math

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from streamrec.demo import numbers as demo_numbers
from streamrec.demo.numbers import Numbers, Snapshot, best_popularity, quantile_of, scrape
from streamrec.monitoring.metrics import Metrics


def scraped(monkeypatch: pytest.MonkeyPatch, at: float, *processes: Metrics) -> Snapshot:
    texts = {str(n): generate_latest(m.registry).decode() for n, m in enumerate(processes)}
    monkeypatch.setattr(demo_numbers, "_fetch", texts.get)
    snapshot = scrape(texts, at)
    assert snapshot is not None
    return snapshot


def test_two_processes_are_summed_between_two_moments(monkeypatch: pytest.MonkeyPatch) -> None:
    one, two = Metrics(CollectorRegistry()), Metrics(CollectorRegistry())
    numbers = Numbers(10.0)
    one.lists_published.inc(5)
    numbers.add(scraped(monkeypatch, 100.0, one, two))
    one.lists_published.inc(30)
    two.lists_published.inc(10)
    for source, hits in (("blend", 8), ("popularity_long", 4), ("similarity", 6)):
        one.prequential_hits.labels(source, "20").inc(hits)
        one.prequential_hits.labels(source, "10").inc(1)
    one.prequential_events.inc(80)
    for _ in range(100):
        two.click_to_list_seconds.observe(0.07)
    numbers.add(scraped(monkeypatch, 104.0, one, two))
    span = numbers.recent
    assert span.per_second("streamrec_lists_published_total") == 10.0
    assert span.recall() == {"blend": 0.1, "similarity": 0.075, "popularity_long": 0.05}
    assert list(span.recall())[0] == "blend"
    assert best_popularity(span.recall()) == 0.05
    assert 0.06 < span.quantile(0.5, "streamrec_click_to_list_seconds") < 0.08
    assert math.isnan(span.quantile(0.5, "streamrec_click_to_learnt_seconds", stage="item"))


def test_the_window_moves_and_the_whole_stays() -> None:
    numbers = Numbers(10.0)
    for second in range(60):
        numbers.add(Snapshot(float(second), {("n", ()): 3.0 * second}))
    assert numbers.recent.end.at - numbers.recent.start.at == 10.0
    assert numbers.recent.per_second("n") == 3.0
    assert numbers.whole.grown("n") == 3.0 * 59


def test_a_process_that_does_not_answer_gives_no_snapshot() -> None:
    assert scrape(["http://127.0.0.1:1/metrics"], 0.0) is None


@pytest.mark.parametrize(
    ("q", "expected"), [(0.5, 1.0), (0.25, 0.5), (0.75, 1.5), (1.0, 2.0), (0.0, 0.0)]
)
def test_quantiles_are_linear_within_a_bucket(q: float, expected: float) -> None:
    assert quantile_of([(1.0, 10.0), (2.0, 20.0), (math.inf, 20.0)], q) == expected


def test_a_quantile_beyond_the_last_bound_is_that_bound() -> None:
    assert quantile_of([(1.0, 1.0), (math.inf, 10.0)], 0.9) == 1.0
    assert math.isnan(quantile_of([(1.0, 0.0), (math.inf, 0.0)], 0.5))
