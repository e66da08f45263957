"""What the ranking kernels see: the catalogue, what sources say of one user, the rules."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from streamrec.settings.sections import Settings
from streamrec.sources.source import Source, having
from streamrec.state.item_table import ItemTable

Array = NDArray[Any]
SAME, FEW, ALL = range(3)
"""How a source says something: the same to everybody, of few items, of all items."""


class Catalogue(NamedTuple):
    """What is the same for all users until the table changes."""

    orders: Array  # int32[3, most]: by falling popularity, available ones only, -1 padded
    heats: Array  # float64[items, 3], log2 of popularity
    log2_totals: Array  # float64[3]
    servable: Array  # bool[items]
    servable_count: int
    rows: Array  # int32[items]: all of them
    born: Array  # int64[items], ms
    now: int  # newest event time, ms
    repeats: tuple[Array, Array, Array]  # of items, as of sources.repeats.rows_of


class Prepared(NamedTuple):
    """What a source may look at when the table has changed."""

    table: ItemTable
    heats: Array  # float64[items, 3]
    log2_totals: Array  # float64[3]
    servable: Array  # bool[items]
    changed: Array  # int64[...]: rows whose popularity, metadata or availability did, since last


class Roster(NamedTuple):
    """The sources as the kernels know them, M in all."""

    active: Array  # bool[M]
    style: Array  # int64[M]: SAME, FEW or ALL
    place: Array  # int64[M]: its number among those of its style; of SAME its half-life
    shares: Array  # bool[M]: the log of its share enters the blend, not the score itself


class Filtered(NamedTuple):
    """Whether a list has filters; which rows are worth a look by them; pins."""

    on: bool
    picked: bool  # few pass (passing.Passing), and these are the rows
    rows: Array  # int32[...], rising
    pinned: Array  # int32[...]: candidates, if they may be at all


NO_ROWS = np.zeros(0, np.int32)


class Scratch(NamedTuple):
    """What the sources say of one user; dense work arrays, all zero between users."""

    scores: Array  # float64[FEW sources, items]
    touched: Array  # int32[FEW sources, ...] rows that have a score
    found: Array  # int64[FEW sources]: how many
    totals: Array  # float64[FEW sources]: what scores are divided by
    rest: Array  # float64[FEW sources]: said of all others, times their share of popularity
    marks: Array  # uint8[items]: bit 0 excluded or seen, bit 1 candidate
    where: Array  # int32[items]: a candidate's number; old numbers stay


def style_of(source: Source) -> int:
    """Return how a source says something: by the method that it has."""
    if source.half_life >= 0:
        return SAME
    for style, method in ((FEW, "score"), (ALL, "score_all")):
        if having(method, [source]):
            return style
    raise TypeError(f"source {source.name} has neither score nor score_all")


def roster_of(
    settings: Settings, sources: Sequence[Source], weights: NDArray[np.float32]
) -> Roster:
    """Return the roster; fixed blends ask only sources of weight, and who reorders."""
    active = np.array([s.active() for s in sources], np.bool_)
    if settings.blend.kind != "learned":
        finer = settings.blend.reorder if settings.blend.kind == "cascade" else ""
        active &= (weights != 0.0) | [s.name == finer for s in sources]
    active[[s.name in settings.blend.off for s in sources]] = False
    styles = [style_of(s) for s in sources]
    place = [styles[:m].count(style) for m, style in enumerate(styles)]
    place = [s.half_life if s.half_life >= 0 else n for s, n in zip(sources, place, strict=True)]
    shares = np.array([s.in_blend == "share" for s in sources], np.bool_)
    return Roster(active, np.array(styles), np.array(place), shares)


def new_scratch(few: int, items: int) -> Scratch:
    """Return work arrays for so many sources that speak of few items, and so many items."""
    return Scratch(
        np.zeros((few, items)),
        np.zeros((few, items + 1), np.int32),
        np.zeros(few, np.int64),
        np.zeros(few),
        np.zeros(few),
        np.zeros(items, np.uint8),
        np.zeros(items, np.int32),
    )
