"""Plots of the report as Vega-Lite specifications, and their drawing as SVG.

Names and values stand in a plot as text; the `description` of a mark is what it says under the
pointer. Values are finite, or None where there is nothing to draw.
"""

import re
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any, NamedTuple
from xml.etree import ElementTree

import vl_convert

from streamrec.evaluation.report.words import Value, number

Spec = dict[str, Any]
Show = Callable[[float], str]
WIDTHS = {"wide": 720, "narrow": 360}
"""Every plot is drawn for a desk and for a phone, and CSS shows one of the two."""
LETTER = 6.6
"""Width of a letter, px: near enough to leave room at 12 px."""
LEFT, HEIGHT, VALUES = 40, 250, 56
CLOCK = {
    "seconds": "%H:%M:%S", "minutes": "%H:%M", "hours": "%H:%M", "day": "%-d %b", "date": "%-d %b",
    "week": "%-d %b", "month": "%b %Y", "quarter": "%b %Y", "year": "%Y",
}  # fmt: skip
CONFIG = {
    "aria": False, "font": "sans-serif", "view": {"stroke": None},
    "axis": {
        "labelColor": "var(--soft)", "gridColor": "var(--rule)", "tickColor": "var(--rule)",
        "labelFontSize": 12, "labelPadding": 6, "labelOverlap": True, "labelSeparation": 6,
        "title": None, "domain": False, "ticks": False,
    },
    "text": {"color": "var(--ink)", "fontSize": 12, "baseline": "middle", "align": "left"},
}  # fmt: skip
COLOUR = {"field": "colour", "type": "nominal", "scale": None}
WEIGHT = {"expr": "datum.bold ? 600 : 400"}
LONG = re.compile(r"\d+\.\d{3,}")
SVG = "{http://www.w3.org/2000/svg}"


class Series(NamedTuple):
    """One line or band, a value a window."""

    name: str
    values: Sequence[Value]
    colour: str
    bold: bool = False
    dashed: bool = False


class Windows(NamedTuple):
    """Where the windows of a stream have their values, epoch ms by the clock, else numbers."""

    places: Sequence[float]
    names: Sequence[str]
    by_clock: bool


class Bar(NamedTuple):
    """One row of a list: a bar from zero to its value or, with an interval, a point on a line."""

    name: str
    value: float
    colour: str
    interval: tuple[float, float] | None = None


class Figure(NamedTuple):
    """A plot for any width, and what it says to one who cannot see it."""

    slug: str
    title: str
    note: str
    words: str
    plot: Callable[[int], Spec]


def lines(series: Sequence[Series], windows: Windows, width: int) -> Spec:
    """Return lines from zero, with gaps at None."""
    top = max(v for s in series for v in s.values if v is not None) or 1.0
    few = len(windows.places) < 12 or any(None in s.values for s in series)
    scale, axis = {"domain": [0, top], "nice": True}, {"tickCount": 6}
    y = {"field": "y", "type": "quantitative", "scale": scale, "axis": axis}
    mark = {
        "type": "line", "point": {"size": 20, "opacity": 1} if few else False,
        "strokeWidth": {"expr": "datum.thick"}, "strokeDash": {"expr": "datum.dash"},
    }  # fmt: skip
    return _stream({"mark": mark, "encoding": {"y": y}}, series, _last(series), top, windows, width)


def bands(series: Sequence[Series], windows: Windows, width: int) -> Spec:
    """Return shares stacked to 1, the first at the bottom."""
    last = _last(series)
    whole = sum(last) or 1.0
    middles = [(sum(last[:n]) + one / 2) / whole for n, one in enumerate(last)]
    y = {"field": "y", "type": "quantitative", "stack": "normalize", "axis": {"format": "%"}}
    mark = {"type": "area", "stroke": "var(--paper)", "strokeWidth": 0.5}
    layer = {"mark": mark, "encoding": {"y": y, "order": {"field": "n"}}}
    return _stream(layer, series, middles, 1.0, windows, width)


