"""Every panel, every rule and every query of the docs, asked of a real Prometheus."""

import json
import math
import re
import time
from collections.abc import Iterator
from importlib.util import find_spec
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
from recovery.compare import read_topic
from screen import color, filled
from watched import ROOT, Watched

from streamrec.monitoring.metrics import Metrics
from streamrec.settings.sections import RedisSettings
from streamrec.transport.redis.store import Store

BOARDS = sorted((ROOT / "deploy" / "grafana" / "dashboards").glob("*.json"))
RULES = ROOT / "deploy" / "prometheus" / "streamrec.rules.yml"
UNITS = set((Path(__file__).parent / "grafana_units.txt").read_text().split())
"""Those of @grafana/data 13.2.3; Grafana prints an unknown one behind the number."""
LOAD_SECONDS = 25.0
NO_PANEL = {
    "item_table_rows": "the same as rows of items, which are on Tables, of their limit",
    "last_commit_timestamp_seconds": "old without events too; an oldest event that waits is not",
    "encode_seconds": "once a catalogue; Texts without a vector says whether it goes on",
    "texts_encoded_total": "the fall of Texts without a vector",
    "train_learnt_total": "new samples and Time spent on training say it",
}
"""Metrics that nobody would look for on a board, and why."""
TRAINS = find_spec("torch") is not None
SERVES = find_spec("starlette") is not None
REFRESHED = 'max(streamrec_train_gain{order="candidate"})'


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    """The installation, after some load in which Redis was away for a moment."""
    mine = Watched(tmp_path_factory.mktemp("watched"), RULES)
    try:
        mine.wait("sum(streamrec_lists_published_total) > 100")
        mine.redis.kill()
        time.sleep(2.0)
        mine.redis.start()
        time.sleep(LOAD_SECONDS)
        if TRAINS:
            mine.wait(REFRESHED)
        yield mine
    finally:
        mine.close()


