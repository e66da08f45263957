"""A made-up result of an evaluation, and a reader of the report page that checks each page."""

import math
import re
from html.parser import HTMLParser
from typing import Any

import numpy as np

from streamrec.evaluation.report.render import METRICS

VOID = {"meta", "wbr", "br", "link", "img", "input", "hr"}
PLACES = {"x", "y", "x1", "x2", "y1", "y2", "cx", "cy", "r", "rx", "width", "height", "points"}
SECTIONS = (
    "sources", "over-time", "weights", "slices", "comparisons", "breadth", "staleness", "ablation",
    "protocol",
)  # fmt: skip
RECALL = {
    "blend": 0.153, "similarity": 0.141, "factors": 0.119, "successors": 0.127,
    "popularity_short": 0.071, "popularity_medium": 0.066, "popularity_long": 0.052,
    "cosine": 0.043, "peer:isgd": 0.099, "peer:item_knn": 0.139, "peer:popularity": 0.051,
}  # fmt: skip
DAY = 86_400_000


class Page(HTMLParser):
    """The elements of a page, their text, and whether every tag is closed in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.source = text
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.words: list[str] = []
        self.within: list[tuple[str, str]] = []  # element, text
        self.feed(text)
        self.close()
        assert not self.open, f"never closed: {self.open}"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert len({name for name, _ in attrs}) == len(attrs)
        self.elements.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        assert self.open and self.open.pop() == tag, f"</{tag}> where {self.open} is open"

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] != "style":
            self.words.append(data)
            self.within.append((self.open[-1], data))

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())

    @property
    def ids(self) -> list[str]:
        return [attrs["id"] for _, attrs in self.elements if "id" in attrs]

    @property
    def sections(self) -> list[str]:
        return [attrs["id"] for tag, attrs in self.elements if tag == "section"]

    def having(self, tag: str, style: str = "") -> list[dict[str, str]]:
        """Return the attributes of all elements of a tag and class."""
        wanted, found = set(style.split()), [a for t, a in self.elements if t == tag]
        return [attrs for attrs in found if wanted <= set(attrs.get("class", "").split())]


def metrics(recall: float, seed: int) -> dict[str, float]:
    rng = np.random.default_rng(seed)
    return {m: recall if m.startswith("recall") else float(rng.uniform(0, 1)) for m in METRICS}


def result() -> dict[str, Any]:
    """Return a whole result of 12 windows, the fourth without a scored event."""
    own = {name: r / 0.619 for name, r in RECALL.items() if name != "blend" and ":" not in name}
    windows = []
    for n in range(12):
        windows.append({
            "first": 1000 * n, "last": 1000 * n + 999, "ts": 1_700_000_000_000 + n * 5 * DAY,
            "scored": 0 if n == 3 else 900,
            "sources": {s: {"recall@20": r * (1 + n / 50)} for s, r in RECALL.items()},
            "weights": own.copy(),
        })  # fmt: skip
    sources = {name: metrics(recall, n) for n, (name, recall) in enumerate(RECALL.items())}
    kinds = ("new_user", "new_item", "history_1", "history_2_4", "history_5_plus")
    return {
        "protocol": {
            "file": "/data/shop.csv", "profile": "shop", "exclude": "session", "warm_up": 0.3,
            "types": ["view", "buy"], "lag": "0 events", "workers": 2, "seed": 7,
            "blend": "learned", "events": 12000, "off": [],
        },
        "events": 12000, "scored": 9900, "new_item_share": 0.118, "events_per_second": 3120.4,
        "sources": sources,
        "slices": {kind: {"scored": 500 + n, "sources": sources} for n, kind in enumerate(kinds)},
        "windows": windows,
        "comparisons": [
            {"a": "blend", "b": name, "metric": "recall@20", "difference": 0.153 - recall,
             "low": 0.143 - recall, "high": 0.163 - recall}
            for name, recall in RECALL.items() if name != "blend"
        ],
        "staleness": [
            {"lag": lag, "recall@20": r, "recall@10": r / 2, "mrr@20": r / 3}
            for lag, r in (("0 events", 0.153), ("100 events", 0.15), ("1h", 0.11))
        ],
        "ablation": [
            {"without": "similarity", "recall@20": 0.141, "recall@10": 0.1, "mrr@20": 0.04},
            {"without": "cosine", "recall@20": 0.155, "recall@10": 0.1, "mrr@20": 0.04},
        ],
    }  # fmt: skip


def check(text: str) -> Page:
    """Parse a page and check what holds for every one."""
    text.encode()
    page = Page(text)
    assert len(set(page.ids)) == len(page.ids)
    for tag, attrs in page.elements:
        for name, value in attrs.items():
            assert name not in {"href", "src", "srcset", "action", "style"}
            assert not name.startswith("on")
            if name in PLACES or name == "viewbox":
                for one in re.split(r"[ ,]+", value):
                    assert math.isfinite(float(one)), (tag, name, value)
            if name in ("width", "height"):
                assert float(value) >= 0
            if name in ("aria-labelledby", "aria-describedby"):
                assert set(value.split()) <= set(page.ids)
        if tag == "svg" and "aria-hidden" not in attrs:
            assert attrs["role"] == "img" and attrs["aria-labelledby"] and attrs["aria-describedby"]
    assert not {"script", "link", "img", "iframe", "a", "object"} & {t for t, _ in page.elements}
    assert not re.search(r"https?:|url\(|@import|\bnan\b|\binf\b|None", text)
    for tag, words in page.within:
        assert tag not in {"title", "desc"} or words.strip()
    return page
