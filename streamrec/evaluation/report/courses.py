"""The parts of the report that run along the stream: recall and blend weights window by window."""

from collections.abc import Sequence
from typing import Any

from streamrec.evaluation.report import plots
from streamrec.evaluation.report.axes import (
    MOST_MS,
    Ticks,
    Value,
    calendar,
    count,
    day,
    finite,
    nice,
    within,
)
from streamrec.evaluation.report.axes import number as shown
from streamrec.evaluation.report.findings import (
    BLEND,
    MAIN,
    PEER,
    Findings,
    Row,
    label,
    named_rows,
    row,
    rows,
)
from streamrec.evaluation.report.page import figure, keys, section
from streamrec.evaluation.report.plots import GREY, SHADES, WIDE, Series


def recall_over_time(found: Findings) -> str:
    """Return the section with recall@20 of each source over the windows; "" if there is none."""
    windows = rows(found.result.get("windows"))
    own, others = _by_colour([key for one in windows for key in row(one.get("sources"))], found)
    series = []
    for name in own:
        values = [_scored(window, name) for window in windows]
        if any(v is not None for v in values):
            is_blend, is_peer = name == BLEND, name.startswith(PEER)
            series.append(Series(label(name), values, found.shade(name), is_blend, is_peer))
    if not series:
        return ""
    xs, by_clock, note = _times(windows)
    if any(None in s.values for s in series):
        note += " Gaps: nothing was scored."
    if any(s.dashed for s in series):
        note += " Dashed: peers."
    if others:
        note += f" Not drawn: {', '.join(label(name) for name in others)}."
    words = f"{MAIN} of each window. {note} " + " ".join(_course(s) for s in series)
    title = f"{MAIN} over time"
    plot = figure(
        "over-time-plot", title, words,
        lambda width: plots.lines(series, xs, _ticks(xs, by_clock, width), width),
        keys(series), note,
    )  # fmt: skip
    return section("over-time", title, plot)


def weights_over_time(found: Findings) -> str:
    """Return the section with the blend's weights over the windows; "" if there are none."""
    windows = rows(found.result.get("windows"))
    own, others = _by_colour([key for one in windows for key in row(one.get("weights"))], found)
    series = [
        Series(label(name), [_weight(window, [name]) for window in windows], found.shade(name))
        for name in own
    ]
    if others:
        series.append(Series("others", [_weight(window, others) for window in windows], GREY))
    series = [s for s in series if any(s.values)]
    if not series:
        return ""
    xs, by_clock, note = _times(windows)
    note = f"Share of the blend's weight. {note}"
    if series[-1].shade == GREY:
        note += f" Others: {', '.join(label(name) for name in others)}."
    title = "What the blend is made of, over time"
    plot = figure(
        "weights-plot", title, f"{note} " + " ".join(_course(s) for s in series),
        lambda width: plots.bands(series, xs, _ticks(xs, by_clock, width), width),
        keys(series), note,
    )  # fmt: skip
    return section("weights", title, plot)


def _by_colour(names: Sequence[Any], found: Findings) -> tuple[list[str], list[str]]:
    """Return the names that have a colour of their own, by colour, and the others."""
    unique = [str(name) for name in dict.fromkeys(names)]
    own = [name for name in unique if found.shade(name) < SHADES]
    return sorted(own, key=found.shade), [name for name in unique if name not in own]


def _scored(window: Row, name: str) -> Value:
    if finite(window.get("scored")) == 0:
        return None
    return finite(named_rows(window.get("sources")).get(name, {}).get(MAIN))


def _weight(window: Row, names: Sequence[str]) -> Value:
    """Return the weight of some sources together; a window without weights has None."""
    weights = row(window.get("weights"))
    known = [v for name in names if (v := finite(weights.get(name))) is not None]
    return sum(max(v, 0.0) for v in known) if known else 0.0 if weights else None


def _times(windows: Sequence[Row]) -> tuple[list[float], bool, str]:
    """Return the place of each window, whether it is a time, and what to say of the axis."""
    ts = [finite(window.get("ts")) for window in windows]
    times = [t for t in ts if t is not None and 0 <= t <= MOST_MS]
    if len(times) == len(windows) and times == sorted(times) and times[0] < times[-1]:
        return times, True, f"{day(times[0])} to {day(times[-1])}, UTC."
    ends = [v for window in windows if (v := finite(window.get("last"))) is not None]
    if len(ends) == len(windows) and ends == sorted(ends):
        return ends, False, "By number of events."
    return [float(n) for n in range(len(windows))], False, "By number of window."


def _ticks(xs: Sequence[float], by_clock: bool, width: int) -> Ticks:
    most = 7 if width > WIDE else 4
    if by_clock:
        return calendar(xs[0], xs[-1], most)
    marks = within(nice(xs[0], xs[-1], most), xs[0], xs[-1])
    return marks if marks.places else Ticks([xs[0]], [count(xs[0])])


def _course(series: Series) -> str:
    """Return a line in words: where it starts, ends, and how far it goes."""
    known = [v for v in series.values if v is not None]
    ends = f"from {shown(known[0])} to {shown(known[-1])}"
    return f"{series.name}: {ends}, lowest {shown(min(known))}, highest {shown(max(known))}."
