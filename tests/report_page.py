"""A made-up result of an evaluation, and a reader of the report page that checks each page."""

import re
from html.parser import HTMLParser
from typing import Any

import numpy as np

from streamrec.evaluation.report.render import METRICS

VOID = {"meta", "wbr"}
SECTIONS = (
    "sources", "over-time", "weights", "slices", "comparisons", "breadth", "staleness", "ablation",
    "protocol",
)  # fmt: skip
RECALL = {
    "blend": 0.153, "similarity": 0.141, "factors": 0.119, "successors": 0.127,
    "popularity_short": 0.071, "popularity_medium": 0.066, "popularity_long": 0.052,
    "cosine": 0.043, "peer:isgd": 0.099, "peer:item_knn": 0.139, "blend:weighted": 0.151,
}  # fmt: skip
DAY = 86_400_000


class Page(HTMLParser):
    """The elements of a page, their text, and whether every tag is closed in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.within: list[tuple[str, str]] = []  # element, text
        self.feed(text)
        self.close()
        assert not self.open, f"never closed: {self.open}"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_startendtag(tag, attrs)
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert len({name for name, _ in attrs}) == len(attrs)
        self.elements.append((tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        assert self.open and self.open.pop() == tag, f"</{tag}> where {self.open} is open"

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] != "style":
            self.within.append((self.open[-1], data))

    @property
    def text(self) -> str:
        return " ".join(" ".join(words for _, words in self.within).split())

    @property
    def sections(self) -> tuple[str, ...]:
        return tuple(attrs["id"] for tag, attrs in self.elements if tag == "section")

    def texts(self, tag: str) -> list[str]:
        """Return what stands directly in the elements of a tag."""
        return [words for within, words in self.within if within == tag]

    def having(self, tag: str, **wanted: str) -> list[dict[str, str]]:
        """Return the attributes of all elements of a tag and these attributes."""
        return [a for t, a in self.elements if t == tag and wanted.items() <= a.items()]


def result() -> dict[str, Any]:
    """Return a whole result of 12 windows, the fourth without a scored event."""
    rng = np.random.default_rng(0)
    sources = {
        name: {m: recall if m.startswith("recall") else rng.uniform() for m in METRICS}
        for name, recall in RECALL.items()
    }
    kinds = ("new_user", "new_item", "history_1", "history_2_4", "history_5_plus")
    return {
        "protocol": {
            "file": "/data/shop.csv", "profile": "shop", "exclude": "session", "warm_up": 0.3,
            "types": ["view", "buy"], "lag": "100 events", "workers": 2, "seed": 7,
            "blend": "learned", "events": 12000, "off": [], "peers": ["isgd", "item_knn"],
        },
        "events": 12000, "scored": 9900, "new_item_share": 0.118, "events_per_second": 3120.4,
        "sources": sources,
        "slices": {kind: {"scored": 500 + n, "sources": sources} for n, kind in enumerate(kinds)},
        "windows": [
            {"first": 1000 * n, "last": 1000 * n + 999, "ts": 1_700_000_000_000 + n * 5 * DAY,
             "scored": 0 if n == 3 else 900,
             "sources": {s: {"recall@20": r * (1 + n / 50)} for s, r in RECALL.items()},
             "weights": {"similarity": 0.5, "factors": 0.25, "successors": 0.25, "cosine": 0.0}}
            for n in range(12)
        ],
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
    """Parse a page and check what holds for every one: whole, in one file, nothing loaded."""
    assert len(text.encode()) < 2_000_000
    page = Page(text)
    ids = [attrs["id"] for _, attrs in page.elements if "id" in attrs]
    assert len(set(ids)) == len(ids)
    policy = {"http-equiv": "Content-Security-Policy"}
    [meta] = page.having("meta", **policy)
    assert meta["content"] == "default-src 'none'; style-src 'unsafe-inline'"
    for _, attrs in page.elements:
        for name, value in attrs.items():
            assert name not in {"href", "xlink:href", "src", "srcset", "action", "style"}
            assert not name.startswith("on")
            assert not re.search(r"nan|infinity|undefined|null", value, re.I) or " " in value
    for svg in page.having("svg"):
        assert svg["role"] == "img" and svg["aria-label"] and svg["aria-describedby"] in ids
    assert all(words.strip() for words in page.texts("desc") + page.texts("title"))
    assert not {"script", "link", "img", "image", "iframe", "a", "object"} & {
        tag for tag, _ in page.elements
    }
    assert not re.search(r"https?:|url\(|@import|\bnan\b|\binf\b|None|undefined", text)
    return page