def bars(rows: Sequence[Bar | str], show: Show, width: int) -> Spec:
    """Return bars with their names on the left and values on the right, under headings."""
    longest = max(len(row.name) for row in rows if isinstance(row, Bar))
    left = min(width * 0.42, longest * LETTER + 14)
    marks: list[Spec] = []
    words, y = [], 0
    for row in rows:
        if isinstance(row, str):
            words.append({"y": y + 18, "x": 0, "text": row, "limit": width, "bold": True})
            y += 30
            continue
        low, high = row.interval or sorted((0.0, row.value))
        thick, size = (2, 70) if row.interval else (13, 0)
        marks.append({
            "y": y + 11, "low": low, "high": high, "value": row.value, "colour": row.colour,
            "thick": thick, "size": size, "said": said(row, show),
        })  # fmt: skip
        words.append({"y": y + 11, "x": 0, "text": row.name, "limit": left - 10})
        words.append({"y": y + 11, "x": width - VALUES, "text": show(row.value), "limit": VALUES})
        y += 22
    low, high = min(0.0, *(m["low"] for m in marks)), max(0.0, *(m["high"] for m in marks))
    scale = {"domain": [low, high if high > low else 1.0], "range": [left, width - VALUES - 16]}
    axis = {"tickCount": 5 if width > 500 else 3, "labelFlush": False}
    x = {"type": "quantitative", "axis": axis, "scale": {**scale, "nice": True}}
    px = {"type": "quantitative", "scale": None, "axis": None}
    shared = {"y": {"field": "y", **px}, "color": COLOUR, "description": {"field": "said"}}
    layers: list[Spec] = [
        {"mark": {"type": "rule", "strokeWidth": {"expr": "datum.thick"}},
         "encoding": {"x": {"field": "low", **x}, "x2": {"field": "high"}, **shared}},
        {"mark": {"type": "point", "filled": True, "opacity": 1, "size": {"expr": "datum.size"}},
         "encoding": {"x": {"field": "value", **x}, **shared}},
        {"mark": {"type": "rule", "color": "var(--soft)"}, "encoding": {"x": {"datum": 0, **x}}},
        {"mark": {"type": "text", "limit": {"expr": "datum.limit"}, "fontWeight": WEIGHT},
         "data": {"values": words},
         "encoding": {"x": {"field": "x", **px}, "y": shared["y"], "text": {"field": "text"}}},
    ]  # fmt: skip
    return _view(layers, marks, width, y, {"left": 0, "right": 0, "top": 0, "bottom": 24})


def said(bar: Bar, show: Show) -> str:
    """Return a bar in words."""
    ends = f", from {show(bar.interval[0])} to {show(bar.interval[1])}" if bar.interval else ""
    return f"{bar.name}: {show(bar.value)}{ends}"


def draw(figure: Figure, style: str) -> str:
    """Return a figure as an SVG element, in one of the WIDTHS."""
    root = ElementTree.fromstring(vl_convert.vegalite_to_svg(figure.plot(WIDTHS[style])))
    for one in root.iter():
        one.tag = one.tag.removeprefix(SVG)
        for child in [child for child in one if child.get("class") in ("background", "foreground")]:
            one.remove(child)
        for name in {"d", "transform"}.intersection(one.attrib):
            one.set(name, LONG.sub(lambda found: f"{float(found[0]):.2f}", one.attrib[name]))
        words = one.get("aria-label")
        for name in [n for n in one.attrib if n.startswith("aria-") or n in ("role", "class")]:
            del one.attrib[name]
        if words:
            ElementTree.SubElement(one, "title").text = words
    desc = ElementTree.Element("desc", id=f"{figure.slug}-{style}")
    desc.text = figure.words
    root.insert(0, desc)
    root.attrib = {
        "viewBox": root.attrib["viewBox"], "class": style, "role": "img",
        "aria-label": figure.title, "aria-describedby": desc.attrib["id"],
    }  # fmt: skip
    return ElementTree.tostring(root, "unicode")


