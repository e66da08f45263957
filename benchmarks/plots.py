"""Plots of docs/evaluation.md from build/quality.json: those of the report, as SVG files."""

import json
import re
from pathlib import Path

from benchmarks.quality import OUT, ROOT
from streamrec.evaluation.report.page import STYLE
from streamrec.evaluation.report.render import render

PLOTS = ROOT / "docs" / "plots"
WANTED = (
    ("globo", "over-time-plot"),
    ("globo", "weights-plot"),
    ("globo", "staleness-plot"),
    ("ml-1m", "over-time-plot"),
    ("ml-1m", "weights-plot"),
    ("completejourney", "over-time-plot"),
)
FIGURE = r'<figure id="{}">.*?<svg class="wide" viewBox="0 0 (\d+) (\d+)"(.*?</svg>)'


def main() -> int:
    """Write the SVG files, for streams that `make quality` has measured."""
    found = json.loads(OUT.read_text())
    PLOTS.mkdir(exist_ok=True)
    for stream, name in WANTED:
        parts = found.get(stream, {})
        if "main" not in parts:
            print(f"{stream} is not in {OUT}: run make quality first")
            return 1
        lags = [{"lag": row["what"], **row} for row in parts.get("staleness", {}).get("rows", ())]
        write(PLOTS / f"{stream}-{name.removesuffix('-plot')}.svg", name, parts["main"], lags)
    return 0


def write(file: Path, name: str, result: dict[str, object], lags: list[dict[str, object]]) -> None:
    """Write one plot of the report of a result."""
    page = render({**result, "staleness": lags})
    plot = re.search(FIGURE.format(name), page, re.DOTALL)
    if plot is None:
        print(f"the report has no {name}: {file.name} stays as it is")
        return
    width, height, rest = plot.groups()
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="-4 0 {int(width) + 8} {height}"'
    paper = f'<rect x="-4" width="{int(width) + 8}" height="{height}" fill="var(--paper)"/>'
    attributes, inside = rest.split(">", 1)
    style = f"<style>{STYLE}text {{ font-family: sans-serif }}</style>"
    file.write_text(f"{head}{attributes}>\n{style}\n{paper}\n{inside}\n")


if __name__ == "__main__":
    raise SystemExit(main())
