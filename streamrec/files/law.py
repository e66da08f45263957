"""Which well-formed events the learners will refuse: what the settings say of types and times."""

import shlex
from collections.abc import Collection, Sequence
from datetime import UTC, datetime
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from streamrec.events.checks import TS_LIMIT, Rejected, unknown_type
from streamrec.files.cells import Reasons
from streamrec.settings.sections import EventSettings

SHOWN_TYPES = 8


class Law(NamedTuple):
    """The law of events.event.EventDecoder, for messages of one log time."""

    types: Collection[str] | None = None
    """Those that have a weight; None: any."""
    earliest: int = 0
    latest: int = TS_LIMIT
    """Bounds of the time in epoch milliseconds: others are too_old, or of the future."""


def law_of(settings: EventSettings, now: int) -> Law:
    """Return the law of messages whose log time is `now`, in epoch milliseconds."""
    age = round(settings.max_age_days * 86_400_000)
    latest = now + round(settings.max_ahead_seconds * 1000)
    return Law(settings.weights, now - age if age else 0, latest)


def unlawful(
    law: Law,
    types: NDArray[np.int32],
    names: Sequence[str],
    ts: NDArray[np.int64],
    good: NDArray[np.bool_],
) -> tuple[Reasons, list[str]]:
    """Return why rows that are `good` so far are refused, and their types that have no weight.

    `types` index `names`.
    """
    unknown = [law.types is not None and name not in law.types for name in names]
    strange = good & np.array([*unknown, False], np.bool_)[types]
    early, late = good & (ts < law.earliest), good & (ts > law.latest)
    reasons: Reasons = {}
    for row in np.flatnonzero(late).tolist():
        reasons[row] = Rejected("future", f"ts is {_moment(ts[row])}, which has not come yet")
    for row in np.flatnonzero(early).tolist():
        reasons[row] = Rejected("too_old", f"ts is {_moment(ts[row])}: see events.max_age_days")
    refusals = [unknown_type(name) for name in names]
    for row in np.flatnonzero(strange).tolist():
        reasons[row] = refusals[types[row]]
    return reasons, [names[code] for code in np.unique(types[strange])]


def advice(unknown: Sequence[str]) -> str:
    """Return what makes events of these types count, as it is typed."""
    if not unknown:
        return ""
    shown = unknown[:SHOWN_TYPES]
    weights = " ".join(f"--set {shlex.quote(f'events.weights.{name}=1')}" for name in shown)
    more = f" and {len(unknown) - len(shown)} more" if len(unknown) > len(shown) else ""
    return (
        f" To have them count: streamrec {weights}{more}, or call them as a known type: "
        f"--types-map {shlex.quote(f'{shown[0]}=click')}."
    )


def _moment(ts: int) -> str:
    return f"{datetime.fromtimestamp(int(ts) / 1000, UTC):%Y-%m-%d %H:%M} UTC"
