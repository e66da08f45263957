"""The neural ranker in an evaluation: trained, judged and served as live, within the one loop."""

from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

import msgspec

from streamrec.events.event import Event
from streamrec.flow import Flow
from streamrec.neural.sample import click, kept
from streamrec.neural.serve import Served
from streamrec.neural.version import Manifest, pack, unpack
from streamrec.ranking.lists import Ranked
from streamrec.settings.sections import Settings
from streamrec.state.keys import key_of


def why_off(settings: Settings) -> str:
    """Return why there is no neural ranker under these settings; "" if there is one."""
    if not settings.neural.on:
        return "neural.on is false"
    if settings.blend.kind != "learned":
        return f"it orders what the learned blend proposes; blend.kind is {settings.blend.kind}"
    if find_spec("torch") is None:
        return "torch is not installed: pip install 'streamrec[neural]'"
    return ""


class NeuralRanker:
    """Every click on a list is a sample; each refresh may change what serves. Needs torch."""

    def __init__(self, flow: Flow, clock: Callable[[], float]) -> None:
        from streamrec.neural.refresh import Refresher

        self._flow, self._clock, self._seconds = flow, clock, 0.0
        self._rules = flow.settings.neural
        lists = flow.lists
        reader, table = lists.reader, flow.table
        self._refresher = Refresher(self._rules, reader.shape, lambda: reader.known(table))
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

    def figures(self) -> dict[str, Any]:
        """Return what came of it: refreshes, the share of them that served, each one's figures."""
        served = sum(bool(p["open"] and p["serving"] is not None) for p in self.periods)
        return {
            "refreshes": len(self.periods),
            "served": served / max(1, len(self.periods)),
            "training_seconds": round(self._seconds, 1),
            "periods": self.periods,
        }

    def versions(self, at: int) -> tuple[list[bytes], bool]:
        """Return what `train` would have stored, and whether the first of them serves.

        at: now, epoch ms. The last version is what training goes on from; the one that serves
        comes before it. None before the first refresh.
        """
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
            self._flow.lists.network = Served.of(self._refresher.serving)

    def _refresh(self) -> None:
        started = self._clock()
        period = self._refresher.refresh()
        self._seconds += self._clock() - started
        serving = self._refresher.serving
        wanted = serving if period.decision.open else None
        if wanted is None or period.weights is not None or self._flow.lists.network is None:
            self._flow.lists.network = None if wanted is None else Served.of(wanted)
        self.periods.append({"clicks": self._clicks, **_told(period)})


def _told(period: Any) -> dict[str, Any]:
    decision = period.decision._asdict()
    for name in ("against_blend", "against_serving"):
        decision[name] = decision[name] and decision[name]._asdict()
    return {"refresh": period.number, **decision, "losses": list(period.losses)}
