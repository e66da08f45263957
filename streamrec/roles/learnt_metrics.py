"""Counts what the user stage has stored of a batch of events."""

from collections import Counter
from collections.abc import Sequence

from streamrec.events.event import Rejected
from streamrec.monitoring.metrics import Metrics
from streamrec.roles.live_metrics import observe_ages
from streamrec.state.user_fold import UserFold


def count_rejected(metrics: Metrics, rejected: Sequence[Rejected]) -> None:
    """Count what went to the dead letters."""
    for why in rejected:
        metrics.events_rejected.labels(why.reason).inc()
    metrics.dead_letters.inc(len(rejected))


def count_fold(metrics: Metrics, stage: str, partition: str, fold: UserFold) -> None:
    """Count the events of one batch, and how long ago the log got them."""
    counts = fold.counts
    metrics.batch_events.labels(stage).observe(counts.consumed)
    metrics.events_consumed.labels(partition).inc(counts.consumed)
    metrics.events_duplicate.inc(counts.duplicate)
    metrics.events_suppressed.labels("flood").inc(counts.suppressed)
    metrics.events_control.inc(counts.control)
    metrics.events_held.inc(sum(fold.held))
    for kind, number in Counter(e.type for _, e in fold.accepted).items():
        metrics.events_accepted.labels(kind).inc(number)
    observe_ages(metrics, stage, [at for at, _ in fold.accepted])
