"""The benchmarks run, at a size that says nothing about speed."""

import json
import math
import shutil
from pathlib import Path

import pytest
from needs import needs, needs_program
from rich.console import Console

from benchmarks import clicks
from benchmarks.figures import KEYS, Figure, Missing, spreads
from benchmarks.machine import describe
from benchmarks.run import BENCHES, Outcome, Scale, measure, profile
from benchmarks.table import print_table, save, to_json

TINY = Scale(
    repeats=2,
    decoded=50,
    warm=600,
    folded=600,
    items=300,
    lists=40,
    river=200,
    evaluated=100,
    learnt=600,
    catalogue=2_000,
    served=20,
    served_seconds=1,
    rounds=1,
    exported=50,
    trained=100,
)
GIVES = {
    "decode": {"decode_events_per_second"},
    "folds": {"user_fold_events_per_second", "item_fold_events_per_second"},
    "lists": {"lists_per_second", "network_lists_per_second"},
    "training": {"lists_trained_per_second_cpu"},
    "evaluation": {"evaluation_events_per_second"},
    "river": {"river_ratio"},
    "memory": {"redis_bytes_per_user", "redis_bytes_per_item"},
    "filters": {"filtered_list_ms_p99"},
    "serve": {"served_lists_per_second", "served_ms_p99", "served_without_list"},
    "export": {"exported_lists_per_second"},
}


@pytest.mark.parametrize("name", GIVES)
def test_a_benchmark_gives_its_figures(name: str) -> None:
    if name == "serve":
        needs("starlette")
        needs_program("wrk", "wrk")
    if name == "export":
        needs("pyarrow")
    if name == "training":
        needs("torch")
    outcome = measure(name, TINY, lambda text: None)
    assert GIVES[name] <= set(outcome.spreads)
    for key, spread in outcome.spreads.items():
        assert math.isfinite(spread.median), key
        assert (spread.median == 0) if key == "served_without_list" else (spread.median > 0), key


def test_without_wrk_the_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(Missing, match="install the package wrk"):
        measure("serve", TINY, lambda text: None)


def test_all_figures_are_given_by_some_benchmark() -> None:
    elsewhere = {"end_to_end_events_per_second", "learnt_ms_p99", "list_ms_p50", "list_ms_p99"}
    assert set().union(*GIVES.values()) | elsewhere >= set(KEYS)
    assert set(BENCHES) == {*GIVES, "end_to_end"}


def test_the_file_has_exactly_the_keys_of_the_issue(tmp_path: Path) -> None:
    outcomes = {"decode": measure("decode", TINY, lambda text: None)}
    save(to_json(outcomes, describe()), tmp_path / "build" / "bench.json")
    written = json.loads((tmp_path / "build" / "bench.json").read_text())
    assert set(written) == {
        "decode_events_per_second",
        "user_fold_events_per_second",
        "item_fold_events_per_second",
        "lists_per_second",
        "evaluation_events_per_second",
        "river_ratio",
        "end_to_end_events_per_second",
        "learnt_ms_p99",
        "list_ms_p50",
        "list_ms_p99",
        "redis_bytes_per_user",
        "redis_bytes_per_item",
        "served_lists_per_second",
        "served_ms_p99",
        "served_without_list",
        "filtered_list_ms_p99",
        "exported_lists_per_second",
        "details",
    }
    assert written["decode_events_per_second"] > 0
    assert written["river_ratio"] is None
    assert {"machine", "spread", "notes"} <= set(written["details"])


def test_the_table_says_met_or_missed() -> None:
    console = Console(width=120, record=True, quiet=True)
    found = spreads([{"decode_events_per_second": 1.0}, {"decode_events_per_second": 3.0}])
    outcome = Outcome(found, {}, [])
    console.quiet = False
    with console.capture() as shown:
        print_table(console, {"decode": outcome}, describe())
    assert "missed" in shown.get() and "500,000" in shown.get()
    assert Figure("x", "", "", 5).met(5) and not Figure("x", "", "", 5, at_least=False).met(6)


def test_a_profile_names_the_functions() -> None:
    assert "decode" in profile("decode", TINY)


def test_mixed_users_keep_their_own_order() -> None:
    sittings = clicks.generated(2_000, 50, 100)
    mixed = clicks.interleaved(sittings)
    for user in set(sittings.users):
        own = [i for u, i in zip(sittings.users, sittings.items, strict=True) if u == user]
        assert [i for u, i in zip(mixed.users, mixed.items, strict=True) if u == user] == own
    runs = [
        sum(a == b for a, b in zip(c.users, c.users[1:], strict=False)) for c in (sittings, mixed)
    ]
    assert runs[1] < runs[0] / 3


def test_a_message_has_200_bytes() -> None:
    assert len(clicks.message(clicks.generated(10, 5, 5), 3, 7)) == clicks.MESSAGE_BYTES
