"""Plots of the report as inline SVG: no script, colours by CSS class, names escaped.

Each drawing takes its width and returns (svg elements, height), so that a page can hold a wide and
a narrow one and show what fits. Values are finite, or None where there is nothing to draw.
"""

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from streamrec.evaluation.report.axes import (
    Axis,
    Ticks,
    Value,
    escape,
    nice,
    number,
    px,
    signed,
    within,
)

Drawn = tuple[str, int]
Box = tuple[float, float, float, float]
WIDE = 500
"""From this width on names stand beside the marks."""
LETTER = 6.6
"""Width of a letter, px: near enough to leave room at 12 px."""
LONGEST = 24
SHADES = 8
GREY = SHADES
LEFT = 46


class Series(NamedTuple):
    """One line, band or row of bars; shade 0..7, or GREY."""

    name: str
    values: Sequence[Value]
    shade: int
    bold: bool = False
    dashed: bool = False


class Point(NamedTuple):
    """One labelled point of a scatter."""

    name: str
    x: float
    y: float
    shade: int


class Span(NamedTuple):
    """One row of a forest plot."""

    name: str
    value: float
    low: float
    high: float


def lines(
    series: Sequence[Series], xs: Sequence[float], ticks: Ticks, width: int, zero: bool = True
) -> Drawn:
    """Return lines over xs with gaps at None, named at their ends where there is room."""
    top, bottom = 12, 268
    known = [v for s in series for v in s.values if v is not None]
    marks = nice(0.0 if zero else min(known), max(known), 5)
    right = _name_room(series, width)
    x = Axis(min(xs), max(xs), LEFT + 4, width - right - 12)
    y = Axis(marks.places[0], marks.places[-1], bottom, top)
    out = _grid(x, y, ticks, marks)
    for s in reversed(series):
        style = f"line s{s.shade}" + " bold" * s.bold + " dashed" * s.dashed
        for run in runs(s.values):
            points = [f"{px(x.at(xs[n]))},{px(y.at(s.values[n] or 0.0))}" for n in run]
            if len(run) > 1:
                out.append(f'<polyline class="{style}" points="{" ".join(points)}"/>')
            if len(run) == 1 or len(xs) < 12:
                dots = (point.split(",") for point in points)
                out += [
                    f'<circle class="dot s{s.shade}" cx="{a}" cy="{b}" r="3"/>' for a, b in dots
                ]
    if right:
        last = [(s, [v for v in s.values if v is not None][-1:]) for s in series]
        ends = [(y.at(v), s) for s, found in last for v in found]
        out += _end_names(ends, x.end + 10, top, bottom)
    return "".join(out), 300


def bands(series: Sequence[Series], xs: Sequence[float], ticks: Ticks, width: int) -> Drawn:
    """Return shares (0 or more) stacked to at most 1, the first at the bottom, gaps at None."""
    top, bottom = 12, 228
    right = _name_room(series, width)
    x = Axis(min(xs), max(xs), LEFT + 4, width - right - 12)
    y = Axis(0.0, 1.0, bottom, top)
    quarters = (0.0, 0.25, 0.5, 0.75, 1.0)
    out = _grid(x, y, ticks, Ticks(quarters, ("0%", "25%", "50%", "75%", "100%")))
    heights = np.array([[v or 0.0 for v in s.values] for s in series])
    edges = np.vstack((np.zeros(len(xs)), np.cumsum(heights, axis=0)))
    edges /= np.maximum(edges[-1], 1.0)
    there = [1.0 if any(s.values[n] is not None for s in series) else None for n in range(len(xs))]
    for run in runs(there):
        at = [(x.at(xs[n]), n) for n in run]
        if len(run) == 1:
            at = [(at[0][0] - 3, run[0]), (at[0][0] + 3, run[0])]
        for k, s in enumerate(series):
            upper = [f"{px(a)},{px(y.at(edges[k + 1, n]))}" for a, n in at]
            lower = [f"{px(a)},{px(y.at(edges[k, n]))}" for a, n in reversed(at)]
            out.append(f'<polygon class="band s{s.shade}" points="{" ".join(upper + lower)}"/>')
    if right:
        n = max(n for n, found in enumerate(there) if found)
        ends = [(y.at((edges[k, n] + edges[k + 1, n]) / 2), s) for k, s in enumerate(series)]
        out += _end_names(ends, x.end + 10, top, bottom)
    return "".join(out), 260


