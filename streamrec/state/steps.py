"""What one batch of the user fold asks of the owners of items, event by event."""

from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from streamrec.settings.sections import Settings

Array = NDArray[Any]


class Steps(NamedTuple):
    """What the owners of items must do, one row an event; -1 = no item."""

    history: Array  # int32[n, longest window] earlier items, newest first
    context_weights: Array  # float32[n, context]
    scored: Array  # int32[n, 1 + negatives], the event's item first
    log_q: Array  # float32[n, 1 + negatives]
    rest: Array  # float32[n, 1 + negatives]
    z: Array  # float32[n, K]
    g: Array  # float32[n, K]
    gains: Array  # float32[n]: what the item's popularity gains
    gain_ts: Array  # int64[n]: as of this event time
    scorable: Array  # bool[n]: counts for live metrics
    noted: Array  # bool[n]: one of those that items are judged by
    new: Array  # bool[n]: a newcomer's
    held: Array  # bool[n]: teaches nobody but the user
    released: Array  # int32[n, 1 + newcomer_items]: an item held before, and the user's before it
    release_gains: Array  # float32[n]: what its popularity gains
    release_ts: Array  # int64[n]: as of this event time
    window: int  # of the pairs

    @classmethod
    def empty(cls, n: int, settings: Settings, window: int) -> Self:
        """Return room for the steps of n events."""
        factors = settings.factors
        return cls(
            np.empty((n, max(factors.context, window)), np.int32),
            np.zeros((n, factors.context), np.float32),
            np.empty((n, 1 + factors.negatives), np.int32),
            np.zeros((n, 1 + factors.negatives), np.float32),
            np.zeros((n, 1 + factors.negatives), np.float32),
            np.zeros((n, factors.size), np.float32),
            np.zeros((n, factors.size), np.float32),
            np.zeros(n, np.float32),
            np.zeros(n, np.int64),
            np.zeros(n, np.bool_),
            np.zeros(n, np.bool_),
            np.zeros(n, np.bool_),
            np.zeros(n, np.bool_),
            np.empty((n, 1 + settings.users.newcomer_items), np.int32),
            np.zeros(n, np.float32),
            np.zeros(n, np.int64),
            window,
        )

    def part(self, first: int, end: int) -> tuple[Any, ...]:
        """Return what is there of these events, as `fold` takes it."""
        return (*(array[first:end] for array in self[:-1]), self.window)
