"""How full the tables of the user shards are."""

from collections.abc import Sequence

from streamrec.monitoring.metrics import Metrics
from streamrec.settings.sections import UserSettings
from streamrec.state.ring import Ring
from streamrec.state.user_shard import UserShard


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
