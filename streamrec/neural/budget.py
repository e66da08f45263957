"""Which lists keep what a sample would need: a random share that keeps to a budget of bytes."""

from streamrec.settings.sections import Settings

HELD_SECONDS = 20.0
"""The budget of so many seconds may be spent at once."""


def budget_of(settings: Settings) -> float:
    """Return how many bytes/s of readings are kept; none where nothing would learn from them."""
    wanted = settings.neural.on and settings.blend.kind == "learned"
    return settings.neural.sample_bytes_per_second if wanted else 0.0


class SampleBudget:
    """A bucket that fills at the budget's rate; a list is chosen with the chance of its level.

    Lists that come at r a second, of b bytes each, settle at the share level = budget / (r b): so
    few lists are all kept, and many in the mean not beyond the budget. The first seconds may take
    HELD_SECONDS of it on top. Several buckets are one where each is told, now and then, what all of
    them hold (`settle`).
    """

    def __init__(self, bytes_per_second: float) -> None:
        self.rate = bytes_per_second
        self.most = self._held = HELD_SECONDS * bytes_per_second
        self._at: float | None = None
        self._spent = 0

    def share(self, now: float) -> float:
        """Return the share of the lists made at `now` (seconds) that are kept, 0 to 1."""
        if self._at is not None:
            self._held = min(self.most, self._held + self.rate * max(0.0, now - self._at))
        self._at = now
        return max(0.0, self._held / self.most) if self.most else 0.0

    def spend(self, count: int) -> None:
        """Take `count` bytes off."""
        self._held -= count
        self._spent += count

    @property
    def spent(self) -> int:
        """Return how many bytes were spent since the last `settle`."""
        return self._spent

    def settle(self, held: float, now: float) -> None:
        """Take over what the shared bucket holds at `now`, with all that was spent here."""
        self._held, self._at, self._spent = held, now, 0
