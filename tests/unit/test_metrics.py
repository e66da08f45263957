"""Metric names: prefix, base units, meanings, no ids in labels; series from the start."""

from prometheus_client import CollectorRegistry, generate_latest

from streamrec.errors import ConfigurationError, GapError
from streamrec.monitoring.families import Families
from streamrec.monitoring.metrics import Metrics
from streamrec.monitoring.stop_reasons import reason_of
from streamrec.settings.sections import Settings
from streamrec.sources.registry import names_of

SETTINGS = Settings()


def exported(role: str = "") -> str:
    metrics = Metrics(CollectorRegistry(), role)
    metrics.begin(SETTINGS, names_of(SETTINGS))
    return generate_latest(metrics.registry).decode()


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
    text = exported()
    for one in Metrics(CollectorRegistry()).described:
        assert f"# TYPE {one.name} {one.kind}\n" in text
    assert "_created" not in text


def test_a_process_exports_what_its_role_has() -> None:
    learn, score = exported("learn"), exported("score")
    for text, role, profile in ((learn, "learn", "general"), (score, "score", "general")):
        assert f'role="{role}"' in text and f'profile="{profile}"' in text
        assert "streamrec_due_users 0.0" in text
    assert "streamrec_lists_published" in score and "streamrec_lists_published" not in learn
    assert "streamrec_commits_total" in learn and "streamrec_commits_total" not in score


def test_what_may_be_said_is_there_from_the_start() -> None:
    learn, score = exported("learn"), exported("score")
    for line in (
        'events_rejected_total{reason="malformed"}',
        'commits_total{result="failed",stage="item"}',
        'redis_errors_total{op="score"}',
        'shards_stopped{reason="GapError",stage="item"}',
        'events_accepted_total{type="purchase"}',
        'prequential_hits_total{k="20",source="blend"}',
        'prequential_events_total{list="popular"}',
        'commit_seconds_count{stage="user"}',
        'merges_total{step="moved"}',
    ):
        assert f"streamrec_{line} 0.0" in learn, line
    assert 'streamrec_list_items_total{source="factors"} 0.0' in score


def test_open_labels_have_no_series_before_their_first_value() -> None:
    registry = CollectorRegistry()
    found = Families(registry).counter("found", "Found.", "where", what=("a", "b"))
    assert "streamrec_found_total{" not in generate_latest(registry).decode()
    found.labels("here", "a").inc()
    assert 'streamrec_found_total{what="a",where="here"} 1.0' in generate_latest(registry).decode()


def test_reasons_are_of_a_closed_set() -> None:
    assert reason_of(GapError("")) == "GapError"
    assert reason_of(ConfigurationError("")) == "ConfigurationError"
    assert reason_of(ZeroDivisionError()) == "other"


def test_two_in_one_process() -> None:
    first, second = Metrics(), Metrics()
    first.events_duplicate.inc()
    assert "streamrec_events_duplicate_total 0.0" in generate_latest(second.registry).decode()
    assert "process_cpu_seconds_total" in generate_latest(first.registry).decode()
