"""The report of one evaluation: from the JSON of `streamrec evaluate` to one HTML page.

Pure: the caller reads and writes the files. Any part may be missing and any metric null; what is
not there is left out. All names (file, sources) are untrusted: jinja2 escapes them in the page, and
ElementTree in the plots.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from jinja2 import Environment, PackageLoader
from markupsafe import Markup

from streamrec.evaluation.report import figures
from streamrec.evaluation.report.charts import WIDTHS, Figure, draw
from streamrec.evaluation.report.findings import Findings, Row, rows
from streamrec.evaluation.report.words import clean, cut, label, number, plain
from streamrec.evaluation.tally import BLEND, MAIN

METRICS = (
    MAIN, "recall@10", "ndcg@10", "ndcg@20", "mrr@20",
    "coverage@10", "novelty@10", "diversity@10", "popularity_bias@10",
)  # fmt: skip
LOWEST_IS_BEST = "popularity_bias@10"


class Table(NamedTuple):
    """Metrics of some lists; a cell is its text and whether it is the best of its column."""

    note: str
    head: Sequence[str]
    lines: Sequence[tuple[str, Sequence[tuple[str, bool]]]]


def render(result: Row) -> str:
    """Return one self-contained HTML page; result is the JSON of `streamrec evaluate`."""
    found = Findings(clean(result))
    environment = Environment(
        loader=PackageLoader(__package__), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    sections = [(slug, title, list(make(found))) for slug, title, make in SECTIONS]
    file = cut(plain(found.protocol.get("file")).rsplit("/", 1)[-1])
    return environment.get_template("page.html").render(
        title=f"How good the lists are: {file}" if file else "How good the lists are",
        found=found, sections=sections, widths=WIDTHS, blend=BLEND,
        draw=lambda figure, style: Markup(draw(figure, style)),
    )  # fmt: skip


def _sources(found: Findings) -> Iterator[Table]:
    note = (
        f"By {MAIN}. Bold: the best of its column, of popularity bias the lowest. Empty: not "
        "measured; peers and other blends say only where the right item is."
    )
    yield from _table(note, "list", [(label(n), found.sources[n]) for n in found.ranked])


def _staleness(found: Findings) -> Iterator[Figure | Table]:
    given = rows(found.result.get("staleness"))
    yield from figures.staleness(found)
    named = [(cut(plain(one.get("lag"))), one) for one in given]
    yield from _table("The blend by the lag of its lists.", "lag", named)


def _table(note: str, first: str, named: Sequence[tuple[str, Row]]) -> Iterator[Table]:
    """Yield the metrics that any row has, the best of each marked; nothing if there are none."""
    columns: list[list[tuple[str, bool]]] = []
    head = [first]
    for metric in METRICS:
        values = [figures.metric_of(one, metric) for _, one in named]
        known = [v for v in values if v is not None]
        if known:
            best = min(known) if metric == LOWEST_IS_BEST else max(known)
            marked = len(known) > 1
            columns.append([("" if v is None else number(v), marked and v == best) for v in values])
            head.append(metric.replace("_", " "))
    if columns:
        cells = zip(*columns, strict=True)
        yield Table(note, head, [(n, line) for (n, _), line in zip(named, cells, strict=True)])


SECTIONS: tuple[tuple[str, str, Callable[[Findings], Iterator[Figure | Table]]], ...] = (
    ("sources", "All lists", _sources),
    ("over-time", f"{MAIN} over time", figures.over_time),
    ("weights", "What the blend is made of, over time", figures.weights),
    ("slices", f"{MAIN} by kind of event", figures.slices),
    ("comparisons", "How far the blend is ahead of each", figures.comparisons),
    ("breadth", "How much of the catalogue is shown", figures.breadth),
    ("staleness", "What freshness is worth", _staleness),
    ("ablation", "What each source adds", figures.ablation),
)
