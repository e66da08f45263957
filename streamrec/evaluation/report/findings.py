"""What the JSON of one evaluation says, in names, numbers and plain sentences.

Any part may be missing, null or of another type: it then counts as not there.
"""

from collections.abc import Mapping
from typing import Any

from streamrec.evaluation.report.axes import Value, count, finite, number, percent, signed
from streamrec.evaluation.report.plots import GREY, Span

Row = Mapping[str, Any]
BLEND, PEER, MAIN = "blend", "peer:", "recall@20"
LEVEL = 0.95
LEFT_OUT = {
    "user": "What a user has taken before is left out of the lists.",
    "session": "What a user has taken in the same session is left out of the lists.",
    "none": "Lists may repeat what a user has taken before.",
}
TERMS = {
    "file": "events from",
    "exclude": "left out of lists",
    "warm_up": "only learnt from, at the start",
    "types": "event types",
    "lag": "lag of the lists",
}
LONGEST = 600


class Findings:
    """One result, its sources ranked by recall@20, and which of them are compared."""

    def __init__(self, result: Row) -> None:
        self.result = result
        self.sources = named_rows(result.get("sources"))
        self.ranked = sorted(self.sources, key=self._rank)
        rivals = [name for name in self.ranked if name != BLEND and self.main(name) is not None]
        self.single = next((name for name in rivals if not name.startswith(PEER)), None)
        self.peer = next((name for name in rivals if name.startswith(PEER)), None)
        self.popularity = next((name for name in rivals if name.startswith("popularity")), None)
        first = [BLEND, *(name for name in self.ranked if name != BLEND)]
        self.shades = {name: min(n, GREY) for n, name in enumerate(first)}

    def _rank(self, name: str) -> tuple[bool, float, str]:
        value = self.main(name)
        return value is None, -(value or 0.0), name

    def main(self, name: str) -> Value:
        """Return recall@20 of a source."""
        return finite(self.sources.get(name, {}).get(MAIN))

    def shade(self, name: str) -> int:
        """Return the colour that a source has in all plots."""
        return self.shades.get(name, GREY)

    @property
    def protocol(self) -> Row:
        """The settings of the evaluation."""
        return row(self.result.get("protocol"))

    @property
    def interval_words(self) -> str:
        """The name of the intervals, with their level."""
        return f"{percent(finite(self.protocol.get('level')) or LEVEL)} interval"

    def comparisons(self) -> list[tuple[str, str, str, Span]]:
        """Return (a, b, metric, difference a - b), the largest difference first."""
        found = []
        for one in rows(self.result.get("comparisons")):
            value, low, high = (finite(one.get(key)) for key in ("difference", "low", "high"))
            if value is None or low is None or high is None:
                continue
            a, b, metric = (plain(one.get(key)) for key in ("a", "b", "metric"))
            found.append((a, b, metric, Span(label(b), value, low, high)))
        return sorted(found, key=lambda one: -one[3].value)

    def headline(self) -> str:
        """Return one sentence: the blend against the best single source and the best peer."""
        value = self.main(BLEND)
        if value is None:
            return ""
        against = [
            self._against(words, name)
            for words, name in (("best single source", self.single), ("best peer", self.peer))
            if name is not None
        ]
        rest = ": " + ", and ".join(against) if against else ""
        return f"The blend's {MAIN} is {number(value)}{rest}."

    def _against(self, words: str, name: str) -> str:
        """Return how far the blend is from one other; only called where both are known."""
        mine, other = self.main(BLEND) or 0.0, self.main(name) or 0.0
        who = f"the {words}, {label(name).removesuffix(' (peer)')}"
        for a, b, metric, span in self.comparisons():
            if (a, b, metric) == (BLEND, name, MAIN):
                ends = f"{signed(span.low)} to {signed(span.high)}"
                within = f"{self.interval_words} of the difference {ends}"
                if span.low <= 0 <= span.high:
                    return f"not clearly apart from {who} ({number(other)}; {within})"
                side = "above" if span.value > 0 else "below"
                return f"{number(abs(span.value))} {side} {who} ({number(other)}; {within})"
        side = "below" if mine < other else "above"
        return f"{number(abs(mine - other))} {side} {who} ({number(other)})"

    def tiles(self) -> list[tuple[str, str]]:
        """Return the size of the evaluation in a few numbers."""
        wanted = (
            ("events", "events", count),
            ("scored", "scored events", count),
            ("new_item_share", "of them on new items", percent),
            ("events_per_second", "events a second", count),
        )
        found = [(words, finite(self.result.get(key)), show) for key, words, show in wanted]
        return [(words, show(value)) for words, value, show in found if value is not None]

    def method(self) -> list[str]:
        """Return how it was measured, in sentences."""
        out = [
            "Events are taken in the order of the stream. For each one the list of its user is "
            "made first, from what was learnt before it; then the event is learnt from."
        ]
        warm_up = finite(self.protocol.get("warm_up"))
        if warm_up:
            out.append(f"The first {percent(warm_up)} of the events are learnt from, not scored.")
        lag = plain(self.protocol.get("lag"))
        if lag and not lag.startswith("0"):
            out.append(f"Lists are made from what was known {lag} before the event.")
        rule = self.protocol.get("exclude")
        if isinstance(rule, str) and rule in LEFT_OUT:
            out.append(LEFT_OUT[rule])
        return out

    def settings(self) -> list[tuple[str, str]]:
        """Return every key of the protocol with its value in words."""
        return [
            (TERMS.get(key, str(key).replace("_", " ")), _words(key, value))
            for key, value in self.protocol.items()
            if _words(key, value)
        ]


def row(value: Any) -> Row:
    """Return a JSON object, or an empty one for anything else."""
    return value if isinstance(value, dict) else {}


def rows(value: Any) -> list[Row]:
    """Return the objects of a JSON array, or none for anything else."""
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def named_rows(value: Any) -> dict[str, Row]:
    """Return the objects of a JSON object by their names."""
    return {str(name): one for name, one in row(value).items() if isinstance(one, dict)}


def plain(value: Any) -> str:
    """Return a JSON string or number as text, and nothing for anything else."""
    known = finite(value)
    return value if isinstance(value, str) else f"{known:.15g}" if known is not None else ""


def label(name: str) -> str:
    """Return a source's name as the page shows it."""
    return f"{name.removeprefix(PEER)} (peer)" if name.startswith(PEER) else name


def _words(key: str, value: Any) -> str:
    known = finite(value)
    if isinstance(value, bool):
        words = "yes" if value else "no"
    elif key == "warm_up" and known is not None:
        words = percent(known)
    elif key in ("events", "scored") and known is not None:
        words = count(known)
    elif isinstance(value, list):
        words = ", ".join(map(plain, value))
    elif isinstance(value, dict):
        words = ", ".join(f"{one}: {plain(other)}" for one, other in value.items())
    else:
        words = plain(value)
    return words if len(words) <= LONGEST else f"{words[:LONGEST]}\N{HORIZONTAL ELLIPSIS}"
