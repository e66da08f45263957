"""What the demonstration says of the neural ranker: that it came, was judged, serves, and gains."""

from typing import Any

from streamrec.monitoring.numbers import Samples, total

STORED = "streamrec_train_version"
SERVES = "streamrec_network_version"
GAIN = "streamrec_train_gain"
LEARNT = "streamrec_train_samples_total"


class Network:
    """Follows the metrics of `train` and `score`, and puts what has changed into words."""

    def __init__(self) -> None:
        self._stored = self._serves = 0
        self._trained: Samples = {}

    def news(self, trained: Samples | None, scored: Samples) -> list[str]:
        """Return what is new, in sentences; None while `train` does not answer."""
        self._trained = trained or self._trained
        stored, serves = int(total(self._trained, STORED)), int(total(scored, SERVES))
        told = []
        if stored and not self._stored:
            told.append(
                f"a first neural ranker is trained, on {self._clicks():,.0f} clicks on lists; "
                "the next clicks judge it before it may order a list"
            )
        if serves != self._serves:
            told.append(self._swapped(serves))
        self._stored, self._serves = stored, serves
        return told

    def summary(self) -> str | None:
        """Return a closing sentence; None where nothing was trained."""
        if not self._stored:
            return None
        which = f"version {self._serves} orders the lists" if self._serves else "the blend serves"
        gain = self._gain()
        if gain is None:
            return f"Neural ranker: {self._stored} versions trained, none judged yet; {which}."
        return (
            f"Neural ranker: {self._stored} versions trained on {self._clicks():,.0f} clicks; "
            f"{which}. On the clicks that the last judgement rests on, before it learnt them, its "
            f"discounted gain is {gain:+.1%} of the blend's."
        )

    def figures(self) -> dict[str, Any]:
        """Return what --json writes."""
        return {"stored": self._stored, "serves": self._serves, "gain": self._gain()}

    def _swapped(self, serves: int) -> str:
        gain, by = self._gain(), "the neural ranker"
        worth = "" if gain is None else f" ({gain:+.1%} discounted gain on clicks it had not seen)"
        if not serves:
            return f"{by} is off again: of late the blend alone was better{worth}"
        return f"{by}, version {serves}, orders the lists from now on{worth}"

    def _clicks(self) -> float:
        return total(self._trained, LEARNT, kind="new")

    def _gain(self) -> float | None:
        """Return what the judged version gains over the blend, as a share; None: not judged."""
        blend = total(self._trained, GAIN, order="blend")
        mine = total(self._trained, GAIN, order="candidate")
        return mine / blend - 1.0 if blend and mine else None