def _stream(
    layer: Spec, series: Sequence[Series], ends: Sequence[float], top: float, windows: Windows,
    width: int,
) -> Spec:  # fmt: skip
    """Return marks along the windows, names beside their ends, and all values of a window."""
    room = min(170.0, max(len(s.name) for s in series) * LETTER + 14)
    plot, first, last = width - LEFT - room, windows.places[0], windows.places[-1]
    edges = [first, *((a + b) / 2 for a, b in pairwise(windows.places)), max(last, first + 1)]
    times = 2 if len(windows.places) == 1 else 1  # a flat line from edge to edge
    places = edges if times == 2 else windows.places
    marks = [
        {"x": x, "y": v, "n": n, "colour": s.colour,
         "thick": 3.5 if s.bold else 1.5, "dash": [5, 3] if s.dashed else [1, 0]}
        for n, s in enumerate(series)
        for x, v in zip(places, [*s.values] * times, strict=True)
    ]  # fmt: skip
    names = [
        {"y": y, "text": s.name, "colour": s.colour, "bold": s.bold}
        for s, y in zip(series, _spread(ends, 15 * top / HEIGHT, top), strict=True)
    ]
    x: Spec = {"field": "x", "type": "quantitative", "scale": {"nice": False, "zero": False}}
    x["axis"] = {"grid": False, "ticks": True, "tickCount": 7 if width > 500 else 3}
    if windows.by_clock:
        x |= {"type": "temporal", "scale": {"type": "utc", "nice": False}}
        x["axis"]["format"] = CLOCK
    layer["encoding"] |= {"x": x, "color": COLOUR, "detail": {"field": "n"}}
    y = {"field": "y", "type": "quantitative"}
    layers: list[Spec] = [
        layer,
        {"data": {"values": names}, "mark": {"type": "text", "limit": room, "fontWeight": WEIGHT},
         "encoding": {"x": {"value": plot + 8}, "y": y, "text": {"field": "text"},
                      "color": COLOUR}},
        {"data": {"values": _hits(series, windows, edges)},
         "mark": {"type": "rect", "color": "transparent"},
         "encoding": {"x": x, "x2": {"field": "x2"}, "y": {"value": 0}, "y2": {"value": HEIGHT},
                      "description": {"field": "said"}}},
    ]  # fmt: skip
    padding = {"left": LEFT, "right": room, "top": 8, "bottom": 26}
    return _view(layers, marks, plot, HEIGHT, padding)


def _hits(series: Sequence[Series], windows: Windows, edges: Sequence[float]) -> list[Spec]:
    """Return what each window says under the pointer, the highest value first."""
    hits = []
    for n, (name, (start, end)) in enumerate(zip(windows.names, pairwise(edges), strict=True)):
        known = [(v, s.name) for s in series if (v := s.values[n]) is not None]
        words = [name, *(f"{one} {number(v)}" for v, one in sorted(known, reverse=True))]
        hits.append({"x": start, "x2": end, "said": "\n".join(words)})
    return hits


def _view(
    layers: Sequence[Spec], marks: Sequence[Spec], width: float, height: float, padding: Spec
) -> Spec:
    return {
        "$schema": "https://vega.github.io/schema/vega-lite/v6.json",
        "width": width, "height": height, "autosize": "none", "padding": padding,
        "background": None, "config": CONFIG, "data": {"values": marks}, "layer": layers,
    }  # fmt: skip


def _last(series: Sequence[Series]) -> list[float]:
    return [[v for v in s.values if v is not None][-1] for s in series]


def _spread(places: Sequence[float], gap: float, top: float) -> list[float]:
    """Return places pushed apart to a gap, none above the top."""
    out = list(places)
    order = sorted(range(len(out)), key=out.__getitem__)
    for n, m in pairwise(order):
        out[m] = max(out[m], out[n] + gap)
    for n in reversed(order):
        out[n] = min(out[n], top)
        top = out[n] - gap
    return out
