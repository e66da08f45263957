"""Counts of one evaluation: the place of every clicked item, and what the lists were made of."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from streamrec.evaluation.intervals import interval
from streamrec.evaluation.prequential import Scored
from streamrec.sources.popularity import LONG
from streamrec.state.item_table import ItemTable

Array = NDArray[Any]
BLEND = "blend"
ONLINE = "blend:online"
"""The learned blend alone, without the neural ranker."""
K = 10
EVERY = 20
"""Novelty and diversity are taken from every 20th list."""
NEW = 5
"""A user or an item is new before its fifth event."""
BEYOND_ALL = np.inf
MAIN = "recall@20"
COMPARED = {ONLINE: (MAIN, "ndcg@10")}
"""What the blend is compared by, where it is not by MAIN alone."""
METRICS = ("recall@10", "recall@20", "precision@10", "ndcg@10", "ndcg@20", "mrr@20")


class Tally:
    """One row a scored event: the clicked item's place in the list of each contender."""

    def __init__(self, sources: Sequence[str], contenders: Sequence[str]) -> None:
        self.names = [BLEND, *sources, *contenders]
        self.own = 1 + len(sources)
        self._places: list[Array] = []
        self._events: list[tuple[int, int, int, int, int, bool]] = []
        self._candidates: list[tuple[int, bool]] = []  # how many; was the clicked item one
        self._shown = np.zeros((self.own, 1024), np.bool_)
        self._every = np.arange(self.own)[:, None]
        self._qualities: list[Array] = []  # per sampled list: novelty, diversity, bias by source
        self._weights: dict[int, Array] = {}
        self._count = 0

    def __len__(self) -> int:
        return len(self._places)

    def add(
        self, number: int, ts: int, scored: Scored, user_events: int, item_events: int,
        others: Sequence[float], table: ItemTable,
    ) -> None:  # fmt: skip
        """Take in one scored event: its number, what was found, and the places in other lists."""
        places = np.full(len(self.names), np.nan, np.float32)
        if not scored.new_item:
            places[0] = scored.rank
            places[1 : self.own] = scored.full_ranks
            places[self.own :] = others
            self._look_at_lists(scored, table)
        if scored.ranked is not None:
            found = len(scored.ranked.candidates), scored.clicked is not None
            self._candidates.append(found)
        self._places.append(places)
        facts = (number, ts, scored.history, user_events, item_events, scored.new_item)
        self._events.append(facts)

    def add_weights(self, number: int, table: ItemTable) -> None:
        """Note how much each source moves the learned blend's scores now."""
        if table.blend is not None:
            self._weights[number] = table.blend.importance.copy()

    def _look_at_lists(self, scored: Scored, table: ItemTable) -> None:
        ranked = scored.ranked
        if ranked is None:
            return
        best, alone = ranked.candidates[ranked.order[:K]], ranked.alone[:, :K]
        if scored.told is not None:
            best = np.array(scored.told.rows[:K], np.int64)
        top = np.full((self.own, K), -1, np.int64)
        top[0, : len(best)], top[1:, : alone.shape[1]] = best, alone
        if len(table) >= self._shown.shape[1]:
            grown = np.zeros((self.own, 2 * len(table)), np.bool_)
            grown[:, : self._shown.shape[1] - 1] = self._shown[:, :-1]
            self._shown = grown
        self._shown[self._every, top] = True  # -1: the last column, of no item
        if self._count % EVERY == 0:
            self._qualities.append(self._quality(top, table))
        self._count += 1

    def _quality(self, top: Array, table: ItemTable) -> Array:
        """Return float64[own, 3]: novelty, diversity and popularity bias of one user's lists."""
        total = table.log2_totals()[LONG]
        out = np.full((self.own, 3), np.nan)
        for m in range(self.own):
            rows = top[m][top[m] >= 0]
            if len(rows):
                bits = np.maximum(table.arrays.heats[rows, LONG] - total, -20.0)
                vectors = table.arrays.targets[rows]
                lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
                distance = intra_list_distance(vectors / np.maximum(lengths, 1e-9))
                out[m] = -bits.mean(), distance, np.exp2(bits).mean()
        return out

    def columns(self) -> dict[str, Array]:
        """Return float32[scored] places by list; those that never found an item are left out."""
        places: Array = np.array(self._places, np.float32).reshape(len(self), len(self.names))
        places[np.isnan(places)] = BEYOND_ALL
        some: Array = np.asarray(np.isfinite(places).any(axis=0))
        some[0] = True  # the blend is always there, even if it never found the item
        return {name: places[:, k] for k, name in enumerate(self.names) if some[k]}

    def summary(self, items: int) -> dict[str, Any]:
        """Return the figures, as in the JSON of `streamrec evaluate`; `items`: all known."""
        facts = np.array(self._events, np.int64).reshape(len(self), 6)
        columns = self.columns()
        sources = {name: metrics(column) for name, column in columns.items()}
        self._add_qualities(sources, items)
        history, users, events = facts[:, 2], facts[:, 3], facts[:, 4]
        slices = {
            "new_user": users < NEW,
            "new_item": events < NEW,
            "history_1": history == 1,
            "history_2_4": (history >= 2) & (history <= 4),
            "history_5_plus": history >= 5,
        }
        return {
            "scored": len(self),
            "new_item_share": float(facts[:, 5].mean()) if len(self) else 0.0,
            "candidates": self._of_candidates(),
            "sources": sources,
            "slices": {
                name: {
                    "scored": int(where.sum()),
                    "sources": {n: metrics(c[where]) for n, c in columns.items()},
                }
                for name, where in slices.items()
                if where.any()
            },
            "windows": self._windows(columns, facts),
            "comparisons": comparisons(columns),
        }

    def _of_candidates(self) -> dict[str, float]:
        """Return the mean number of candidates of a list, and the share of items among them.

        No order of the candidates can have a recall above that share; new items count as misses.
        """
        found = np.array(self._candidates, np.float64).reshape(-1, 2)
        a_list = float(found[:, 0].mean()) if len(found) else 0.0
        return {"a_list": a_list, "share": float(found[:, 1].sum()) / max(1, len(self))}

    def _add_qualities(self, sources: dict[str, Any], items: int) -> None:
        if not self._qualities or not items:
            return
        sampled = np.array(self._qualities)
        counts = np.maximum(1, np.isfinite(sampled).sum(axis=0))
        means = np.nansum(sampled, axis=0) / counts
        for m, name in enumerate(self.names[: self.own]):
            if name in sources:
                sources[name]["coverage@10"] = float(self._shown[m, :-1].sum() / items)
                for k, metric in enumerate(("novelty@10", "diversity@10", "popularity_bias@10")):
                    sources[name][metric] = float(means[m, k])

    def _windows(self, columns: Mapping[str, Array], facts: Array) -> list[dict[str, Any]]:
        width = max(200, len(facts) // 40)
        out, count = [], len(facts)
        for first in range(0, max(min(1, count), count - width // 2), width):
            short = count - first <= width + width // 2  # a short end joins the last window
            part = slice(first, count if short else first + width)
            some = {n: metrics(c[part]) for n, c in columns.items()}
            last = int(facts[part][-1, 0])
            known = [at for at in self._weights if at <= last]
            weights = self._weights[max(known)] if known else np.zeros(0)
            moved = np.maximum(weights, 0.0)
            share = moved / moved.sum() if len(moved) and moved.sum() > 0 else moved
            out.append(
                {
                    "first": int(facts[part][0, 0]),
                    "last": last,
                    "ts": int(facts[part][0, 1]),
                    "scored": len(facts[part]),
                    "sources": some,
                    "weights": dict(zip(self.names[1 : self.own], share.tolist(), strict=False)),
                }
            )
        return out


def metrics(places: Array) -> dict[str, float]:
    """Return the mean metrics of some clicks' places (0 best, inf a miss)."""
    if not len(places):
        return {}
    return {name: float(values_of(name, places).mean()) for name in METRICS}


def values_of(metric: str, places: Array) -> NDArray[np.float64]:
    """Return float64[n]: one of METRICS for each click, by its place."""
    name, _, k = metric.partition("@")
    gains = np.ones(len(places))
    if name == "ndcg":
        gains /= np.log2(places.astype(np.float64) + 2.0)
    elif name == "mrr":
        gains /= places.astype(np.float64) + 1.0
    elif name == "precision":
        gains /= int(k)
    return np.where(places < int(k), gains, 0.0)


def intra_list_distance(vectors: Array) -> float:
    """Return the mean of 1 - cos over all pairs of float32[k, d]; 0 for less than two items.

    Over pairs the sum of cosines is (|sum_i v_i|^2 - sum_i |v_i|^2) / 2.
    """
    k = len(vectors)
    if k < 2:
        return 0.0
    exact = vectors.astype(np.float64)
    total = exact.sum(axis=0)
    return float(1.0 - (total @ total - (exact * exact).sum()) / (k * (k - 1)))


def comparisons(columns: Mapping[str, Array]) -> list[dict[str, Any]]:
    """Return the blend against each other contender: difference of a metric and its interval."""
    out: list[dict[str, Any]] = []
    for name, column in columns.items():
        if name == BLEND or not len(column):
            continue
        for metric in COMPARED.get(name, (MAIN,)):
            found = interval(values_of(metric, columns[BLEND]), values_of(metric, column))
            out.append({"a": BLEND, "b": name, "metric": metric, **found._asdict()})
    return out
