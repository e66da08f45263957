"""Clicks on lists, as samples for the neural ranker: of what a list knew when it was made."""

from collections.abc import Sequence
from typing import Any

from streamrec.events.event import Event
from streamrec.monitoring.metrics import Metrics
from streamrec.neural.sample import MOST_BYTES, click, unpacked
from streamrec.settings.sections import Settings
from streamrec.state.keys import key_of
from streamrec.state.served import shown_at

SEEDS = 2**63


class ClickSamples:
    """Makes a sample of a click where the scorer kept what the network would have read."""

    def __init__(self, settings: Settings, metrics: Metrics) -> None:
        self._weights = settings.blend.event_weights
        self._oldest_ms = settings.neural.task_seconds * 1000.0
        self._metrics = metrics

    def of(
        self,
        clicks: Sequence[tuple[int, Event]],
        shown: Sequence[bytes | None],
        readings: Sequence[bytes | None],
    ) -> list[bytes]:
        """Return the samples; clicks: log time and event; for each, what its user was served."""
        made: list[bytes] = []
        for (at, event), row, reading in zip(clicks, shown, readings, strict=True):
            if row and reading and self._weight(event) > 0.0:
                sample = self._of_one(at, event, row, reading)
                if isinstance(sample, bytes):
                    made.append(sample)
                elif sample:
                    self._metrics.neural.click_samples.labels(sample).inc()
        return made

    def _of_one(self, at: int, event: Event, row: bytes, reading: bytes) -> Any:
        """Return the sample's bytes, or why there is none; "" for a list that is gone."""
        listed = unpacked(reading)
        if listed is None:
            return "damaged"
        if listed.made_at != shown_at(row):
            return ""  # that list was replaced by one of which nothing was kept
        if at - listed.made_at > self._oldest_ms:
            return "old"
        key = key_of(event.item)
        seed = (key ^ event.ts) % SEEDS
        sample = click(listed, key, event.type, self._weight(event), at, seed)
        if sample is None:
            return "outside"
        blob = sample.to_bytes()
        return blob if len(blob) <= MOST_BYTES else "too_large"

    def _weight(self, event: Event) -> float:
        return self._weights.get(event.type, 1.0)
