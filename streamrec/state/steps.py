"""What one batch of the user fold asks of the owners of items, event by event."""

from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from streamrec.settings.sections import Settings

Array = NDArray[Any]


class Steps(NamedTuple):
    """What the owners of items must do, one row an event; -1 = no item.

    Where there are two of each, the second is of an earlier event of the user that was held back
    and is released by this one.
    """

    history: Array  # int32[n, 2, longest window] earlier items, newest first
    context_weights: Array  # float32[n, 2, context]
    scored: Array  # int32[n, 2, 1 + negatives], the event's item first
    log_q: Array  # float32[n, 2, 1 + negatives]
    rest: Array  # float32[n, 2, 1 + negatives]
    z: Array  # float32[n, 2, K]
    g: Array  # float32[n, 2, K]
    gains: Array  # float32[n, 2]: what the item's popularity gains
    gain_ts: Array  # int64[n, 2]: as of this event time
    gaps: Array  # uint8[n]: time since the user took the item before (repeats.gap_code)
    scorable: Array  # bool[n]: counts for live metrics
    noted: Array  # bool[n]: one of those that items are judged by
    new: Array  # bool[n]: a newcomer's
    held: Array  # bool[n]: teaches nobody but the user
    released: Array  # int32[n]: the item of the event that is released
    window: int  # of the pairs

    @classmethod
    def empty(cls, n: int, settings: Settings, window: int) -> Self:
        """Return room for the steps of n events."""
        factors = settings.factors
        return cls(
            history=np.empty((n, 2, max(factors.context, window)), np.int32),
            context_weights=np.zeros((n, 2, factors.context), np.float32),
            scored=np.empty((n, 2, 1 + factors.negatives), np.int32),
            log_q=np.zeros((n, 2, 1 + factors.negatives), np.float32),
            rest=np.zeros((n, 2, 1 + factors.negatives), np.float32),
            z=np.zeros((n, 2, factors.size), np.float32),
            g=np.zeros((n, 2, factors.size), np.float32),
            gains=np.zeros((n, 2), np.float32),
            gain_ts=np.zeros((n, 2), np.int64),
            gaps=np.zeros(n, np.uint8),
            scorable=np.zeros(n, np.bool_),
            noted=np.zeros(n, np.bool_),
            new=np.zeros(n, np.bool_),
            held=np.zeros(n, np.bool_),
            released=np.empty(n, np.int32),
            window=window,
        )

    def part(self, first: int, end: int) -> tuple[Any, ...]:
        """Return what is there of these events, as `fold` takes it."""
        return (*(array[first:end] for array in self[:-1]), self.window)
