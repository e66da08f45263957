"""What the published lists are made of, as metrics of one scorer."""

from collections import Counter
from collections.abc import Sequence

import numpy as np

from streamrec.blend.learned import BUCKETS, LearnedBlend
from streamrec.monitoring.metrics import Metrics
from streamrec.ranking.lists import ListMaker, UserList

LATEST = 1000
HISTORIES = ("0", *(f"{low}+" for low in BUCKETS))


class ListMetrics:
    """Counts lists as they are made; keeps the keys of the latest 1,000."""

    def __init__(self, lists: ListMaker, metrics: Metrics) -> None:
        self._names = lists.names
        self._fixed = dict(zip(lists.names, lists.mixture.blend.weights.tolist(), strict=True))
        self._active = [m for m, on in enumerate(lists.mixture.roster.active) if on]
        self._metrics = metrics
        self._latest = np.zeros((LATEST, lists.rules.place.length), np.uint64)
        self._made = 0

    def count(self, made: Sequence[UserList]) -> None:
        """Count lists and their items."""
        sources: Counter[str] = Counter()
        for one in made:
            self._metrics.list_length_items.observe(len(one.items))
            sources.update(item.source for item in one.items)
            self._latest[self._made % LATEST] = one.shown[0]
            self._made += 1
        for source, items in sources.items():
            self._metrics.list_items.labels(source).inc(items)

    def report(self, blend: LearnedBlend | None, servable: int) -> None:
        """Set the gauges; blend: the learned one, where there is one yet."""
        self._metrics.listed_items.set(int(np.count_nonzero(np.unique(self._latest))))
        self._metrics.servable_items.set(servable)
        for m in self._active:
            name = self._names[m]
            for bucket, history in enumerate(HISTORIES):
                weight = self._fixed[name]
                if blend is not None:
                    weight = float(blend.linear[0, m] + blend.linear[1 + bucket, m])
                self._metrics.blend_weight.labels(name, history).set(weight)
            importance = 0.0 if blend is None else float(blend.importance[m])
            self._metrics.blend_importance.labels(name).set(importance)
