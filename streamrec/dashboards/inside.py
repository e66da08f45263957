"""Rows of the operations board: what goes on inside; lag, work, state."""

from streamrec.dashboards.panel import (
    Panel,
    Row,
    above,
    must_be_zero,
)
from streamrec.dashboards.promql import increase, median_and_tail, most_and_median, rate

OURS = '{job=~"streamrec-.*"}'
"""Processes of streamrec, in PromQL."""
OF_PARTITION = "max by (topic, partition) (streamrec_lag_messages)"
OF_EVENTS = '{topic="events"}'
OWNED = f"sum by (job, instance) (streamrec_partitions_assigned{OF_EVENTS})"
VERSIONS = "max by (job, instance, version) (streamrec_build_info)"


def of_each(metric: str, where: str = "") -> str:
    """Return a metric of each process."""
    return f"max by (job, instance) ({metric}{where})"


def of_role(expression: str) -> str:
    """Return the largest value of each role: the job without streamrec-."""
    named = f'label_replace({expression}, "role", "$1", "job", "streamrec-(.*)")'
    return f"max by (role) ({named})"


PROCESSES = {
    "Memory": of_each("process_resident_memory_bytes", OURS)
    + f" * on (job, instance) group_left (version) {VERSIONS}",
    "CPU": of_each(f"rate(process_cpu_seconds_total{OURS}[$__rate_interval])"),
    "Loop": of_each("streamrec_turn_age_seconds"),
    "Owns": OWNED,
    "Behind": of_each("streamrec_item_table_age_events"),
    "Running": of_each(f"time() - process_start_time_seconds{OURS}"),
}
"""The columns of the table of processes; the first one brings the version along."""

LAG = Row(
    "Lag and partitions",
    (
        Panel(
            "Messages not learnt",
            "Near 0; a hill after a restart is normal. Rising without end: more learn processes, "
            "up to the partitions.",
            "short",
            {"{{topic}}": "sum by (topic) (streamrec_lag_messages)"},
        ),
        Panel(
            "Partitions furthest behind",
            "One far above the others: a user floods (events.flood_per_minute), or a poison "
            "message is tried.",
            "short",
            {"Messages": f"topk(5, {OF_PARTITION})"},
            kind="table",
            sort="Messages",
        ),
        Panel(
            "Partitions without an owner",
            "0, but for some seconds while the group deals them out. Else start learn processes; "
            "nobody learns these.",
            "none",
            {
                "{{topic}}": (
                    "max by (topic) (streamrec_topic_partitions) "
                    "- sum by (topic) (streamrec_partitions_assigned)"
                )
            },
            must_be_zero(),
        ),
        Panel(
            "Partitions by owner",
            "Of events: how many the learn process with most has, and the one with least. At most "
            "one apart; further: a process is not ready, see Processes.",
            "none",
            {"most": f"max({OWNED})", "least": f"min({OWNED})"},
            width=12,
        ),
        Panel(
            "Rebalances and refetches in 5 min",
            "At starts and stops only. Often: processes are killed or time out "
            "(kafka.session_timeout_seconds). Refetched: nothing came, or a record was left out.",
            "none",
            {
                "{{kind}}": increase("rebalances_total", "kind"),
                "refetched": increase("partition_refetches_total"),
            },
            width=12,
        ),
    ),
)

