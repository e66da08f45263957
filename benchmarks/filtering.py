"""What a filter costs a list: one list at a time, in a large catalogue of which few items pass."""

import gc
import json
import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from benchmarks.clicks import Clicks
from benchmarks.figures import Sample
from benchmarks.pipeline import warmed
from streamrec.monitoring.starting import calm_collector
from streamrec.ranking.lists import ListMaker
from streamrec.ranking.rerank import Reranker
from streamrec.settings.place_rules import place_of
from streamrec.settings.sections import ListSettings, Settings
from streamrec.sources.source import Shopper
from streamrec.state.keys import key_of
from streamrec.state.user_rows import decode_user

FILTER = 'category == "garden" and price < 20'
CATEGORIES, PRICES = 20, 100
"""Categories are dealt out in turn, and prices of 0 to 99 evenly: of 100 items one passes."""
CHANGED = 1_000
AT_ONCE = 10_000


class Filtering:
    """Lists with and without a filter, in turn, of the same users."""

    def __init__(self, clicks: Clicks, items: int, lists: int, repeats: int) -> None:
        self.repeats = repeats
        filtered = Settings(lists=ListSettings(filters=(FILTER,)))
        pipeline, _ = warmed(filtered, clicks, len(clicks), with_lists=True)
        self._table, self._items = pipeline.table, items
        for first in range(0, items, AT_ONCE):
            self._describe(range(first, min(first + AT_ONCE, items)))
        size = len(self._table)
        self._table.arrays.stored[:size] = True
        content = np.random.default_rng(1).standard_normal((size, filtered.content.size), "f4")
        content /= np.linalg.norm(content, axis=1, keepdims=True)
        self._table.arrays.content[:size] = content  # as if every item had a title
        self._table.note_changed(slice(size))
        self._maker = ListMaker(filtered)
        self._maker.prepare(self._table)
        rows = [decode_user(blob) for blob in list(pipeline.user_rows.values())[:lists]]
        self._users = [self._maker.shopper(row, self._table) for row in rows]
        self._open = Reranker(place_of(Settings()))
        passing = self._maker.passing(self._users[0], self._table, self._maker.rules)
        assert passing is not None
        self._pass = passing.size
        for rules in (self._maker.rules, self._open):  # what is loaded for the first list
            self._one(self._users[0], rules)

    def _describe(self, numbers: range) -> None:
        keys = np.array([key_of(f"i{n}") for n in numbers], np.uint64)
        entries = (
            {
                "item": f"i{n}",
                "categories": ["garden" if n % CATEGORIES == 0 else f"c{n % CATEGORIES}"],
                "attributes": {"price": n // CATEGORIES % PRICES},
            }
            for n in numbers
        )
        self._table.describe(keys, [json.dumps(entry).encode() for entry in entries])

    def once(self) -> Sample:
        """Return CPU milliseconds of a list."""
        with _calm():
            fresh = self._after_changes()
            with_filter, without = self._each(self._maker.rules), self._each(self._open)
        return {
            "filtered_list_ms_p99": _p99(with_filter),
            "filtered_list_ms_p50": statistics.median(with_filter),
            "unfiltered_list_ms_p50": statistics.median(without),
            "unfiltered_list_ms_p99": _p99(without),
            "filtered_list_after_changes_ms": fresh,
        }

    def _each(self, rules: Reranker) -> list[float]:
        return [self._one(user, rules) for user in self._users]

    def _one(self, user: Shopper, rules: Reranker) -> float:
        start = time.process_time()
        [made] = self._maker.make([user], self._table, rules)
        spent = 1000 * (time.process_time() - start)
        assert made.items  # fewer than its length where the catalogue is small
        return spent

    def _after_changes(self) -> float:
        """Return what the first list takes after items changed, whose prices are read anew."""
        self._describe(range(min(CHANGED, self._items)))
        self._maker.prepare(self._table)
        return self._one(self._users[0], self._maker.rules)

    def notes(self) -> dict[str, object]:
        """Return what was filtered."""
        return {
            "filter": FILTER,
            "items": len(self._table),
            "pass": self._pass,
            "lists_a_repeat": len(self._users),
            "changed_items": min(CHANGED, self._items),
        }

    def close(self) -> None:
        """Nothing was started."""


@contextmanager
def _calm() -> Iterator[None]:
    """Have the collector look as seldom as a scorer has it."""
    before = gc.get_threshold()
    calm_collector()
    try:
        yield
    finally:
        gc.unfreeze()
        gc.set_threshold(*before)


def _p99(milliseconds: list[float]) -> float:
    return statistics.quantiles(milliseconds, n=100, method="inclusive")[98]
