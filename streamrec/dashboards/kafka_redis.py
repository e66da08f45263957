"""streamrec / Kafka and Redis: what the log and the store cost, and what they refuse."""

from streamrec.dashboards.panel import (
    NEUTRAL,
    Board,
    Panel,
    Query,
    Row,
    above,
    must_be_zero,
    stat,
)
from streamrec.dashboards.promql import increase, quantile, rate

NOW = Row(
    "Now",
    (
        stat(
            "Redis memory",
            "Rows, lists and what lists showed. Grows with users until lists expire "
            "(lists.ttl_seconds).",
            "bytes",
            "max(streamrec_redis_memory_bytes)",
            NEUTRAL,
            1,
        ),
        stat(
            "Memory a user",
            "Redis memory over stored users. Some 5 kB with a list; more: long histories, or many "
            "items for few users.",
            "bytes",
            "max(streamrec_redis_memory_bytes) "
            '/ clamp_min(sum(streamrec_rows{table="users_stored"}), 1)',
            NEUTRAL,
            1,
        ),
        stat(
            "Keys evicted",
            "Must be 0: what Redis throws away is learnt state, and gone. Set maxmemory-policy "
            "noeviction.",
            "short",
            "max(streamrec_redis_evicted_keys)",
            must_be_zero(),
            0,
        ),
        stat(
            "Commit to Redis, 99 %",
            "One transaction. Above 50 ms: its disk (appendfsync), its CPU, or the way there.",
            "s",
            quantile(0.99, "commit_seconds"),
            above(0.05, 0.5),
            0,
        ),
        stat(
            "Kafka acknowledges, 99 %",
            "Of a batch's updates, on all replicas. Above 100 ms every list comes later by it.",
            "s",
            quantile(0.99, "flush_seconds"),
            above(0.1, 1),
            0,
        ),
        stat(
            "Messages not learnt",
            "In all topics. Near 0, but after restarts.",
            "short",
            "sum(streamrec_lag_messages)",
            above(10_000, 100_000),
            0,
        ),
    ),
)

KAFKA = Row(
    "Kafka",
    (
        Panel(
            "Time to be acknowledged",
            "Learn waits for it before each commit. Slow: replicas behind, disk of a broker, "
            "min.insync.replicas.",
            "s",
            (
                Query(quantile(0.5, "flush_seconds"), "median"),
                Query(quantile(0.99, "flush_seconds"), "99 %"),
            ),
            above(0.1, 1),
        ),
        Panel(
            "Messages not learnt, by topic",
            "events and items wait for the user stage, updates for the item stage.",
            "short",
            (Query("sum by (topic) (streamrec_lag_messages)", "{{topic}}"),),
            NEUTRAL,
        ),
        Panel(
            "Events in a commit",
            "Grows with the load: larger batches cost less each. At batches.max_events learn is "
            "behind.",
            "short",
            (
                Query(quantile(0.5, "batch_events", "stage"), "{{stage}} median"),
                Query(quantile(0.99, "batch_events", "stage"), "{{stage}} 99 %"),
            ),
            NEUTRAL,
        ),
        Panel(
            "Errors of Kafka in 5 min",
            "0. Not acknowledged: the batch is sent again, the receiver drops repeats. No answer: "
            "brokers or network.",
            "none",
            (
                Query(increase("produce_errors_total"), "not acknowledged"),
                Query(increase("kafka_errors_total", "stage"), "no answer: {{stage}}"),
                Query(increase("partition_refetches_total", "stage"), "refetched: {{stage}}"),
            ),
            must_be_zero(),
        ),
        Panel(
            "Dead letters",
            "Refused messages, with the reason in their headers. Above 1 % of the traffic: find "
            "the producer.",
            "eps",
            (Query(rate("dead_letters_total"), "written"),),
            NEUTRAL,
        ),
        Panel(
            "Group changes in 5 min",
            "Partitions given and taken. At starts and stops only.",
            "none",
            (Query(increase("rebalances_total", "stage, kind"), "{{stage}} {{kind}}"),),
            NEUTRAL,
        ),
    ),
)

REDIS = Row(
    "Redis",
    (
        Panel(
            "Memory and its limit",
            "At the limit commits fail and learning waits. Limit 0: none is set, then the "
            "machine's memory is the limit.",
            "bytes",
            (
                Query("max(streamrec_redis_memory_bytes)", "used"),
                Query("max(streamrec_redis_memory_limit_bytes)", "limit"),
            ),
            NEUTRAL,
        ),
        Panel(
            "Memory gained in an hour",
            "At the pace of the last 30 minutes. Should come down as lists expire and tables fill.",
            "bytes",
            (
                Query(
                    "clamp_min(max(deriv(streamrec_redis_memory_bytes[30m])) * 3600, 0)",
                    "gained",
                ),
            ),
            NEUTRAL,
        ),
        Panel(
            "Commits",
            "User stage: one a partition and batch. Failed: memory, disk, READONLY.",
            "ops",
            (Query(rate("commits_total", "stage, result"), "{{stage}} {{result}}"),),
            NEUTRAL,
        ),
        Panel(
            "Time of a commit",
            "One transaction. If it climbs with the load, Redis' core is full: Redis Cluster.",
            "s",
            (
                Query(quantile(0.5, "commit_seconds", "stage"), "{{stage}} median"),
                Query(quantile(0.99, "commit_seconds", "stage"), "{{stage}} 99 %"),
            ),
            above(0.05, 0.5),
        ),
        Panel(
            "Errors of Redis",
            "0. Each makes a stage start over from what Redis has. report: INFO is denied to the "
            "user of streamrec.",
            "ops",
            (Query(rate("redis_errors_total", "op"), "{{op}}"),),
            above(0.1, 1),
        ),
        Panel(
            "Loads of the item table",
            "feed: what changed, often. full: all rows; at a start, or a process fell "
            "items.feed_entries behind.",
            "ops",
            (Query(rate("item_table_loads_total", "kind"), "{{kind}}"),),
            NEUTRAL,
        ),
    ),
)

BOARD = Board(
    "streamrec-kafka-redis",
    "streamrec / Kafka and Redis",
    "What streamrec needs of Kafka and Redis, and what they refuse it.",
    (NOW, KAFKA, REDIS),
)