WORK = Row(
    "Work",
    (
        Panel(
            "Commits",
            "ok; conflict: another owner was first, normal while partitions move; failed: Redis.",
            "ops",
            {"{{stage}} {{result}}": rate("commits_total", "stage, result")},
        ),
        Panel(
            "Since a loop came round",
            "Of the slowest process, under a second. If it grows, a process hangs inside a call: "
            "Processes says which; its log, then restart it; nothing is lost.",
            "s",
            {"{{loop}}": "max by (loop) (streamrec_turn_age_seconds)"},
            above(10, 60),
        ),
        Panel(
            "Errors",
            "0. Each ends in a new try from what Redis has. Redis: memory, disk, READONLY; "
            "Kafka: the brokers' logs.",
            "ops",
            {
                "Redis: {{op}}": rate("redis_errors_total", "op"),
                "Kafka: {{stage}}": rate("kafka_errors_total", "stage"),
                "Kafka: not acknowledged": rate("produce_errors_total"),
            },
            above(0.1, 1),
            height=10,
        ),
        Panel(
            "Updates dropped in 5 min",
            "Repeats follow a restart. Of unknown items: they were deleted, items.max_items is "
            "tight.",
            "none",
            {
                "repeats": increase("channel_duplicates_total"),
                "unknown items": increase("updates_unknown_item_total"),
            },
            height=10,
        ),
        Panel(
            "Fold of a batch",
            "Computing of learn. Grows with the batch; a second and more: more learn processes.",
            "s",
            median_and_tail("fold_seconds", "stage"),
            above(0.5, 2),
        ),
        Panel(
            "Score of a batch",
            "Of up to lists.due_batch users: read, rank, publish. Grows with the catalogue.",
            "s",
            median_and_tail("score_seconds"),
            above(0.5, 2),
        ),
    ),
    width=12,
)

STATE = Row(
    "State and processes",
    (
        Panel(
            "Tables, of their limit",
            "At 100 % the least used rows go. More memory: raise the limit in the settings.",
            "percentunit",
            {
                "{{table}}": (
                    'sum by (table) (streamrec_rows{table!~"latest_items|duplicate_window"}) '
                    "/ (sum by (table) (streamrec_rows_limit) > 0)"
                )
            },
            above(0.9, 1),
        ),
        Panel(
            "Rows added and dropped",
            "Dropped users and items start at zero when they come back.",
            "ops",
            {
                "{{table}} new": rate("rows_added_total", "table"),
                "{{table}} dropped": rate("rows_dropped_total", "table"),
            },
        ),
        Panel(
            "Copy of the items, behind",
            "Updates that learn had not seen. Above some hundred costs quality: more learn "
            "processes.",
            "short",
            most_and_median("streamrec_item_table_age_events"),
            above(500, 2000),
        ),
        Panel(
            "Copy of the items, age",
            "items.refresh_seconds, or a little more. If it grows, Redis is slow or down.",
            "s",
            most_and_median("streamrec_item_table_age_seconds"),
            above(10, 30),
        ),
        Panel(
            "Memory",
            "Of the largest process of a kind. Level after the caches are full; a line that climbs "
            "for days is a leak: report it.",
            "bytes",
            {"{{role}}": of_role(f"process_resident_memory_bytes{OURS}")},
        ),
        Panel(
            "CPU",
            "Cores in use, of the busiest process of a kind. At 1 and above, add another.",
            "none",
            {"{{role}}": of_role(f"rate(process_cpu_seconds_total{OURS}[$__rate_interval])")},
        ),
        Panel(
            "Processes by version",
            "One version, but while you upgrade.",
            "none",
            {"{{role}} {{version}}": "count by (role, version) (streamrec_build_info)"},
            kind="stack",
            width=12,
        ),
        Panel(
            "Restarts in 1 h",
            "0, but for deployments. Three in a quarter of an hour page: read the last log line.",
            "none",
            {"{{job}}": f"sum by (job) (changes(process_start_time_seconds{OURS}[1h]))"},
            above(1, 3),
            width=12,
        ),
        Panel(
            "Processes",
            "Which one it is, where a picture shows that something is wrong with one. Loop: since "
            "it came round, under a second. Owns: partitions of events. Behind: updates that its "
            "copy of the items lacks.",
            "none",
            PROCESSES,
            kind="table",
            height=9,
            sort="Job",
            width=24,
            units={"Memory": "bytes", "Loop": "s", "Behind": "short", "Running": "s"},
        ),
    ),
)
