"""The trainer's side of the versions: it stores each, and moves the pointer as the gate decides."""

import logging
import time

import msgspec

from streamrec.errors import RefusedVersion
from streamrec.monitoring.metrics import Metrics
from streamrec.neural.gate import Decision
from streamrec.neural.network import Weights
from streamrec.neural.reading import Shape
from streamrec.neural.refresh import Period, Refresher
from streamrec.neural.version import Manifest, Version, pack, unpack
from streamrec.roles.training.training_input import Learnt
from streamrec.settings.sections import Settings
from streamrec.transport.redis.versions import Versions, decoded

logger = logging.getLogger(__name__)
UNKNOWN = -1


class PublishedVersions:
    """A version is stored by the refresh that made it, and may be named by the next one."""

    def __init__(
        self, settings: Settings, shape: Shape, versions: Versions, metrics: Metrics
    ) -> None:
        self._rules = settings.neural
        self._shape = shape
        self._versions = versions
        self._metrics = metrics
        self._latest = 0  # holds the weights that the next refresh judges
        self._serving = UNKNOWN  # whose weights the gate compares with
        self._pointer = b""

    def resume(self, refresher: Refresher) -> Manifest | None:
        """Let the refresher go on from the latest version that fits; return its manifest."""
        for number in reversed(self._versions.numbers()):
            version = self._load(number)
            if version is not None:
                manifest = version.manifest
                refresher.resume(version.arrays, manifest.refresh, manifest.samples, manifest.gate)
                self._latest = number
                self._metrics.neural.stored.set(number)
                fields = {"version": number, "samples": manifest.samples}
                logger.info("training goes on from a stored version", extra=fields)
                return manifest
        return None

    def follow(self, refresher: Refresher) -> None:
        """Let the gate compare with what serves now: a person may have changed it."""
        self._pointer = self._versions.pointer()
        serving = decoded(self._pointer).version
        if serving != self._serving:
            version = self._load(serving) if serving else None
            refresher.serving = None if version is None else version.arrays
            self._serving = serving

    def publish(self, refresher: Refresher, period: Period, learnt: Learnt) -> None:
        """Decide on the latest version, then store the new one."""
        self._decide(period.decision)
        weights = refresher.candidate()
        assert weights is not None
        self._latest = self._add(refresher, period, learnt, weights)
        self._show(period)

    def _decide(self, decision: Decision) -> None:
        now, before = int(time.time() * 1000), decoded(self._pointer)
        if self._latest and decision.candidate is not None:
            self._versions.decide(self._latest, msgspec.json.encode(decision.told()))
        version = self._latest if decision.promoted else before.version
        to = before.moved(version, open=version > 0 and decision.open, held=False, at=now)
        same = (to.version, to.open) == (before.version, before.open)
        if decision.promoted:
            self._serving = UNKNOWN
        if not before.held and not same and self._versions.move(self._pointer, to):
            fields = {"version": version, "serves": to.open, **figures(decision)}
            logger.info("the gate has decided", extra=fields)

    def _add(self, refresher: Refresher, period: Period, learnt: Learnt, weights: Weights) -> int:
        manifest = msgspec.structs.replace(
            Manifest.of(self._shape, self._rules),
            refresh=period.number,
            samples=refresher.seen,
            clicked_from=learnt.clicked_from,
            clicked_to=learnt.clicked_to,
            losses=self._losses(period),
            offsets=learnt.offsets,
            gate=tuple(refresher.gate.recent),
            made_at=int(time.time() * 1000),
        )
        number = self._versions.add(pack(manifest, weights))
        self._metrics.neural.stored.set(number)
        fields = {"version": number, "samples": period.decision.samples, **self._losses(period)}
        logger.info("a version is stored", extra=fields)
        return number

    def _load(self, number: int) -> Version | None:
        """Return a version that this trainer can go on from; None where there is none."""
        try:
            version = unpack(self._versions.get(number), self._shape)
            sizes = version.manifest.units, version.manifest.hidden, list(version.manifest.tasks)
            if sizes != (self._rules.units, self._rules.hidden, list(self._rules.tasks)):
                raise RefusedVersion("its units, hidden units or tasks are not those of [neural]")
            return version
        except RefusedVersion as error:
            fields = {"version": number, "cause": str(error)}
            logger.warning("a version is of no use here", extra=fields)
            return None

    def _losses(self, period: Period) -> dict[str, float]:
        return dict(zip(self._rules.tasks, period.losses, strict=True))

    def _show(self, period: Period) -> None:
        for task, loss in self._losses(period).items():
            self._metrics.neural.loss.labels(task).set(loss)
        for of, gain in figures(period.decision).items():
            self._metrics.neural.gain.labels(of).set(gain)
        self._metrics.neural.gate_open.set(period.decision.open)


def figures(decision: Decision) -> dict[str, float]:
    """Return the mean gains that the decision rests on, of those that there are."""
    each = {name: getattr(decision, name) for name in ("blend", "serving", "candidate")}
    return {name: round(gain, 4) for name, gain in each.items() if gain is not None}
