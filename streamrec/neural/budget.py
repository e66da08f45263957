"""Which lists keep what a sample would need: a random share that keeps to a budget of bytes."""

HELD_SECONDS = 20.0
"""The budget of so many seconds may be spent at once."""


class SampleBudget:
    """A bucket that fills at the budget's rate; a list is chosen with the chance of its level.

    Lists that come at r a second, of b bytes each, settle at the share level = budget / (r b): so
    few lists are all kept, and many in the mean not beyond the budget. The first seconds may take
    HELD_SECONDS of it on top.
    """

    def __init__(self, bytes_per_second: float) -> None:
        self._rate = bytes_per_second
        self._held = self._most = HELD_SECONDS * bytes_per_second
        self._at: float | None = None

    def share(self, now: float) -> float:
        """Return the share of the lists made at `now` (seconds) that are kept, 0 to 1."""
        if self._at is not None:
            self._held = min(self._most, self._held + self._rate * max(0.0, now - self._at))
        self._at = now
        return max(0.0, self._held / self._most) if self._most else 0.0

    def spend(self, count: int) -> None:
        """Take `count` bytes off."""
        self._held -= count
