"""Alerts: each fires, is quiet and is over as it should; each has its runbook and its panel."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from alert_cases import CALM, CASES, FAULT, OVER, Case
from needs import needs_server
from prometheus import promtool

ROOT = Path(__file__).resolve().parents[2]
RULES = ROOT / "deploy" / "prometheus" / "streamrec.rules.yml"
GROUPS = yaml.safe_load(RULES.read_text())["groups"]
ALERTS: dict[str, dict[str, Any]] = {
    rule["alert"]: rule for group in GROUPS for rule in group["rules"] if "alert" in rule
}
RECORDED = {
    rule["record"]: rule["expr"] for group in GROUPS for rule in group["rules"] if "record" in rule
}
RUNBOOKS = (ROOT / "docs" / "runbooks.md").read_text()
PANELS = {
    (board["uid"], panel["id"]): panel
    for file in (ROOT / "deploy" / "grafana" / "dashboards").glob("*.json")
    for board in [json.loads(file.read_text())]
    for panel in board["panels"]
}
PARTS = ("**Means.**", "**First look.**", "**Do.**", "**Over when.**")


def test_the_rules_are_well_formed() -> None:
    done = needs_server(lambda: promtool("check", "rules", RULES))
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(ALERTS) >= 15


def test_every_alert_fires_is_quiet_and_ends(tmp_path: Path) -> None:
    assert set(CASES) == set(ALERTS)
    files = []
    for minutes in sorted({case.step_minutes for case in CASES.values()}):
        tests = [
            unit_test(name, case) for name, case in CASES.items() if case.step_minutes == minutes
        ]
        files.append(tmp_path / f"{minutes}.yml")
        files[-1].write_text(  # JSON, which YAML reads
            json.dumps(
                {
                    "rule_files": [str(RULES)],
                    "evaluation_interval": f"{min(minutes, 5)}m",
                    "group_eval_order": [group["name"] for group in GROUPS],
                    "tests": tests,
                }
            )
        )
    done = needs_server(lambda: promtool("test", "rules", *files))
    assert done.returncode == 0, done.stdout + done.stderr


def unit_test(name: str, case: Case) -> dict[str, Any]:
    """Return promtool's test of one alert: calm, fault, calm again."""
    told = {
        "exp_labels": {"severity": case.severity, **case.labels},
        "exp_annotations": {**ALERTS[name]["annotations"], "summary": case.summary},
    }
    looks = [(CALM - 1, []), (FAULT - 1, [told]), (OVER - 1, [])]
    return {
        "name": name,
        "interval": f"{case.step_minutes}m",
        "input_series": [{"series": s, "values": v} for s, v in case.series.items()],
        "alert_rule_test": [
            {"eval_time": f"{step * case.step_minutes}m", "alertname": name, "exp_alerts": alerts}
            for step, alerts in looks
        ],
    }


@pytest.mark.parametrize("name", ALERTS)
def test_an_alert_says_how_bad_with_a_number_and_where_to_read_on(name: str) -> None:
    rule = ALERTS[name]
    notes = rule["annotations"]
    assert name.startswith("Streamrec")
    assert rule["labels"]["severity"] in ("page", "ticket")
    assert "$value" in notes["summary"]
    assert set(notes) == {"summary", "runbook", "dashboard"}
    assert notes["runbook"] == f"docs/runbooks.md#{name.lower()}"
    section = RUNBOOKS.partition(f"\n## {name}\n")[2].partition("\n## ")[0]
    assert section, f"docs/runbooks.md has no section {name}"
    for part in PARTS:
        assert part in section, f"{name}: no {part}"


def test_every_runbook_has_its_alert() -> None:
    assert re.findall(r"^## (Streamrec\w+)$", RUNBOOKS, re.MULTILINE) == list(ALERTS)


@pytest.mark.parametrize("name", ALERTS)
def test_the_panel_of_an_alert_shows_what_it_looks_at(name: str) -> None:
    link = re.fullmatch(r"/d/([\w-]+)\?viewPanel=(\d+)", ALERTS[name]["annotations"]["dashboard"])
    assert link
    panel = PANELS[link[1], int(link[2])]
    asked = " ".join(target["expr"] for target in panel["targets"])
    assert metrics_of(ALERTS[name]["expr"]) & metrics_of(asked), panel["title"]


def metrics_of(expression: str) -> set[str]:
    """Return the metrics that an expression reads, through recording rules."""
    for name, recorded in RECORDED.items():
        expression = expression.replace(name, f"({recorded})")
    names = re.findall(r"\b(?:streamrec_|process_|up\b)[a-z_]*", expression)
    return {re.sub(r"_(bucket|count|sum)$", "", name) for name in names}
