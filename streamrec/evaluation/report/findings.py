"""What the JSON of one evaluation says, in names, numbers and plain sentences.

Any part may be missing, null or of another type: it then counts as not there.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from streamrec.evaluation.report.words import PEER, Value, cut, finite, label, number, plain, signed
from streamrec.evaluation.tally import BLEND, MAIN

Row = Mapping[str, Any]
Span = tuple[str, float, float, float]
"""Another list, how far the blend is ahead of it, and the 95% interval of that."""
SHADES = 8
SIZES = {
    "events": "events",
    "scored": "scored events",
    "new_item_share": "of them on new items",
    "events_per_second": "events a second",
}
TERMS = {
    "file": "events from",
    "exclude": "left out of lists",
    "warm_up": "only learnt from, not scored",
    "types": "event types",
    "lag": "lag of the lists",
    "off": "sources switched off",
    "blends": "other blends",
}
LEFT_OUT = {
    "user": "what the user has taken before",
    "session": "what the user has taken in the same session",
    "none": "nothing",
}


class Findings:
    """One result, its sources ranked by recall@20, and which of them are compared."""

    def __init__(self, result: Row) -> None:
        self.result = result
        self.protocol = row(result.get("protocol"))
        off = self.protocol.get("off")
        self.off = {plain(name) for name in off} if isinstance(off, list) else set()
        named = named_rows(result.get("sources"))
        self.sources = {name: one for name, one in named.items() if name not in self.off}
        self.ranked = sorted(self.sources, key=self._rank)
        rivals = [name for name in self.ranked if name != BLEND and self.main(name) is not None]
        self.single = next((name for name in rivals if ":" not in name), "")
        self.peer = next((name for name in rivals if name.startswith(PEER)), "")
        popular = (name for name in rivals if name.removeprefix(PEER).startswith("popularity"))
        self.popularity = next(popular, "")
        first = [BLEND, self.single, self.peer, self.popularity, *self.ranked]
        self.order = [name for name in dict.fromkeys(first) if name]
        self.spans = sorted(self._spans(), key=lambda span: -span[1])

    def _rank(self, name: str) -> tuple[bool, float, str]:
        value = self.main(name)
        return value is None, -(value or 0.0), name

    def _spans(self) -> Iterator[Span]:
        for one in rows(self.result.get("comparisons")):
            value, low, high = (finite(one.get(key)) for key in ("difference", "low", "high"))
            other, ours = plain(one.get("b")), (one.get("a"), one.get("metric")) == (BLEND, MAIN)
            if ours and other not in self.off and None not in (value, low, high):
                yield other, value or 0.0, low or 0.0, high or 0.0

    def main(self, name: str) -> Value:
        """Return recall@20 of a source."""
        return finite(self.sources.get(name, {}).get(MAIN))

    def colour(self, name: str) -> str:
        """Return the colour of a source in all plots, grey for the last ones."""
        at = self.order.index(name) if name in self.order else SHADES
        return f"var(--s{min(at, SHADES)})"

    def opening(self) -> Iterator[str]:
        """Yield what the page begins with: a plain sentence, then one with the intervals."""
        value, popular = self.main(BLEND), self.main(self.popularity)
        if value is None:
            return
        if 0 <= value <= 1:
            words = f"20 suggestions hold the next item {_hundredths(value)} times in 100"
            if popular is not None:
                words += f"; the most popular items alone {_hundredths(popular)}"
            yield f"{words}."
        best = (("best single source", self.single), ("best peer", self.peer))
        against = [self._against(value, words, name) for words, name in best if name]
        rest = ": " + ", and ".join(against) if against else ""
        yield f"The blend's {MAIN} is {number(value)}{rest}."

    def _against(self, mine: float, words: str, name: str) -> str:
        """Return how far the blend is from one other, whose recall@20 is known."""
        other = self.main(name) or 0.0
        who = f"the {words}, {label(name).removesuffix(' (peer)')} ({number(other)}"
        far = f"{number(abs(mine - other))} {'below' if mine < other else 'above'}"
        for rival, _, low, high in self.spans:
            if rival == name:
                far = "not clearly apart from" if low <= 0 <= high else far
                ends = f"{signed(low)} to {signed(high)}"
                return f"{far} {who}; 95% interval of the difference {ends})"
        return f"{far} {who})"

    def sizes(self) -> list[tuple[str, str]]:
        """Return the size of the evaluation in a few numbers."""
        found = [(SIZES[key], _words(key, self.result.get(key))) for key in SIZES]
        return [(term, words) for term, words in found if words]

    def settings(self) -> list[tuple[str, str]]:
        """Return every key of the protocol with its value in words."""
        pairs = [(key, _words(key, value)) for key, value in self.protocol.items()]
        return [
            (TERMS.get(key, cut(key.replace("_", " "))), words) for key, words in pairs if words
        ]


def row(value: Any) -> Row:
    """Return a JSON object, or an empty one for anything else."""
    return value if isinstance(value, dict) else {}


def rows(value: Any) -> list[Row]:
    """Return the objects of a JSON array, or none for anything else."""
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def named_rows(value: Any) -> dict[str, Row]:
    """Return the objects of a JSON object by their names."""
    return {name: one for name, one in row(value).items() if isinstance(one, dict)}


def _words(key: str, value: Any) -> str:
    known = finite(value)
    words = ", ".join(map(plain, value)) if isinstance(value, list) else plain(value)
    if isinstance(value, dict):
        each = (
            (cut(plain(name).replace("_", " ")), _words("", one)) for name, one in value.items()
        )
        words = ", ".join(f"{name}: {said}" for name, said in each if said)
    if key in ("off", "peers", "blends"):
        words = words.replace("_", " ")
    elif key == "exclude":
        words = LEFT_OUT.get(words, words)
    elif known is not None and key in (*SIZES, "items", "limit"):
        words = f"{100 * known:.3g}%" if key == "new_item_share" else f"{known:,.0f}"
    elif known is not None and key == "warm_up":
        words = f"the first {100 * known:.3g}% of the events"
    return cut(words, 600)


def _hundredths(share: float) -> str:
    """Return how many times in 100, with a decimal where they are few."""
    return f"{100 * share:.{0 if share >= 0.0995 else 1}f}"