def panels(board: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(board.read_text())["panels"]
    return found


def targets(panel: dict[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = panel.get("targets", [])
    return found


def name_of(path: Path) -> str:
    return path.stem


@pytest.mark.parametrize("board", BOARDS, ids=name_of)
def test_every_panel_shows_something(watched: Watched, board: Path) -> None:
    faults = []
    for panel in panels(board):
        for target in targets(panel):
            if not TRAINS and "streamrec_train_" in target["expr"]:
                continue
            if not SERVES and "streamrec_http_" in target["expr"]:
                continue
            fault = fault_of(watched, target["expr"], target["legendFormat"])
            if fault:
                faults.append(f"{panel['title']}: {fault}: {target['expr']}")
    assert not faults, "\n".join(faults)


@pytest.mark.parametrize("page", ["metrics.md", "operations.md"])
def test_every_query_of_the_docs_has_an_answer(watched: Watched, page: str) -> None:
    text = (ROOT / "docs" / page).read_text()
    blocks = re.findall(r"(?:^    \S.*\n)(?:^      .*\n)*", text, re.MULTILINE)
    asked = [" ".join(block.split()) for block in blocks]
    asked += re.findall(r"^\| `([^`]+)` \|", text, re.MULTILINE)
    asked = [one for one in asked if re.search(r"\b(rate|increase|max|sum|max_over_time)\b", one)]
    assert asked
    # an alert's expression with its bound is empty while all is well: asked without it
    faults = [(query, fault_of(watched, re.sub(r" > [\d.]+$", "", query))) for query in asked]
    assert not [one for one in faults if one[1]]


def test_every_rule_can_be_evaluated(watched: Watched) -> None:
    groups = watched.prometheus.rules()
    wrong = [(r["name"], r["lastError"]) for g in groups for r in g["rules"] if r.get("lastError")]
    assert len(groups) == 3 and not wrong


def test_what_lives_in_several_processes_sums_right(watched: Watched) -> None:
    """Against what Redis and the producer say, at rest; runs last, it ends the load."""
    watched.rest()
    store = Store(RedisSettings(url=watched.redis.url))
    shards = [f"u{n}" for n in range(4)]
    users = sum(store.run([("HLEN", f"sr:{{{name}}}:users") for name in shards]))
    counters = [json.loads(store.meta(name)[b"counters"]) for name in shards]
    number = watched.prometheus.number
    # a commit whose answer was lost while Redis was away is stored, but not counted here
    consumed = sum(one["consumed"] for one in counters)
    messages = read_topic(watched.brokers, "streamrec.events").values()
    values = [one.value or b"" for partition in messages for one in partition]
    # what shards send each other of visitors who are merged
    moves = [sum(step in value for value in values) for step in (b'"asked":{', b'"given":{')]
    assert all(moves) and consumed == watched.sent() + sum(moves)
    told_moves = [number(f'sum(streamrec_merges_total{{step="{s}"}})') for s in ("asked", "moved")]
    assert told_moves == [pytest.approx(moves[0] / 4, rel=0.1), pytest.approx(moves[1], rel=0.1)]
    assert number("sum(streamrec_events_consumed_total)") == pytest.approx(consumed, rel=0.05)
    told = ["sum(streamrec_events_duplicate_total)", "sum(streamrec_events_suppressed_total)"]
    told += ["sum(streamrec_events_rejected_total)", "sum(streamrec_events_accepted_total)"]
    told += ["sum(streamrec_events_control_total)"]
    assert number(" + ".join(told)) == number("sum(streamrec_events_consumed_total)")
    assert number('sum(streamrec_rows{table="users_stored"})') == users
    assert number('sum(streamrec_rows{table="items"})') == number("max(streamrec_item_table_rows)")
    for topic in ("events", "items", "updates"):
        owned = f'sum(streamrec_partitions_assigned{{topic="{topic}"}})'
        assert number(owned) == number(f'max(streamrec_topic_partitions{{topic="{topic}"}})') == 4
        assert number(f'count(streamrec_lag_messages{{topic="{topic}"}})') == 4
    assert number('sum(up{job="streamrec-learn"})') == number('sum(up{job="streamrec-score"})') == 2
    assert number("count(count by (role) (streamrec_build_info))") == 2 + TRAINS + SERVES
    assert number("max(streamrec_oldest_unlearnt_seconds)") == 0
    assert number("max(streamrec_oldest_due_seconds)") == 0
    assert number("sum(rate(streamrec_redis_errors_total[5m])) > bool 0") == 1


def fault_of(watched: Watched, expression: str, legend: str = "") -> str:
    """Return what is wrong with the answer of a query; "" when it can be drawn."""
    try:
        found = watched.prometheus.query(filled(expression))
    except ValueError as error:
        return str(error)
    if not found:
        return "empty"
    if all(math.isnan(float(one["value"][1])) for one in found):
        return "NaN"
    missing = set(re.findall(r"\{\{(\w+)\}\}", legend)) - set(found[0]["metric"])
    return f"no label {missing}" if missing else ""


@pytest.mark.parametrize("board", BOARDS, ids=name_of)
def test_a_board_can_be_read(board: Path) -> None:
    made = json.loads(board.read_text())
    assert made["uid"] == board.stem and made["description"]
    numbers = [panel["id"] for panel in made["panels"]]
    titles = [panel["title"] for panel in made["panels"]]
    assert len(set(numbers)) == len(numbers) and len(set(titles)) == len(titles)
    for panel in made["panels"]:
        if panel["type"] == "row":
            continue
        assert len(panel["description"]) > 30 and panel["description"].endswith("."), panel["title"]
        settings = panel["fieldConfig"]["defaults"]
        unit = settings.get("unit") or panel["options"]["yAxis"]["unit"]
        overrides = panel["fieldConfig"]["overrides"]
        own = [p["value"] for o in overrides for p in o["properties"] if p["id"] == "unit"]
        assert {unit, *own} <= UNITS, f"{panel['title']}: {unit}, {own}"
        assert settings["thresholds"]["steps"][0]["value"] is None, panel["title"]
        assert all(target["refId"] for target in panel["targets"])
    for one, other in combinations([panel["gridPos"] for panel in made["panels"]], 2):
        assert one["x"] + one["w"] <= 24
        apart = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
        above = one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"]
        assert apart or above


@pytest.mark.parametrize("board", BOARDS, ids=name_of)
def test_no_legend_grows_with_the_installation(board: Path) -> None:
    """A table, or bars of the worst, have room for them: a legend would be scrolled."""
    long = [
        panel["title"]
        for panel in panels(board)
        if panel["type"] == "timeseries"
        for target in targets(panel)
        if re.search(r"\{\{(instance|partition)\}\}", target["legendFormat"])
    ]
    assert not long


@pytest.mark.parametrize("page", ["runbooks.md", "operations.md"])
def test_panels_that_the_docs_name_are_there(page: str) -> None:
    boards = [json.loads(board.read_text()) for board in BOARDS]
    known = {panel["title"] for board in boards for panel in board["panels"]}
    known |= {board["title"].removeprefix("streamrec / ") for board in boards}
    text = " ".join((ROOT / "docs" / page).read_text().split())
    named = re.findall(r"(?<!\*)\*([A-Z][^*`]*)\*(?!\*)", text)
    assert len(named) > 10 and set(named) <= known


def test_every_metric_is_on_a_panel_or_needs_none() -> None:
    """Or it is an annotation on all of them."""
    shown = " ".join(re.findall(r'"expr": (".*")', "".join(map(Path.read_text, BOARDS))))
    missing = {
        one.name.removeprefix("streamrec_")
        for one in Metrics().described
        if not re.search(rf"\b{one.name}(_bucket|_count)?\b", shown)
    }
    assert missing == set(NO_PANEL)


def test_a_panel_is_red_from_its_bound_on() -> None:
    steps = [{"value": None, "color": "green"}, {"value": 10, "color": "orange"}]
    steps.append({"value": 60, "color": "red"})
    assert [color(steps, value) for value in (0, 9.9, 10, 59, 60, 1e9)] == [
        *("green", "green", "orange", "orange", "red", "red")
    ]
