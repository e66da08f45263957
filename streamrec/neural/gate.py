"""The gate: which network serves, judged on clicks that none of them has learnt from yet.

Of each period's samples the blend alone, the serving network and the newly trained one are scored
before they are trained on. The new one takes over unless it is worse; the one that serves does so
while the last periods say that lists are better for it. A network that began from nothing takes the
new one's place in training only where it is better beyond doubt.
"""

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
LISTED = 20
BEYOND_DOUBT = 2.0
"""Standard errors."""


class Judged(NamedTuple):
    """A difference of mean discounted gains, with its standard error."""

    gain: float
    error: float


class Decision(NamedTuple):
    """What was decided of one period, and why."""

    samples: int
    blend: float  # mean discounted gains
    serving: float | None
    candidate: float | None
    against_blend: Judged | None  # of what serves now
    against_serving: Judged | None  # of the new one against what served
    scratch: Judged | None  # of the network from nothing against the new one, where one was due
    restarted: bool  # training goes on with the network from nothing
    promoted: bool
    open: bool

    def told(self) -> dict[str, Any]:
        """Return it as plain values."""
        out = self._asdict()
        for name in ("against_blend", "against_serving", "scratch"):
            out[name] = out[name] and out[name]._asdict()
        return out


class Gate:
    """Decides period by period; it remembers the last `periods`."""

    def __init__(self, periods: int, recent: tuple[float, ...] = ()) -> None:
        self._periods = periods
        self.recent = list(recent[-periods:])

    def judge(
        self,
        blend: Array,
        serving: Array | None,
        candidate: Array | None,
        scratch: Array | None = None,
    ) -> Decision:
        """Decide from the gains float64[samples] of each; None: there is no such network."""
        against = check = None
        promoted = candidate is not None and serving is None
        if candidate is not None and serving is not None:
            against = _judged(candidate, serving)
            promoted = against.gain > -against.error  # worse by less than chance is not worse
        if candidate is not None and scratch is not None:
            check = _judged(scratch, candidate)
        best = candidate if promoted else serving
        of_blend = None if best is None else _judged(best, blend)
        if of_blend is not None:
            self.recent = [*self.recent, of_blend.gain * len(blend)][-self._periods :]
        return Decision(
            len(blend), float(blend.mean()), _mean(serving), _mean(candidate), of_blend, against,
            scratch=check,
            restarted=check is not None and check.gain > BEYOND_DOUBT * check.error,
            promoted=promoted, open=sum(self.recent) > 0.0,
        )  # fmt: skip


def gains(scores: Array, stands: Array) -> Array:
    """Return float64[samples]: the discounted gain of the clicked candidate, number 0.

    scores: float[samples, n]; stands: float[samples, n], how many candidates each stands for, 0
    where there is none. Its rank is the sum over those above it; ties half. Beyond the list of 20
    the gain is 0.
    """
    mine, others = scores[:, :1], scores[:, 1:]
    rank = (stands[:, 1:] * ((others > mine) + 0.5 * (others == mine))).sum(1)
    out: Array = np.where(rank < LISTED, 1.0 / np.log2(rank + 2.0), 0.0)
    return out


def _judged(mine: Array, theirs: Array) -> Judged:
    difference = mine - theirs
    error = difference.std() / math.sqrt(max(1, len(difference)))
    return Judged(float(difference.mean()), float(error))


def _mean(values: Array | None) -> float | None:
    return None if values is None else float(values.mean())
