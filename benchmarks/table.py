"""The printed table, and build/bench.json."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.figures import FIGURES, KEYS, Spread
from benchmarks.run import Outcome

BENCH_JSON = Path(__file__).resolve().parents[1] / "build" / "bench.json"


def to_json(outcomes: Mapping[str, Outcome], machine: Mapping[str, object]) -> dict[str, Any]:
    """Return the contents of bench.json; a figure that was not measured is null."""
    found = all_spreads(outcomes)
    figures: dict[str, Any] = {
        key: round(found[key].median, 3) if key in found else None for key in KEYS
    }
    spread = {name: one._asdict() for name, one in found.items()}
    notes = {name: outcome.notes for name, outcome in outcomes.items()}
    samples = {name: outcome.samples for name, outcome in outcomes.items()}
    details = {"machine": machine, "spread": spread, "notes": notes, "samples": samples}
    return {**figures, "details": details}


def save(result: Mapping[str, Any], path: Path = BENCH_JSON) -> None:
    """Write bench.json."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(result, indent=1) + "\n")


def all_spreads(outcomes: Mapping[str, Outcome]) -> dict[str, Spread]:
    """Return the spreads of all benchmarks by name."""
    return {name: one for outcome in outcomes.values() for name, one in outcome.spreads.items()}


def print_table(
    console: Console, outcomes: Mapping[str, Outcome], machine: Mapping[str, Any]
) -> None:
    """Print the figures with their targets, then everything else that was measured."""
    found = all_spreads(outcomes)
    table = Table(caption=_caption(outcomes, machine), caption_justify="left")
    for head in ("figure", "median", "target", "", "lowest to highest", "repeats"):
        table.add_column(head, justify="left" if head == "figure" else "right")
    for figure in FIGURES:
        one = found.pop(figure.key, None)
        if one is not None:
            sign = ">=" if figure.at_least else "<="
            table.add_row(
                figure.label,
                f"{number(one.median)} {figure.unit}",
                f"{sign} {number(figure.target)}",
                "met" if figure.met(one.median) else "[bold]missed[/]",
                *_range(one),
            )
    if found:
        table.add_section()
    for name, one in found.items():
        table.add_row(name.replace("_", " "), number(one.median), "", "", *_range(one))
    console.print(table)
    for line in _row_types(outcomes):
        console.print(line, highlight=False)


def number(value: float) -> str:
    """Return a number with three or more digits that matter."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _range(one: Spread) -> tuple[str, str]:
    return f"{number(one.low)} to {number(one.high)}", str(one.repeats)


def _caption(outcomes: Mapping[str, Outcome], machine: Mapping[str, Any]) -> str:
    versions = ", ".join(f"{name} {value}" for name, value in machine["versions"].items())
    lines = [
        f"{machine['cpu']}, {machine['cores']} cores, load {machine['load_average'][0]} before",
        f"Python {machine['python']}, {versions}",
        "one core: seconds are CPU seconds of one pinned process with one thread",
    ]
    if "folds" in outcomes:
        lines[-1] += f"; events: {outcomes['folds'].notes['events']}"
    if "end_to_end" in outcomes:
        notes: Any = outcomes["end_to_end"].notes
        lines.append(
            f"end to end: {notes['processes']} on two cores with broker ({notes['broker']}), "
            f"{notes['redis']} (AOF every second) and producer ({notes['producer']}); "
            f"client {notes['client']}; {notes['phase_seconds']:.0f} s a phase and repeat"
        )
    if "serve" in outcomes:
        notes = outcomes["serve"].notes
        lines.append(
            f"serve: {notes['redis']}, {notes['users']:,} lists of {notes['items_a_list']} items; "
            f"wrk with {notes['connections']} connections on another core, {notes['seconds']} s"
        )
    if "filters" in outcomes:
        notes = outcomes["filters"].notes
        lines.append(
            f"filters: {notes['filter']}, which {notes['pass']:,} of {notes['items']:,} items pass"
        )
    if "export" in outcomes:
        notes = outcomes["export"].notes
        lines.append(f"export: {notes['lists']:,} lists from {notes['redis']}, start and end too")
    return "\n".join(lines)


def _row_types(outcomes: Mapping[str, Outcome]) -> list[str]:
    if "memory" not in outcomes:
        return []
    notes: Any = outcomes["memory"].notes
    lines = [
        f"Redis after {notes['events_learnt']:,} events ({notes['events']}), {notes['users']:,} "
        f"users, {notes['items']:,} items"
    ]
    for kind, one in notes["row_types"].items():
        lines.append(
            f"  {kind:<11} {one['rows']:>8,.0f} rows {one['bytes']:>12,.0f} bytes "
            f"{one['bytes_each']:>9,.1f} each"
        )
    return lines
