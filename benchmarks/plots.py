"""Plots of docs/evaluation.md from build/quality.json: those of the report, as SVG files."""

import json
from pathlib import Path

from benchmarks.quality import OUT, ROOT
from streamrec.evaluation.report import figures
from streamrec.evaluation.report.charts import draw
from streamrec.evaluation.report.findings import Findings

PLOTS = ROOT / "docs" / "plots"
STYLE = ROOT / "streamrec" / "evaluation" / "report" / "templates" / "style.css"
WANTED = (
    ("globo", "over-time", figures.over_time),
    ("globo", "weights", figures.weights),
    ("globo", "staleness", figures.staleness),
    ("ml-1m", "over-time", figures.over_time),
    ("ml-1m", "weights", figures.weights),
    ("completejourney", "over-time", figures.over_time),
)


def main() -> int:
    """Write the SVG files, for streams that `make quality` has measured."""
    found = json.loads(OUT.read_text())
    PLOTS.mkdir(exist_ok=True)
    for stream, name, make in WANTED:
        parts = found.get(stream, {})
        if "main" not in parts:
            print(f"{stream} is not in {OUT}: run make quality first")
            return 1
        lags = [{"lag": row["what"], **row} for row in parts.get("staleness", {}).get("rows", ())]
        figure = next(make(Findings({**parts["main"], "staleness": lags})), None)
        if figure is None:
            print(f"there is no {name} of {stream}: its file stays as it is")
            continue
        write(PLOTS / f"{stream}-{name}.svg", draw(figure, "wide"))
    return 0


def write(file: Path, plot: str) -> None:
    """Write a plot with the colours of the report, light and dark."""
    head, _, inside = plot.partition(">")
    colours = STYLE.read_text().partition("* {")[0]
    file.write_text(
        f'{head} xmlns="http://www.w3.org/2000/svg">\n<style>\n{colours}</style>\n'
        f'<rect width="100%" height="100%" fill="var(--paper)"/>\n{inside}\n'
    )


if __name__ == "__main__":
    raise SystemExit(main())
