"""Rows of the operations board: what goes on inside; lag, work, state."""

from streamrec.dashboards.panel import (
    NEUTRAL,
    Panel,
    Query,
    Row,
    above,
    must_be_zero,
)
from streamrec.dashboards.promql import increase, quantile, rate

LAG = Row(
    "Lag and partitions",
    (
        Panel(
            "Messages not learnt",
            "Near 0; a hill after a restart is normal. Rising without end: more learn processes, "
            "up to the partitions.",
            "short",
            (Query("sum by (topic) (streamrec_lag_messages)", "{{topic}}"),),
            NEUTRAL,
        ),
        Panel(
            "Partitions furthest behind",
            "One far above the others: a user floods (events.flood_per_minute), or a poison "
            "message is tried.",
            "short",
            (
                Query(
                    "topk(5, max by (topic, partition) (streamrec_lag_messages))",
                    "{{topic}} {{partition}}",
                ),
            ),
            NEUTRAL,
        ),
        Panel(
            "Partitions without an owner",
            "0, but for some seconds while the group deals them out. Else start learn processes; "
            "nobody learns these.",
            "none",
            (
                Query(
                    "max by (topic) (streamrec_topic_partitions) "
                    "- sum by (topic) (streamrec_partitions_assigned)",
                    "{{topic}}",
                ),
            ),
            must_be_zero(),
        ),
        Panel(
            "Partitions by owner",
            "Of events. Even among the learn processes.",
            "none",
            (
                Query(
                    'sum by (instance) (streamrec_partitions_assigned{topic="events"})',
                    "{{instance}}",
                ),
            ),
            NEUTRAL,
            "stack",
            12,
        ),
        Panel(
            "Rebalances and refetches in 5 min",
            "At starts and stops only. Often: processes are killed or time out "
            "(kafka.session_timeout_seconds). Refetched: Kafka delivered nothing.",
            "none",
            (
                Query(increase("rebalances_total", "kind"), "{{kind}}"),
                Query(increase("partition_refetches_total"), "refetched"),
            ),
            NEUTRAL,
            width=12,
        ),
    ),
)

WORK = Row(
    "Work",
    (
        Panel(
            "Fold of a batch",
            "Computing of learn. Grows with the batch; a second and more: more learn processes.",
            "s",
            (
                Query(quantile(0.5, "fold_seconds", "stage"), "{{stage}} median"),
                Query(quantile(0.99, "fold_seconds", "stage"), "{{stage}} 99 %"),
            ),
            above(0.5, 2),
        ),
        Panel(
            "Score of a batch",
            "Of up to lists.due_batch users: read, rank, publish. Grows with the catalogue.",
            "s",
            (
                Query(quantile(0.5, "score_seconds"), "median"),
                Query(quantile(0.99, "score_seconds"), "99 %"),
            ),
            above(0.5, 2),
        ),
        Panel(
            "Time since a loop came round",
            "Under a second. If it grows, the process hangs inside a call: its log, then restart "
            "it; nothing is lost.",
            "s",
            (
                Query(
                    "max by (instance, loop) (streamrec_turn_age_seconds)", "{{loop}} {{instance}}"
                ),
            ),
            above(10, 60),
        ),
        Panel(
            "Commits",
            "ok; conflict: another owner was first, normal while partitions move; failed: Redis.",
            "ops",
            (Query(rate("commits_total", "stage, result"), "{{stage}} {{result}}"),),
            NEUTRAL,
        ),
        Panel(
            "Errors",
            "0. Each ends in a new try from what Redis has. Redis: memory, disk, READONLY; "
            "Kafka: the brokers' logs.",
            "ops",
            (
                Query(rate("redis_errors_total", "op"), "Redis: {{op}}"),
                Query(rate("kafka_errors_total", "stage"), "Kafka: {{stage}}"),
                Query(rate("produce_errors_total"), "Kafka: not acknowledged"),
            ),
            above(0.1, 1),
        ),
        Panel(
            "Update records dropped in 5 min",
            "Repeats follow a restart. Of unknown items: they were deleted, items.max_items is "
            "tight.",
            "none",
            (
                Query(increase("channel_duplicates_total"), "repeats"),
                Query(increase("updates_unknown_item_total"), "unknown items"),
            ),
            NEUTRAL,
        ),
    ),
)

STATE = Row(
    "State and processes",
    (
        Panel(
            "Tables, of their limit",
            "At 100 % the least used rows go. More memory: raise the limit in the settings.",
            "percentunit",
            (
                Query(
                    # the others are windows, which are full by design
                    'sum by (table) (streamrec_rows{table!~"latest_items|duplicate_window"}) '
                    "/ (sum by (table) (streamrec_rows_limit) > 0)",
                    "{{table}}",
                ),
            ),
            above(0.9, 1),
        ),
        Panel(
            "Rows added and dropped",
            "Dropped users and items start at zero when they come back.",
            "ops",
            (
                Query(rate("rows_added_total", "table"), "{{table}} new"),
                Query(rate("rows_dropped_total", "table"), "{{table}} dropped"),
            ),
            NEUTRAL,
        ),
        Panel(
            "Copy of the items, behind by",
            "Updates that learn had not seen. Above some hundred costs quality: more learn "
            "processes.",
            "short",
            (Query("max by (instance) (streamrec_item_table_age_events)", "{{instance}}"),),
            above(500, 2000),
        ),
        Panel(
            "Copy of the items, age",
            "items.refresh_seconds, or a little more. If it grows, Redis is slow or down.",
            "s",
            (Query("max by (instance) (streamrec_item_table_age_seconds)", "{{instance}}"),),
            above(10, 30),
        ),
        Panel(
            "Memory",
            "Level after the caches are full. A line that climbs for days is a leak: report it.",
            "bytes",
            (Query('process_resident_memory_bytes{job=~"streamrec-.*"}', "{{instance}}"),),
            NEUTRAL,
        ),
        Panel(
            "CPU",
            "Cores in use. At 1 and above a process is busy: add another.",
            "none",
            (
                Query(
                    'rate(process_cpu_seconds_total{job=~"streamrec-.*"}[$__rate_interval])',
                    "{{instance}}",
                ),
            ),
            NEUTRAL,
        ),
        Panel(
            "Processes by version",
            "One version, but while you upgrade.",
            "none",
            (Query("count by (role, version) (streamrec_build_info)", "{{role}} {{version}}"),),
            NEUTRAL,
            "stack",
            12,
        ),
        Panel(
            "Restarts in 1 h",
            "0, but for deployments. Three in a quarter of an hour page: read the last log line.",
            "none",
            (
                Query(
                    'sum by (job) (changes(process_start_time_seconds{job=~"streamrec-.*"}[1h]))',
                    "{{job}}",
                ),
            ),
            above(1, 3),
            width=12,
        ),
    ),
)