def bars(groups: Sequence[str], series: Sequence[Series], width: int) -> Drawn:
    """Return horizontal bars from zero: for each group its name, then one bar a series."""
    known = [v for s in series for v in s.values if v is not None]
    low, high = min(0.0, *known, 0.0), max(0.0, *known, 0.0)
    x = Axis(low, high if high > low else 1.0, 62.0 if low < 0 else 1.0, width - 62.0)
    zero = x.at(0.0)
    out, at = [], 0
    for n, group in enumerate(groups):
        out.append(text(0, at + 16, group, "start", most=width // 7))
        at += 23
        first = at
        for s in series:
            v = s.values[n]
            if v is None:
                continue
            a, b = sorted((zero, x.at(v)))
            size = f'width="{px(max(b - a, 1.0))}" height="14" rx="2"'
            out.append(f'<rect class="bar s{s.shade}" x="{px(a)}" y="{at}" {size}/>')
            place, anchor = (b + 5, "start") if v >= 0 else (a - 5, "end")
            out.append(text(place, at + 11, number(v), anchor, "value"))
            at += 16
        ends = f'y1="{first - 2}" y2="{at}"'
        out.append(f'<line class="axis" x1="{px(zero)}" x2="{px(zero)}" {ends}/>')
        at += 8
    return "".join(out), at


def forest(spans: Sequence[Span], width: int) -> Drawn:
    """Return differences with their intervals about a line at zero, one row each."""
    wide = width > WIDE
    left = min(LONGEST, max(len(s.name) for s in spans)) * LETTER + 16 if wide else 8.0
    right, step = (196.0, 30) if wide else (8.0, 46)
    ends = [end for s in spans for end in (s.low, s.high)]
    low, high = min(0.0, *ends), max(0.0, *ends)
    marks = within(nice(low, high, 6 if wide else 4), low, high)
    bottom = step * len(spans) + 8
    x = Axis(low, high if high > low else low + 1.0, left + 12, width - right - 12)
    out = _grid(x, Axis(0.0, 1.0, bottom, 4), marks, Ticks((), ()))
    zero = px(x.at(0.0))
    out.append(f'<line class="axis" x1="{zero}" x2="{zero}" y1="4" y2="{bottom}"/>')
    for n, s in enumerate(spans):
        at = step * (n + 1) - 10
        words = f"{signed(s.value)} ({signed(s.low)} to {signed(s.high)})"
        if wide:
            out.append(text(left - 8, at + 4, s.name, "end"))
            out.append(text(width - right + 4, at + 4, words, "start", "value", 99))
        else:
            out.append(text(0, at - 13, f"{cut(s.name)}: {words}", "start", most=99))
        kind = "up" if s.low > 0 else "down" if s.high < 0 else "level"
        a, b, m = (px(x.at(v)) for v in (s.low, s.high, s.value))
        whisker = f'<line x1="{a}" x2="{b}" y1="{at}" y2="{at}"/>'
        out.append(f'<g class="{kind}">{whisker}<circle cx="{m}" cy="{at}" r="3.5"/></g>')
    return "".join(out), bottom + 28


def scatter(points: Sequence[Point], words: tuple[str, str], width: int) -> Drawn:
    """Return named points; a name that would cover another moves away on a leader line."""
    top, bottom = 30, 268
    across = nice(0.0, max(p.x for p in points), 5 if width > WIDE else 4)
    up = nice(min(p.y for p in points), max(p.y for p in points), 5)
    x = Axis(across.places[0], across.places[-1], LEFT + 4, width - 16)
    y = Axis(up.places[0], up.places[-1], bottom, top)
    out = _grid(x, y, across, up)
    out.append(text(0, 12, words[1], "start", "value", 99))
    out.append(text(x.end, bottom + 40, words[0], "end", "value", 99))
    at = [(x.at(p.x), y.at(p.y)) for p in points]
    taken: list[Box] = [(a - 6, b - 6, a + 6, b + 6) for a, b in at]
    room = (LEFT, top - 8, width, bottom + 4)
    for (a, b), p in zip(at, points, strict=True):
        box = _free_box(a, b, len(cut(p.name)) * LETTER, taken, room)
        taken.append(box)
        place, anchor = (box[0], "start") if box[0] > a else (box[2], "end")
        middle = (box[1] + box[3]) / 2
        if abs(middle - b) > 4:
            ends = f'x1="{px(a)}" y1="{px(b)}" x2="{px(place)}" y2="{px(middle)}"'
            out.append(f'<line class="leader" {ends}/>')
        out.append(text(place, middle + 4, p.name, anchor))
    for (a, b), p in zip(at, points, strict=True):
        out.append(f'<circle class="dot s{p.shade}" cx="{px(a)}" cy="{px(b)}" r="5"/>')
    return "".join(out), 316


def runs(values: Sequence[Value]) -> Iterator[range]:
    """Yield the ranges of neighbours that are not None."""
    first = 0
    for n in range(len(values) + 1):
        if n == len(values) or values[n] is None:
            if n > first:
                yield range(first, n)
            first = n + 1


def text(
    x: float, y: float, words: str, anchor: str, style: str = "name", most: int = LONGEST
) -> str:
    """Return a text element; long names are cut."""
    place = f'class="{style}" x="{px(x)}" y="{px(y)}" text-anchor="{anchor}"'
    return f"<text {place}>{escape(cut(words, most))}</text>"


def cut(words: str, most: int = LONGEST) -> str:
    """Return at most so many letters."""
    return words if len(words) <= most else words[: most - 1] + "\N{HORIZONTAL ELLIPSIS}"


def _grid(x: Axis, y: Axis, across: Ticks, up: Ticks) -> list[str]:
    """Return lines and words of both axes; words across that would touch are left out."""
    out = []
    for place, words in zip(up.places, up.words, strict=True):
        at = px(y.at(place))
        out.append(f'<line class="grid" x1="{LEFT}" x2="{px(x.end + 4)}" y1="{at}" y2="{at}"/>')
        out.append(text(LEFT - 6, y.at(place) + 4, words, "end", "tick"))
    edge = -math.inf
    for place, words in zip(across.places, across.words, strict=True):
        a, half = x.at(place), len(cut(words)) * LETTER / 2
        ends = f'y1="{px(y.end)}" y2="{px(y.start + 4)}"'
        out.append(f'<line class="grid" x1="{px(a)}" x2="{px(a)}" {ends}/>')
        middle = max(min(a, x.end + 12 - half), half)
        if middle - half > edge + 6:
            out.append(text(middle, y.start + 20, words, "middle", "tick"))
            edge = middle + half
    return out


def _name_room(series: Sequence[Series], width: int) -> float:
    """Return the px that names beside the ends take, 0 where there is no room for them."""
    longest = max(len(cut(s.name)) for s in series)
    return longest * LETTER + 30 if width > WIDE else 0.0


def _end_names(
    ends: Sequence[tuple[float, Series]], x: float, top: float, bottom: float
) -> list[str]:
    """Return names beside the ends of lines, pushed apart to 16 px."""
    ordered = sorted(ends, key=lambda end: end[0])
    places: list[float] = []
    for y, _ in ordered:
        places.append(max(y, places[-1] + 16) if places else max(y, top))
    limit = float(bottom)
    for n in range(len(places) - 1, -1, -1):
        places[n] = min(places[n], limit)
        limit = places[n] - 16
    out = []
    for place, (_, s) in zip(places, ordered, strict=True):
        style = f"line bold s{s.shade}" + " dashed" * s.dashed
        at = px(place)
        out.append(f'<line class="{style}" x1="{px(x)}" x2="{px(x + 14)}" y1="{at}" y2="{at}"/>')
        out.append(text(x + 18, place + 4, s.name, "start", "name bold" if s.bold else "name"))
    return out


def _free_box(x: float, y: float, length: float, taken: Sequence[Box], room: Box) -> Box:
    """Return the nearest box beside (x, y) that covers nothing; the first one if none is free."""
    boxes = []
    for n in range(21):
        shift = 14 * ((n + 1) // 2) * (-1) ** n
        middle, gap = y + shift, 9 + abs(shift) / 4
        for left in (x + gap, x - gap - length):
            boxes.append((left, middle - 7, left + length, middle + 7))
    for box in boxes:
        inside = room[0] <= box[0] and box[2] <= room[2] and room[1] <= box[1] and box[3] <= room[3]
        if inside and not any(_overlap(box, other) for other in taken):
            return box
    return boxes[0] if boxes[0][2] <= room[2] else boxes[1]


def _overlap(a: Box, b: Box) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]
