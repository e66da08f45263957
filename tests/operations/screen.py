"""What a person on call sees: the panels of a dashboard that are red, with their numbers."""

import json
import math
from pathlib import Path
from typing import Any

from prometheus import Prometheus

ROOT = Path(__file__).resolve().parents[2]
OPERATIONS = ROOT / "deploy" / "grafana" / "dashboards" / "streamrec-operations.json"
FILLED = {"$__rate_interval": "20s", "$window": "5m", "$__interval": "5s", "$__range": "5m"}


def filled(expression: str) -> str:
    """Return an expression with Grafana's variables filled in."""
    for name, value in FILLED.items():
        expression = expression.replace(name, value)
    return expression


def red(prometheus: Prometheus) -> list[str]:
    """Return title and number of each red panel of the operations board, in its order."""
    found = []
    for panel in json.loads(OPERATIONS.read_text())["panels"]:
        steps = panel.get("fieldConfig", {}).get("defaults", {}).get("thresholds", {})
        if not any(step["color"] == "red" for step in steps.get("steps", ())):
            continue
        values = [
            value
            for target in panel["targets"]
            for series in prometheus.query(filled(target["expr"]))
            if not math.isnan(value := float(series["value"][1]))
            and color(steps["steps"], value) == "red"
        ]
        if values:
            lowest = steps["steps"][0]["color"] == "red"
            found.append(f"{panel['title']} {min(values) if lowest else max(values):.3g}")
    return found


def color(steps: list[dict[str, Any]], value: float) -> str:
    """Return the colour of the last step that a value has reached."""
    reached = [step["color"] for step in steps if step["value"] is None or value >= step["value"]]
    return str(reached[-1])
