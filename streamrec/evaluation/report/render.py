"""The report of one evaluation: from the JSON of `streamrec evaluate` to one HTML page.

Pure: the caller reads and writes the files. Any part may be missing and any metric null; what is
not there is left out. All names (file, sources) are untrusted; they are escaped where they are put
into the page.
"""

from collections.abc import Sequence
from functools import partial

from streamrec.evaluation.report import plots
from streamrec.evaluation.report.axes import Ticks, Value, count, escape, finite, number, signed
from streamrec.evaluation.report.courses import recall_over_time, weights_over_time
from streamrec.evaluation.report.findings import (
    BLEND,
    MAIN,
    PEER,
    Findings,
    Row,
    label,
    named_rows,
    plain,
    row,
    rows,
)
from streamrec.evaluation.report.page import figure, keys, page, section, table, terms
from streamrec.evaluation.report.plots import Point, Series

METRICS = (
    MAIN, "recall@10", "precision@10", "ndcg@10", "ndcg@20", "mrr@20",
    "coverage@10", "novelty@10", "diversity@10", "popularity_bias@10",
)  # fmt: skip
LOWEST_IS_BEST = "popularity_bias@10"
SLICES = {
    "new_user": "new users",
    "new_item": "new items",
    "history_1": "users with 1 event before",
    "history_2_4": "users with 2 to 4 events before",
    "history_5_plus": "users with 5 or more events before",
}


def render(result: Row) -> str:
    """Return one self-contained HTML page; result is the JSON of `streamrec evaluate`."""
    found = Findings(result)
    file = plain(found.protocol.get("file")).rsplit("/", 1)[-1]
    title = f"How good the lists are: {file}" if file else "How good the lists are"
    parts = [f"<h1>{escape(title)}</h1>\n"]
    if found.headline():
        parts.append(f'<p class="lead">{escape(found.headline())}</p>\n')
    if found.tiles():
        parts.append(terms(found.tiles(), "tiles"))
    sections = (
        _sources, recall_over_time, weights_over_time, _slices, _comparisons, _breadth, _staleness,
        _ablation, _protocol,
    )  # fmt: skip
    return page(title, "".join([*parts, *(make(found) for make in sections)]))


def _sources(found: Findings) -> str:
    named = [(name, found.sources[name]) for name in found.ranked]
    columns, cells = _metric_cells([one for _, one in named])
    if not columns:
        return ""
    lines = []
    for (name, _), line in zip(named, cells, strict=True):
        tag = ' <span class="tag">peer</span>' if name.startswith(PEER) else ""
        head = f'<th scope="row">{escape(name.removeprefix(PEER))}{tag}</th>'
        lines.append((' class="blend"' if name == BLEND else "", [head, *line]))
    note = f"By {MAIN}. Bold: the best of its column"
    note += f", of {LOWEST_IS_BEST} the lowest." if LOWEST_IS_BEST in columns else "."
    return section("sources", "All sources", table(note, ["source", *columns], lines))


def _metric_cells(given: Sequence[Row]) -> tuple[list[str], list[list[str]]]:
    """Return the metrics that any row has, and the cells of each row, the best of each marked."""
    columns: list[str] = []
    cells: list[list[str]] = [[] for _ in given]
    for metric in METRICS:
        values = [_figure_of(one, metric) for one in given]
        known = [v for v in values if v is not None]
        if not known:
            continue
        columns.append(metric)
        best = min(known) if metric == LOWEST_IS_BEST else max(known)
        for line, value in zip(cells, values, strict=True):
            mark = ' class="best"' if value == best and len(known) > 1 else ""
            line.append(f"<td{mark}>{'' if value is None else number(value)}</td>")
    return columns, cells


def _figure_of(one: Row, metric: str) -> Value:
    """Return a metric; what lists are like says nothing where none was made (no coverage)."""
    about_lists = metric in ("novelty@10", "diversity@10", LOWEST_IS_BEST)
    return None if about_lists and finite(one.get("coverage@10")) == 0 else finite(one.get(metric))


def _slices(found: Findings) -> str:
    slices = named_rows(found.result.get("slices"))
    names = [BLEND, found.single, found.popularity]
    chosen = [name for n, name in enumerate(names) if name and name not in names[:n]]
    values = {
        key: [finite(named_rows(one.get("sources")).get(name, {}).get(MAIN)) for name in chosen]
        for key, one in slices.items()
    }
    there = [key for key in slices if any(v is not None for v in values[key])]
    if not there:
        return ""
    groups = []
    for key in there:
        scored = finite(slices[key].get("scored"))
        size = f" ({count(scored)} scored)" if scored is not None else ""
        groups.append(SLICES.get(key, key.replace("_", " ")) + size)
    series = [
        Series(label(name), [values[key][n] for key in there], found.shade(name))
        for n, name in enumerate(chosen)
        if any(values[key][n] is not None for key in there)
    ]
    title = f"{MAIN} by kind of event"
    draw = partial(plots.bars, groups, series)
    plot = figure("slices-plot", title, _bars_words(groups, series), draw, keys(series, True))
    return section("slices", title, plot)


