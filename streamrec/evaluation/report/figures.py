"""The plots of the report: what each draws of the findings, and its words."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial

import numpy as np

from streamrec.evaluation.report import charts
from streamrec.evaluation.report.charts import Bar, Figure, Series, Windows
from streamrec.evaluation.report.findings import Findings, Row, named_rows, row, rows
from streamrec.evaluation.report.words import PEER, Value, finite, label, number, plain, signed
from streamrec.evaluation.tally import BLEND, MAIN

LINES = 6
"""More lines are hard to tell apart."""
LATEST_MS = 253_402_300_799_999
"""The last millisecond of the year 9999."""
OF_LISTS = ("coverage@10", "novelty@10", "popularity_bias@10")
SLICES = {
    "new_user": "new users",
    "new_item": "new items",
    "history_1": "users with 1 event before",
    "history_2_4": "users with 2 to 4 events before",
    "history_5_plus": "users with 5 or more events before",
}


def over_time(found: Findings) -> Iterator[Figure]:
    """Yield recall@20 of the best lists, window by window."""
    given = rows(found.result.get("windows"))
    each = {name: [_scored(window, name) for window in given] for name in found.order}
    drawn = [name for name, values in each.items() if any(v is not None for v in values)]
    series = [
        Series(label(name), each[name], found.colour(name), name == BLEND, name.startswith(PEER))
        for name in drawn[:LINES]
    ]
    note = "Dashed: peers." if any(one.dashed for one in series) else ""
    if any(None in one.values for one in series):
        note += " Gaps: nothing was scored."
    if drawn[LINES:]:
        note += f" Not drawn: {', '.join(map(label, drawn[LINES:]))}."
    yield from _stream("over-time-plot", f"{MAIN} over time", note, given, series, charts.lines)


def weights(found: Findings) -> Iterator[Figure]:
    """Yield what the blend is made of, window by window; windows without weights are left out."""
    given = [one for one in rows(found.result.get("windows")) if row(one.get("weights"))]
    names = dict.fromkeys([*found.order, *(name for one in given for name in one["weights"])])
    each = {
        name: [max(finite(one["weights"].get(name)) or 0.0, 0.0) for one in given]
        for name in names
        if name not in found.off
    }
    series = [
        Series(label(name), values, found.colour(name))
        for name, values in each.items()
        if any(values)
    ]
    title = "What the blend is made of, over time"
    note = "Shares of the blend's weight."
    yield from _stream("weights-plot", title, note, given, series, charts.bands)


def slices(found: Findings) -> Iterator[Figure]:
    """Yield recall@20 by kind of event, of the blend, the best source and popularity."""
    drawn: list[Bar | str] = []
    for key, one in named_rows(found.result.get("slices")).items():
        named, scored = named_rows(one.get("sources")), finite(one.get("scored"))
        group = [
            Bar(label(name), value, found.colour(name))
            for name in dict.fromkeys((BLEND, found.single, found.popularity))
            if (value := finite(named.get(name, {}).get(MAIN))) is not None
        ]
        size = "" if scored is None else f" ({scored:,.0f} scored)"
        drawn += [SLICES.get(key, label(key)) + size, *group] if group else []
    yield from _bars("slices-plot", f"{MAIN} by kind of event", "", drawn)


def comparisons(found: Findings) -> Iterator[Figure]:
    """Yield how far the blend is ahead of each other list, with intervals."""
    drawn = []
    for other, value, low, high in found.spans:
        colour = "up" if low > 0 else "down" if high < 0 else "soft"
        drawn.append(Bar(label(other), value, f"var(--{colour})", (low, high)))
    note = f"Difference in {MAIN} with its 95% interval. Grey: it may be chance."
    yield from _bars("comparisons-plot", "How far the blend is ahead", note, drawn, signed)


def breadth(found: Findings) -> Iterator[Figure]:
    """Yield what the lists are like: how much of the catalogue, how far from the popular."""
    for metric in OF_LISTS:
        drawn = [
            Bar(label(name), value, found.colour(name))
            for name in found.ranked
            if (value := metric_of(found.sources[name], metric)) is not None
        ]
        title = metric.replace("_", " ")
        yield from _bars(f"{metric.split('@')[0]}-plot", title, title, drawn)


def staleness(found: Findings) -> Iterator[Figure]:
    """Yield recall@20 of the blend by the lag of its lists."""
    given = rows(found.result.get("staleness"))
    known = [(label(plain(one.get("lag"))), finite(one.get(MAIN))) for one in given]
    drawn = [Bar(lag, value, "var(--s0)") for lag, value in known if value is not None]
    note = f"{MAIN} by how far the lists lag behind the stream."
    yield from _bars("staleness-plot", f"{MAIN} of older lists", note, drawn)


def ablation(found: Findings) -> Iterator[Figure]:
    """Yield what the blend loses without each of its sources, the most first."""
    whole, drawn = found.main(BLEND), []
    for one in rows(found.result.get("ablation")):
        name, value = plain(one.get("without")), finite(one.get(MAIN))
        if name and value is not None and whole is not None:
            drawn.append(Bar(f"without {label(name)}", whole - value, "var(--s0)"))
    drawn.sort(key=lambda bar: -bar.value)
    note = (
        f"{MAIN} that the blend ({number(whole or 0.0)}) loses when it is run without one source. "
        "Below zero: it is better without."
    )
    yield from _bars("ablation-plot", "What each source adds", note, drawn)


def metric_of(one: Row, metric: str) -> Value:
    """Return a metric of a source; what lists are like says nothing where none was made."""
    about_lists = metric in ("novelty@10", "diversity@10", "popularity_bias@10")
    return None if about_lists and finite(one.get("coverage@10")) == 0 else finite(one.get(metric))


def _bars(
    slug: str, title: str, note: str, drawn: Sequence[Bar | str], show: charts.Show = number
) -> Iterator[Figure]:
    said = [f"{one}:" if isinstance(one, str) else f"{charts.said(one, show)}." for one in drawn]
    if said:
        yield Figure(slug, title, note, " ".join(said), partial(charts.bars, drawn, show))


def _stream(
    slug: str, title: str, note: str, given: Sequence[Row], series: Sequence[Series],
    plot: Callable[[Sequence[Series], Windows, int], charts.Spec],
) -> Iterator[Figure]:  # fmt: skip
    """Yield lines or bands along the windows, and in words where each starts and ends."""
    if not series:
        return
    windows, along = _windows(given)
    words = [along, note]
    for one in series:
        known = [v for v in one.values if v is not None]
        ends = f"from {number(known[0])} to {number(known[-1])}"
        lowest, highest = number(min(known)), number(max(known))
        words.append(f"{one.name}: {ends}, lowest {lowest}, highest {highest}.")
    yield Figure(slug, title, f"{along} {note}", " ".join(words), partial(plot, series, windows))


def _scored(window: Row, name: str) -> Value:
    if finite(window.get("scored")) == 0:
        return None
    return finite(named_rows(window.get("sources")).get(name, {}).get(MAIN))


def _windows(given: Sequence[Row]) -> tuple[Windows, str]:
    """Return where the windows lie, in time or else one after the other, and that in words."""
    ts = [finite(window.get("ts")) for window in given]
    times = [t for t in ts if t is not None and 0 <= t <= LATEST_MS]
    if len(times) < len(given) or times != sorted(times) or times[0] == times[-1]:
        numbers = range(1, len(given) + 1)
        return Windows(numbers, [f"window {n}" for n in numbers], False), "By number of window."
    names = [str(np.datetime64(int(t), "ms"))[:16].replace("T", " ") for t in times]
    (day, hour), (last_day, last_hour) = names[0].split(), names[-1].split()
    along = f"{day} {hour} to {last_hour}" if day == last_day else f"{day} to {last_day}"
    along = day if names[0] == names[-1] else along
    return Windows(times, names, True), f"{along}, UTC."
