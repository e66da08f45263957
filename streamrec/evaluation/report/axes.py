"""Scales, marks and words of the report's plots: numbers to places, numbers to text."""

import html
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

Value = float | None
MINUS = "\N{MINUS SIGN}"
MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
MINUTE_MS, HOUR_MS, DAY_MS = 60_000, 3_600_000, 86_400_000
STEPS_MS = tuple(
    [n * MINUTE_MS for n in (1, 5, 15, 30)]
    + [n * HOUR_MS for n in (1, 3, 6, 12)]
    + [n * DAY_MS for n in (1, 2, 7, 14)]
)
STEPS_MONTHS = (1, 2, 3, 6, 12, 24, 60, 120, 600, 1200)
MOST_MS = 253_402_300_799_999
"""The last millisecond of the year 9999."""
HUGE = 1e15
"""No metric, count or time is as large; what is cannot be drawn."""


class Ticks(NamedTuple):
    """Where an axis has marks, and what they say."""

    places: Sequence[float]
    words: Sequence[str]


class Axis(NamedTuple):
    """A linear scale from low..high to start..end px."""

    low: float
    high: float
    start: float
    end: float

    def at(self, value: float) -> float:
        """Return the place of a value, px."""
        if self.high <= self.low:
            return (self.start + self.end) / 2
        share = (value - self.low) / (self.high - self.low)
        return self.start + share * (self.end - self.start)


def finite(value: Any) -> Value:
    """Return a JSON value as a number, or None for anything that is not a usable one."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not -HUGE < value < HUGE:
        return None
    return float(value)


def nice(low: float, high: float, most: int) -> Ticks:
    """Return about `most` marks at round numbers, the first and the last enclosing low..high."""
    if high - low <= 1e-9 * max(abs(low), abs(high), 1e-3):
        high = low + (abs(low) or 1.0)
    rough = (high - low) / most
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(m * power for m in (1, 2, 2.5, 5, 10) if m * power >= rough * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    digits = max(0, -math.floor(math.log10(step) + 1e-9))
    digits += abs(step * 10**digits - round(step * 10**digits)) > 1e-6
    places = [k * step for k in range(first, last + 1)]
    return Ticks(places, [_minus(f"{place:,.{digits}f}") for place in places])


def within(marks: Ticks, low: float, high: float) -> Ticks:
    """Return the marks that lie in low..high."""
    pairs = zip(marks.places, marks.words, strict=True)
    there = [(place, words) for place, words in pairs if low <= place <= high]
    return Ticks([place for place, _ in there], [words for _, words in there])


def calendar(low: float, high: float, most: int) -> Ticks:
    """Return at most about `most` marks at round times (UTC) within low..high, epoch ms."""
    step = next((s for s in STEPS_MS if (high - low) / s <= most), None)
    if step is None:
        return _months(low, high, most)
    places = [float(k * step) for k in range(math.ceil(low / step), math.floor(high / step) + 1)]
    return Ticks(places, [_moment(place, step < DAY_MS, high - low) for place in places])


def day(ms: float) -> str:
    """Return the date of a time, such as 2017-03-09."""
    return str(np.datetime64(int(ms), "ms"))[:10]


def _months(low: float, high: float, most: int) -> Ticks:
    ends = (np.datetime64(int(ms), "ms").astype("datetime64[M]") for ms in (low, high))
    first, last = (int(end.astype(int)) for end in ends)
    step = next((s for s in STEPS_MONTHS if (last - first) / s <= most), STEPS_MONTHS[-1])
    months = range(-(-(first + 1) // step) * step, last + 1, step)
    places = [float(np.datetime64(m, "M").astype("datetime64[ms]").astype(int)) for m in months]
    years = [str(1970 + m // 12) for m in months]
    if step % 12 == 0:
        return Ticks(places, years)
    return Ticks(places, [f"{MONTHS[m % 12]} {y}" for m, y in zip(months, years, strict=True)])


def _moment(ms: float, with_clock: bool, span: float) -> str:
    words = str(np.datetime64(int(ms), "ms"))
    date = f"{int(words[8:10])} {MONTHS[int(words[5:7]) - 1]}"
    if not with_clock:
        return date
    return words[11:16] if span <= DAY_MS else f"{date} {words[11:16]}"


def number(value: float) -> str:
    """Return a metric in words: four decimals where it is a share, fewer where it is not."""
    size = abs(value)
    if size < 2:
        return _minus(f"{value:.4f}")
    return _minus(f"{value:,.2f}" if size < 1000 else f"{value:,.0f}")


def signed(value: float) -> str:
    """Return a difference with its sign."""
    return ("+" if value > 0 else "") + number(value)


def count(value: float) -> str:
    """Return a count with thousands separated."""
    return f"{value:,.0f}"


def percent(value: float) -> str:
    """Return a share as a percentage."""
    return f"{100 * value:.3g}%"


def px(value: float) -> str:
    """Return a length or place for an attribute."""
    return f"{value:.1f}"


def escape(text: object) -> str:
    """Return text that is safe in HTML and can be written as UTF-8."""
    return html.escape(str(text).encode("utf-8", "replace").decode("utf-8"))


def _minus(text: str) -> str:
    return text.replace("-", MINUS)
