"""Live prequential metrics: each click is looked up in the lists its user was being served."""

import time
from collections import Counter
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from streamrec.flow import ranks_of, samples_of
from streamrec.monitoring.metrics import Metrics
from streamrec.roles.learning.click_samples import ClickSamples
from streamrec.settings.sections import Settings
from streamrec.sources.registry import names_of
from streamrec.state import served
from streamrec.state.user_fold import UserFold
from streamrec.transport.redis.keys import POPULAR, reading_key, shown_key
from streamrec.transport.redis.store import Store


class LookedUp(NamedTuple):
    """int[clicks, lists] ranks; samples for the learned blend, and for the neural ranker."""

    ranks: NDArray[Any]
    samples: list[bytes]
    neural: list[bytes]
    lists: Mapping[str, int]  # clicks on own, popular, none: what was looked up


class LiveMetrics:
    """Counts hits, NDCG and reciprocal ranks of the blend and of each source alone."""

    def __init__(self, settings: Settings, store: Store, metrics: Metrics) -> None:
        self._settings = settings
        self._store = store
        self._metrics = metrics
        self._clicks = ClickSamples(settings, metrics)
        self.lists = ("blend", *names_of(settings))

    def look_up(self, fold: UserFold) -> LookedUp:
        """Look clicks up; call it before the users' next lists know them.

        A user without a list of their own is served the popular one.
        """
        timed = [one for one, yes in zip(fold.accepted, fold.scorable, strict=True) if yes]
        held = [no for no, yes in zip(fold.held, fold.scorable, strict=True) if yes]
        clicks = [event for _, event in timed]
        if not clicks:
            return LookedUp(np.zeros((0, len(self.lists)), np.int64), [], [], {})
        number = {user: n for n, user in enumerate(dict.fromkeys(e.user for e in clicks))}
        names = [*map(shown_key, (*number, POPULAR)), *map(reading_key, number)]
        found = self._store.values(names)
        own, popular, readings = found[: len(number)], found[len(number)], found[len(number) + 1 :]
        rows = [blob or popular for blob in own]
        now = time.time() * 1000.0
        for blob in filter(None, rows):
            age = max(0.0, now - served.shown_at(blob)) / 1000.0
            self._metrics.list_age_seconds.observe(age)
        which = np.array([number[event.user] for event in clicks], np.int64)
        each = [None if no else rows[n] for n, no in zip(which.tolist(), held, strict=True)]
        samples = samples_of(self._settings, clicks, each)
        neural = self._clicks.of(timed, each, [readings[n] for n in which.tolist()])
        kinds = ["own" if mine else "popular" if popular else "none" for mine in own]
        served_by = Counter(kinds[n] for n in which.tolist())
        ranks = ranks_of(rows, which, clicks, len(self.lists))
        return LookedUp(ranks, samples, neural, served_by)

    def count(self, looked: LookedUp) -> None:
        """Add ranks to the counters."""
        found = looked.ranks
        for kind, clicks in looked.lists.items():
            self._metrics.prequential_events.labels(kind).inc(clicks)
        hits = {"10": served.hits(found, 10), "20": served.hits(found, 20)}
        gains, reciprocal = served.ndcg(found, 20), served.reciprocal(found, 20)
        for m, source in enumerate(self.lists):
            for k, hit in hits.items():
                self._metrics.prequential_hits.labels(source, k).inc(hit[:, m].sum())
            self._metrics.prequential_ndcg.labels(source).inc(gains[:, m].sum())
            self._metrics.prequential_reciprocal_rank.labels(source).inc(reciprocal[:, m].sum())
