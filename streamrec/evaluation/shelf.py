"""The shelf of new items: how well those with few events are found among themselves.

In full lists popular items take the first places, so what texts are worth for new items hardly
shows there. Here all items of the file are announced first; each event on an item that has had
fewer than FEW is then ranked among all such items, and learnt. The blend ranks them as in a list
that may hold no others.
"""

from typing import Any

import numpy as np

from streamrec.evaluation.evaluate import INTERRUPTED, Shown, after
from streamrec.evaluation.plan import Plan
from streamrec.evaluation.prequential import Prequential
from streamrec.evaluation.ranks import rank_of
from streamrec.evaluation.walk import events_of
from streamrec.events.event import Event
from streamrec.files.event_table import FORGOTTEN
from streamrec.ranking.passing import passing
from streamrec.ranking.views import Prepared
from streamrec.settings.types import changed
from streamrec.sources.content import Words
from streamrec.sources.factors import Factors
from streamrec.sources.source import Shopper, Source
from streamrec.sources.user_vector import mean_of
from streamrec.text.words import Array

FEW = 5
TOP = 20
LEAST = 2 * TOP
"""Items on the shelf: with fewer, chance alone finds half of them."""
HASHED = 64
"""Length of the vectors of hashed words."""
GROUPS = ("never clicked", "1 to 4 events")
WITHOUT = "factors without text"


def evaluate_shelf(plan: Plan, shown: Shown) -> dict[str, Any]:
    """Return for each group of items the share of its events found in the first TOP, by method."""
    run, table, count, done = _Shelf(plan), plan.events, plan.length, 0
    first = plan.asked.warm_up * count
    controls = table.controls_at()
    for n, event in enumerate(shown(events_of(table, count), count)):
        for user, visitor in controls.get(n, ()):
            if visitor == FORGOTTEN:  # visitors stay strangers here
                run.live.forget(table.user_names[user], event.ts)
        run.step(event, scored=n >= first and event.type in plan.types)
        done = n + 1
    protocol = {
        "file": table.name, "profile": plan.settings.profile, "warm_up": plan.asked.warm_up,
        "texts": plan.encoder.name if plan.encoder else "hashed",
    }  # fmt: skip
    if done < count:
        protocol[INTERRUPTED] = after(done, count)
    groups = [run.summary(group) for group in GROUPS]
    return {"protocol": protocol, "events": done, "shelf": groups}


class _Shelf:
    """One pass over a log, all of its items announced before."""

    def __init__(self, plan: Plan) -> None:
        self._settings, self._encoder = plan.settings, plan.encoder
        self._bare = Factors(changed(plan.settings, factors={"text_weight": 0.0}))
        self.live = Prequential(plan.settings, encoder=plan.encoder)
        self._flow = self.live.flow
        self._found: dict[str, dict[str, list[float]]] = {group: {} for group in GROUPS}
        self._sizes: dict[str, list[int]] = {group: [] for group in GROUPS}
        words, hashed = Words(HASHED), []
        for item in plan.items.values():
            self.live.announce(item)
        self.live.end()
        table = self._flow.table
        self._known = np.array([table.row(name) for name in plan.items], np.int64)
        for item in plan.items.values():  # counted first, so that idf is that of all
            words.vector(table.row(item.item), item.title, item.categories, item.text)
        for row, item in zip(self._known.tolist(), plan.items.values(), strict=True):
            hashed.append(words.vector(row, item.title, item.categories, item.text))
        self._hashed = np.zeros((len(table), HASHED), np.float32)
        self._hashed[self._known] = hashed

    def step(self, event: Event, scored: bool) -> None:
        """Rank the event's item if it is on the shelf, then learn the event."""
        shard, table = self.live.arrived(event), self._flow.table
        target = table.row_of.get(event.item, -1)
        if scored and event.personal and target >= 0 and table.arrays.events[target] < FEW:
            self._rank(shard.users.row(event.user), event.user, target)
        self.live.step(event, counted=False)

    def _rank(self, row: Any, name: str, target: int) -> None:
        lists, table = self._flow.prepared(), self._flow.table
        shopper = lists.shopper(row, table, name)
        events = table.arrays.events
        on = np.setdiff1d(self._known[events[self._known] < FEW], shopper.excluded)
        at = np.searchsorted(on, target)
        if not len(shopper.history) or len(on) < LEAST or at == len(on) or on[at] != target:
            return
        group = GROUPS[int(events[target] > 0)]
        self._sizes[group].append(len(on))
        for method, scores in self._scores(shopper, on).items():
            found = float(rank_of(scores, int(at)) < TOP)
            self._found[group].setdefault(method, []).append(found)

    def _scores(self, shopper: Shopper, on: Array) -> dict[str, Array]:
        """Return float[len(on)] by each method."""
        arrays, lists, n = self._flow.table.arrays, self._flow.lists, len(self._flow.table)
        said = {"hashed words": self._by_hashed_words(shopper, on)}
        of_source = {source.name: source for source in lists.sources}
        asked: dict[str, Source] = {"factors": of_source["factors"]}
        if self._encoder is not None and self._settings.content.size:
            servable = arrays.stored[:n] & arrays.available[:n]
            heats, totals = arrays.heats[:n], self._flow.table.log2_totals()
            self._bare.prepare(Prepared(self._flow.table, heats, totals, servable, on[:0]))
            asked = {self._encoder.name: of_source["content"], WITHOUT: self._bare, **asked}
        for method, source in asked.items():
            out = np.full((1, len(on)), np.nan, np.float32)
            source.score_rows(arrays, [shopper], on, out)
            said[method] = out[0]
        allowed = np.zeros(n, np.bool_)
        allowed[on] = arrays.available[on]
        [ranked] = lists.rank([shopper], self._flow.table, among=passing(allowed))
        blended = np.full(n, -np.inf)
        blended[ranked.candidates] = ranked.scores
        return said | {"blend": blended[on]}

    def _by_hashed_words(self, shopper: Shopper, on: Array) -> Array:
        of, profile = self._settings.factors, np.zeros(HASHED, np.float32)
        past = shopper.history[: of.context]
        mean_of(self._hashed, past[past < len(self._hashed)], (of.context_decay, 1.0), profile)
        scores: Array = self._hashed[on] @ profile
        return scores

    def summary(self, group: str) -> dict[str, Any]:
        """Return the figures of one group."""
        sizes, found = self._sizes[group], self._found[group]
        chance = float(np.mean([TOP / size for size in sizes])) if sizes else float("nan")
        recall = {method: float(np.mean(hits)) for method, hits in found.items()}
        items = float(np.mean(sizes)) if sizes else 0.0
        return {
            "items": group, "events": len(sizes), "on_shelf": round(items),
            f"recall@{TOP}": {"chance": chance, **recall},
        }  # fmt: skip
