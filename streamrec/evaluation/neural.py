"""The neural ranker in an evaluation: trained, judged and served as live, within the one loop."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from streamrec.events.event import Event
from streamrec.flow import Flow
from streamrec.neural.sample import click, kept
from streamrec.neural.serve import Served
from streamrec.ranking.lists import Ranked
from streamrec.state.keys import key_of

Array = NDArray[Any]


class NeuralRanker:
    """Every click on a list is a sample; each refresh may change what serves. Needs torch."""

    def __init__(self, flow: Flow) -> None:
        from streamrec.neural.refresh import Refresher

        self._flow = flow
        self._rules = flow.settings.neural
        lists = flow.lists
        self._refresher = Refresher(self._rules, lists.reader.shape, self._texts, self._known)
        self.periods: list[dict[str, Any]] = []
        self._clicks = 0

    def learn(self, event: Event, ranked: Ranked, clicked: int) -> None:
        """Take in a click on candidate `clicked` of a list."""
        blend, lists = self._flow.settings.blend, self._flow.lists
        weight = blend.event_weights.get(event.type, 1.0)
        above = int((ranked.blended > ranked.blended[clicked]).sum())
        if weight <= 0.0 or above >= self._rules.candidates:
            return
        reading = lists.reading_of(ranked, self._flow.table)
        if reading is None:
            return
        self._clicks += 1
        listed = kept(reading, self._flow.table.keys, event.ts)
        key, seed = key_of(event.item), self._rules.seed + self._clicks
        sample = click(listed, key, event.type, weight, event.ts, seed)
        if sample is not None and self._refresher.add(sample) and self._refresher.due:
            self._refresh()

    def _refresh(self) -> None:
        period = self._refresher.refresh()
        serving = self._refresher.serving
        if period.weights is not None or not period.decision.open:
            self._flow.lists.network = None
        if serving is not None and period.decision.open:
            self._flow.lists.network = Served.of(serving)
        self.periods.append({"clicks": self._clicks, **_told(period)})

    def _texts(self, keys: Array) -> Array:
        table = self._flow.table
        rows = table.index.rows(keys.ravel())
        found = table.arrays.content[np.maximum(rows, 0)] * (rows >= 0)[:, None]
        out: Array = found.reshape(*keys.shape, -1)
        return out

    def _known(self) -> Array:
        table = self._flow.table
        vectors = table.arrays.content[: len(table)]
        out: Array = vectors[vectors.any(1)]
        return out


def _told(period: Any) -> dict[str, Any]:
    decision = period.decision._asdict()
    for name in ("against_blend", "against_serving"):
        decision[name] = decision[name] and decision[name]._asdict()
    return {"refresh": period.number, **decision, "losses": list(period.losses)}
