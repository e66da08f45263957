"""streamrec / Kafka and Redis: what the log and the store cost, and what they refuse."""

from streamrec.dashboards.panel import (
    Board,
    Panel,
    Row,
    above,
    must_be_zero,
    stat,
)
from streamrec.dashboards.promql import increase, median_and_tail, quantile, rate

NOW = Row(
    "Now",
    (
        stat(
            "Redis memory",
            "Rows, lists and what lists showed. Grows with users until lists expire "
            "(lists.ttl_seconds).",
            "bytes",
            "max(streamrec_redis_memory_bytes)",
            decimals=1,
        ),
        stat(
            "Memory a user",
            "Redis memory over stored users. Some 5 kB with a list; more: long histories, or many "
            "items for few users.",
            "bytes",
            "max(streamrec_redis_memory_bytes) "
            '/ clamp_min(sum(streamrec_rows{table="users_stored"}), 1)',
            decimals=1,
        ),
        stat(
            "Keys evicted",
            "Must be 0: what Redis throws away is learnt state, and gone. Set maxmemory-policy "
            "noeviction.",
            "short",
            "max(streamrec_redis_evicted_keys)",
            must_be_zero(),
            decimals=0,
        ),
        stat(
            "Commit to Redis, 99 %",
            "One transaction. Above 50 ms: its disk (appendfsync), its CPU, or the way there.",
            "s",
            quantile(0.99, "commit_seconds"),
            above(0.05, 0.5),
            decimals=0,
        ),
        stat(
            "Kafka acknowledges, 99 %",
            "Of a batch's updates, on all replicas. Above 100 ms every list comes later by it.",
            "s",
            quantile(0.99, "flush_seconds"),
            above(0.1, 1),
            decimals=0,
        ),
        stat(
            "Messages not learnt",
            "In all topics. Near 0, but after restarts.",
            "short",
            "sum(streamrec_lag_messages)",
            above(10_000, 100_000),
            decimals=0,
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
            median_and_tail("flush_seconds"),
            above(0.1, 1),
        ),
        Panel(
            "Not learnt, by topic",
            "events and items wait for the user stage, updates for the item stage.",
            "short",
            {"{{topic}}": "sum by (topic) (streamrec_lag_messages)"},
        ),
        Panel(
            "Events in a commit",
            "Grows with the load: larger batches cost less each. At batches.max_events learn is "
            "behind.",
            "short",
            median_and_tail("batch_events", "stage"),
        ),
        Panel(
            "Errors of Kafka in 5 min",
            "0. Not acknowledged: the batch is sent again, the receiver drops repeats. No answer: "
            "brokers or network.",
            "none",
            {
                "not acknowledged": increase("produce_errors_total"),
                "no answer: {{stage}}": increase("kafka_errors_total", "stage"),
                "refetched: {{stage}}": increase("partition_refetches_total", "stage"),
            },
            must_be_zero(),
            width=10,
        ),
        Panel(
            "Dead letters",
            "Refused messages, with the reason in their headers. Above 1 % of the traffic: find "
            "the producer.",
            "eps",
            {"written": rate("dead_letters_total")},
            width=6,
        ),
        Panel(
            "Group changes in 5 min",
            "Partitions given and taken. At starts and stops only.",
            "none",
            {"{{stage}} {{kind}}": increase("rebalances_total", "stage, kind")},
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
            {
                "used": "max(streamrec_redis_memory_bytes)",
                "limit": "max(streamrec_redis_memory_limit_bytes)",
            },
        ),
        Panel(
            "Memory gained in an hour",
            "At the pace of the last 30 minutes. Should come down as lists expire and tables fill.",
            "bytes",
            {"gained": "clamp_min(max(deriv(streamrec_redis_memory_bytes[30m])) * 3600, 0)"},
        ),
        Panel(
            "Commits",
            "User stage: one a partition and batch. Failed: memory, disk, READONLY.",
            "ops",
            {"{{stage}} {{result}}": rate("commits_total", "stage, result")},
        ),
        Panel(
            "Time of a commit",
            "One transaction. If it climbs with the load, Redis' core is full: Redis Cluster.",
            "s",
            median_and_tail("commit_seconds", "stage"),
            above(0.05, 0.5),
        ),
        Panel(
            "Errors of Redis",
            "0. Each makes a stage start over from what Redis has. report: INFO is denied to the "
            "user of streamrec.",
            "ops",
            {"{{op}}": rate("redis_errors_total", "op")},
            above(0.1, 1),
        ),
        Panel(
            "Loads of the item table",
            "feed: what changed, often. full: all rows; at a start, or a process fell "
            "items.feed_entries behind.",
            "ops",
            {"{{kind}}": rate("item_table_loads_total", "kind")},
        ),
    ),
)

BOARD = Board(
    "streamrec-kafka-redis",
    "streamrec / Kafka and Redis",
    "What streamrec needs of Kafka and Redis, and what they refuse it.",
    (NOW, KAFKA, REDIS),
)
