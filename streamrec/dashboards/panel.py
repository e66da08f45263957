"""What a panel is: plain values, which `grafana` turns into Grafana's JSON."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal, NamedTuple

GREEN, ORANGE, RED, BLUE = "green", "orange", "red", "blue"
Kind = Literal["stat", "timeseries", "stack", "heatmap", "bars", "table"]
Steps = tuple[tuple[float | None, str], ...]
"""From which value on which colour; the first has no value."""

NEUTRAL: Steps = ((None, BLUE),)


class Panel(NamedTuple):
    """One picture; `says` tells what is good and what to do where it is not."""

    title: str  # of some 26 letters on a third of the width: a browser of 800 pixels shows it
    says: str
    unit: str  # of Grafana's list, which prints an unknown one as it is
    queries: dict[str, str]
    """Expressions, by what their series are called: `{{label}}` is filled in. A table: columns."""
    steps: Steps = NEUTRAL
    kind: Kind = "timeseries"
    width: int = 8
    height: int = 8
    line: bool = False  # draw the last step as a line
    thick: str = ""  # the series that stands out
    decimals: int | None = None
    sort: str = ""  # by which column a table is: largest first, a label from A on
    units: Mapping[str, str] = MappingProxyType({})  # of a table's columns, where they have another


class Row(NamedTuple):
    """Panels under one heading."""

    title: str
    panels: tuple[Panel, ...]
    width: int = 0  # of each of them; 0: their own


class Board(NamedTuple):
    """One dashboard; with `windows` the reader chooses over what time rates are taken."""

    uid: str
    title: str
    says: str
    rows: tuple[Row, ...]
    windows: tuple[str, ...] = ()


def above(orange: float, red: float) -> Steps:
    """Return steps for a value that should be low."""
    return ((None, GREEN), (orange, ORANGE), (red, RED))


def below(red: float, orange: float) -> Steps:
    """Return steps for a value that should be high: red below the first, orange below the other."""
    return ((None, RED), (red, ORANGE), (orange, GREEN))


def must_be_zero() -> Steps:
    """Return steps for a count of what must not be."""
    return ((None, GREEN), (1, RED))


def stat(
    title: str,
    says: str,
    unit: str,
    expression: str,
    steps: Steps = NEUTRAL,
    decimals: int | None = None,
    width: int = 8,
) -> Panel:
    """Return one number."""
    return Panel(title, says, unit, {"": expression}, steps, "stat", width, 4, decimals=decimals)
