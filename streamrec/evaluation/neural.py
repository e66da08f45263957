"""The neural ranker in an evaluation: trained, judged and served as live, within the one loop."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from importlib.util import find_spec
from typing import Any

import msgspec
import numpy as np

from streamrec.events.event import Event
from streamrec.flow import Flow
from streamrec.neural.sample import Sample, kept, picked, room
from streamrec.neural.serve import Served
from streamrec.neural.version import Manifest, pack, unpack
from streamrec.ranking.lists import Ranked
from streamrec.settings.neural import TRAINS_WITH
from streamrec.settings.sections import Settings


def why_off(settings: Settings) -> str:
    """Return why there is no neural ranker under these settings; "" if there is one."""
    if not settings.neural.on:
        return "neural.on is false"
    if settings.blend.kind != "learned":
        return f"it orders what the learned blend proposes; blend.kind is {settings.blend.kind}"
    for package in TRAINS_WITH:
        if find_spec(package) is None:
            return f"{package} is not installed: pip install 'streamrec[neural]'"
    return ""


class NeuralRanker:
    """Every click on a list is a sample; each refresh may change what serves. Needs torch.

    What serves is decided in the loop. What is learnt then is judged no sooner than the next time,
    so it is learnt in a thread beside the loop, and samples wait until then: every figure is the
    one of learning at once.
    """

    def __init__(self, flow: Flow, clock: Callable[[], float]) -> None:
        from streamrec.neural.refresh import Refresher

        self._flow, self._clock, self._seconds = flow, clock, 0.0
        self._rules = flow.settings.neural
        self._refresher = Refresher(self._rules, flow.lists.reader.shape)
        self._thread = ThreadPoolExecutor(1, "training")
        self._running: Future[tuple[Any, float]] | None = None
        self._waiting: list[Sample] = []  # that came since
        self._clicks = 0
        self._periods: list[dict[str, Any]] = []

    def learn(self, event: Event, ranked: Ranked, clicked: int) -> None:
        """Take in a click on candidate `clicked` of a list."""
        blend, lists = self._flow.settings.blend, self._flow.lists
        weight = blend.event_weights.get(event.type, 1.0)
        if weight <= 0.0:
            return
        read = lists.reader.best(ranked.blended)
        [found] = np.nonzero(read == clicked)
        if not len(found) or len(read) < 2:
            return
        shape = lists.reader.shape
        past = min(len(ranked.shopper.history), shape.history)
        most = room(shape.facts, past, len(shape.channels), event.type)
        only = picked(len(read), int(found[0]), most, self._rules.seed + self._clicks)
        reading = lists.reading_of(ranked, self._flow.table, only.rows)
        if reading is not None:
            self._clicks += 1
            listed = kept(reading, self._flow.table.keys, event.ts)
            self._add(listed.clicked(only, event.type, weight, event.ts))

    def figures(self) -> dict[str, Any]:
        """Return what came of it: refreshes, the share of them that served, each one's figures."""
        self._finish()
        served = sum(bool(p["open"] and p["serving"] is not None) for p in self._periods)
        return {
            "refreshes": len(self._periods),
            "served": served / max(1, len(self._periods)),
            "training_seconds": round(self._seconds, 1),
            "periods": self._periods,
        }

    def versions(self, at: int) -> tuple[list[bytes], bool]:
        """Return what `train` would have stored, and whether the first of them serves.

        at: now, epoch ms. The last version is what training goes on from; the one that serves
        comes before it. None before the first refresh.
        """
        self._finish()
        refresher = self._refresher
        latest = refresher.candidate()
        if latest is None:
            return [], False
        manifest = msgspec.structs.replace(
            Manifest.of(refresher.shape, self._rules),
            refresh=refresher.number,
            samples=refresher.seen,
            gate=tuple(refresher.gate.recent),
            made_at=at,
        )
        serves = refresher.serving is not None and self._flow.lists.network is not None
        weights = [refresher.serving, latest] if serves else [latest]
        return [pack(manifest, each) for each in weights if each is not None], serves

    def resume(self, serving: bytes | None, latest: bytes | None) -> None:
        """Go on from what `versions` returned: the one that serves, and the last one."""
        shape = self._refresher.shape
        if latest is not None:
            manifest, weights = unpack(latest, shape)
            done = manifest.refresh, manifest.samples, manifest.gate
            self._refresher.resume(weights, *done)
        if serving is not None:
            self._refresher.serving = unpack(serving, shape).arrays
            self._flow.lists.network = self._served(self._refresher.serving)

    def _add(self, sample: Sample) -> None:
        if self._refresher.notice(sample):
            self._waiting.append(sample)
            if why := self._refresher.due(len(self._waiting)):
                self._finish()
                self._refresh(why)

    def _refresh(self, why: str) -> None:
        """Let serve what the samples say is best, and begin to learn from them."""
        began, refresher, lists = self._clock(), self._refresher, self._flow.lists
        for sample in self._waiting:
            refresher.replay.add(sample)
        self._waiting = []
        known = lists.reader.known(self._flow.table)
        judged = refresher.judge(*known)
        wanted = refresher.serving if judged.decision.open else None
        if wanted is None or judged.weights is not None or lists.network is None:
            lists.network = None if wanted is None else self._served(wanted)
        self._seconds += self._clock() - began
        clicks = self._clicks

        def learn() -> tuple[dict[str, Any], float]:
            began = self._clock()
            period = refresher.learn(judged, *known)
            told = {**period.decision.told(), "losses": [*period.losses]}
            which = {"clicks": clicks, "refresh": period.number, "why": why}
            return {**which, **told}, self._clock() - began

        self._running = self._thread.submit(learn)

    def _served(self, weights: Any) -> Served:
        return Served.of(weights, self._rules.shrinkage)

    def _finish(self) -> None:
        """Wait until the samples of the last refresh are learnt, if they still are."""
        if self._running is None:
            return
        told, seconds = self._running.result()
        self._periods.append(told)
        self._seconds += seconds
        self._running = None
