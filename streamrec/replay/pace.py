"""How fast a replay sends: pure decisions, with the time as an argument."""

from collections import deque
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

SMALLEST = 200
LARGEST = 50_000
MEASURED_SECONDS = 1.0


class Pace(Protocol):
    """Says how many events may be sent."""

    def allowed(self, now: float, sent: int) -> int:
        """Return how many more events may be sent now, `sent` having been sent before."""


class SteadyPace:
    """A fixed number of events a second, counted from the first question."""

    def __init__(self, events_per_second: float) -> None:
        self._rate = events_per_second
        self._start: float | None = None

    def allowed(self, now: float, sent: int) -> int:
        """Return what is missing to rate * elapsed."""
        self._start = now if self._start is None else self._start
        return int((now - self._start) * self._rate) - sent


class EventTimePace:
    """The pace of the events themselves, `factor` times as fast; `times` is int64[n] in ms."""

    def __init__(self, times: NDArray[np.int64], factor: float) -> None:
        self._times = times
        self._factor = factor
        self._start: float | None = None

    def allowed(self, now: float, sent: int) -> int:
        """Return how many events from `sent` on have a time that has come."""
        if len(self._times) == 0:
            return 0
        self._start = now if self._start is None else self._start
        clock = self._times[0] + (now - self._start) * self._factor * 1000
        return int(np.searchsorted(self._times, clock, side="right")) - sent


class KeepUpPace:
    """As many events on their way as the learners take in within `target_seconds`.

    By Little's law events wait (on their way) / (learnt a second), so holding the former at
    target * rate holds the wait at the target; the rate is that of the last second. Never fewer
    than 200, or batches stay too small for the rate to grow, and never more than 50,000.
    """

    def __init__(self, target_seconds: float) -> None:
        self._target = target_seconds
        self._samples: deque[tuple[float, int]] = deque()
        self.learnt = 0
        self.window = SMALLEST
        self.moved_at: float | None = None

    def observe(self, now: float, learnt: int) -> None:
        """Take in how many of the sent events have been learnt by now."""
        if learnt > self.learnt or self.moved_at is None:
            self.moved_at = now
        self.learnt = learnt
        self._samples.append((now, learnt))
        while len(self._samples) > 2 and self._samples[1][0] <= now - MEASURED_SECONDS:
            self._samples.popleft()
        first, before = self._samples[0]
        if now > first:
            wanted = (learnt - before) / (now - first) * self._target
            self.window = max(SMALLEST, min(LARGEST, int(wanted)))

    def stalled_seconds(self, now: float, sent: int) -> float:
        """Return for how long nothing was learnt although something is on its way."""
        return now - self.moved_at if self.moved_at is not None and sent > self.learnt else 0.0

    def allowed(self, now: float, sent: int) -> int:
        """Return the room left in the window."""
        return self.window - (sent - self.learnt)