def _bars_words(groups: Sequence[str], series: Sequence[Series]) -> str:
    out = []
    for n, group in enumerate(groups):
        known = [(s.name, v) for s in series if (v := s.values[n]) is not None]
        out.append(f"{group}: " + ", ".join(f"{name} {number(v)}" for name, v in known) + ".")
    return " ".join(out)


def _comparisons(found: Findings) -> str:
    compared = found.comparisons()
    if not compared:
        return ""
    metrics = sorted({metric for _, _, metric, _ in compared})
    spans = []
    for a, b, metric, span in compared:
        name = label(b) if a == BLEND else f"{label(a)} over {label(b)}"
        spans.append(span._replace(name=f"{name}, {metric}" if len(metrics) > 1 else name))
    title = "How far the blend is ahead of each"
    note = (
        f"Difference in {' and '.join(metrics)} with its {found.interval_words}. "
        "Where the line crosses zero it may be chance."
    )
    words = " ".join(
        f"{s.name}: {signed(s.value)}, from {signed(s.low)} to {signed(s.high)}." for s in spans
    )
    draw = partial(plots.forest, spans)
    plot = figure("comparisons-plot", title, words, draw, "", note)
    return section("comparisons", title, plot)


def _breadth(found: Findings) -> str:
    drawn = []
    for slug, metric in (("novelty", "novelty@10"), ("bias", "popularity_bias@10")):
        points = [
            Point(label(name), x, y, found.shade(name))
            for name in found.ranked
            if (x := finite(found.sources[name].get("coverage@10"))) is not None
            and (y := _figure_of(found.sources[name], metric)) is not None
        ]
        if len(points) > 1:
            title = f"coverage@10 against {metric}"
            words = f"{title}: " + "; ".join(
                f"{p.name} {number(p.x)} and {number(p.y)}" for p in points
            )
            draw = partial(plots.scatter, points, ("coverage@10", metric))
            drawn.append(figure(f"{slug}-plot", title, words, draw))
    return section("breadth", "How much of the catalogue is shown", *drawn) if drawn else ""


def _staleness(found: Findings) -> str:
    given = rows(found.result.get("staleness"))
    columns, cells = _metric_cells(given)
    if not columns:
        return ""
    lags = [plain(one.get("lag")) for one in given]
    parts = []
    values: list[Value] = [finite(one.get(MAIN)) for one in given]
    if sum(v is not None for v in values) > 1:
        places = [float(n) for n in range(len(lags))]
        series = [Series(MAIN, values, 0, bold=True)]
        words = _bars_words(lags, series)
        note = f"{MAIN} by how far the lists lag behind the stream. The axis need not start at 0."
        parts.append(
            figure(
                "staleness-plot",
                f"{MAIN} of older lists",
                words,
                lambda width: plots.lines(series, places, Ticks(places, lags), width, zero=False),
                note=note,
            )  # fmt: skip
        )
    heads = [f'<th scope="row">{escape(lag)}</th>' for lag in lags]
    lines = [("", [head, *line]) for head, line in zip(heads, cells, strict=True)]
    parts.append(table("The blend by the lag of its lists", ["lag", *columns], lines))
    return section("staleness", "What freshness is worth", *parts)


def _ablation(found: Findings) -> str:
    whole = found.main(BLEND)
    left = [
        (name, value)
        for one in rows(found.result.get("ablation"))
        if (name := plain(one.get("without"))) and (value := finite(one.get(MAIN))) is not None
    ]
    if not left or whole is None:
        return ""
    left.sort(key=lambda one: one[1])
    groups = [f"without {label(name)}: {number(value)}" for name, value in left]
    series = [Series("lost", [whole - value for _, value in left], 0)]
    note = (
        f"{MAIN} that the blend ({number(whole)}) loses when it is run without one source. "
        "Below zero: it is better without."
    )
    draw = partial(plots.bars, groups, series)
    title = "What each source adds"
    plot = figure("ablation-plot", title, _bars_words(groups, series), draw, "", note)
    return section("ablation", title, plot)


def _protocol(found: Findings) -> str:
    if not row(found.protocol):
        return ""
    sentences = "".join(f"<p>{escape(one)}</p>" for one in found.method())
    return section("protocol", "How it was measured", sentences, terms(found.settings(), "terms"))
