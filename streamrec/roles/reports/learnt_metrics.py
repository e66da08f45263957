"""Counts what the stages have stored of a batch, and how full the tables of user shards are."""

import time
from collections import Counter
from collections.abc import Sequence

from streamrec.events.event import Rejected
from streamrec.events.merging import Ask
from streamrec.monitoring.metrics import Metrics
from streamrec.settings.sections import UserSettings
from streamrec.state.ring import Ring
from streamrec.state.user_fold import UserFold
from streamrec.state.user_shard import UserShard

SAMPLE = 200
"""Of a batch, about so many events have their age observed."""


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
    asked = sum(isinstance(what, Ask) for _, what in fold.moves)
    metrics.merges.labels("asked").inc(asked)
    metrics.merges.labels("moved").inc(fold.arrived)
    for kind, number in Counter(e.type for _, e in fold.accepted).items():
        metrics.events_accepted.labels(kind).inc(number)
    observe_ages(metrics, stage, [at for at, _ in fold.accepted])


def observe_ages(metrics: Metrics, stage: str, times: Sequence[int]) -> None:
    """Observe how long ago the log got events (ms; -1 unknown), at most about SAMPLE of them."""
    histogram, now = metrics.click_to_learnt_seconds.labels(stage), time.time() * 1000.0
    for at in times[:: 1 + len(times) // SAMPLE]:
        if at >= 0:
            histogram.observe(max(0.0, now - at) / 1000.0)


def report_rows(settings: UserSettings, shards: Sequence[UserShard], metrics: Metrics) -> None:
    """Set the gauges of rows and of their limits, over the shards of this process."""
    n = len(shards)
    cached, stored = (
        sum(len(s.users.row_of) for s in shards),
        sum(s.stored_users for s in shards),
    )
    tables = {
        "users_cached": (cached, n * settings.cached_users),
        "users_stored": (stored, n * settings.max_users),
        "duplicate_window": _filled([s.duplicates.ids for s in shards]),
        "latest_items": _filled([s.latest.ring for s in shards]),
    }
    for table, (rows, limit) in tables.items():
        metrics.rows.labels(table).set(rows)
        metrics.rows_limit.labels(table).set(limit)


def _filled(rings: Sequence[Ring]) -> tuple[int, int]:
    """Return how many entries rings hold, and how many fit."""
    return sum(ring.size for ring in rings), sum(len(ring.keys) for ring in rings)
