"""For every alert: metrics that are calm, then show the fault, then are calm again."""

from typing import NamedTuple

CALM, FAULT, OVER = 30, 60, 90
"""Steps until each phase ends; alerts are looked at near its end."""
PAGE, TICKET = "page", "ticket"
Series = dict[str, str]


class Case(NamedTuple):
    """Input series by name, and what the alert says in the fault; a step is `step_minutes`."""

    series: Series
    severity: str
    summary: str
    labels: dict[str, str] = {}
    step_minutes: int = 1


def counter(
    calm: float, fault: float, over: float | None = None, scale: int = 1, quiet: int = 0
) -> str:
    """Return a counter that rises by so much a step in each of the phases, after `quiet` steps."""
    total, parts = 0.0, [f"0x{quiet}"] if quiet else []
    for each in (calm, fault, calm if over is None else over):
        parts.append(f"{total:g}+{each:g}x{30 * scale - 1}")
        total += each * 30 * scale
    return " ".join(parts)


def gauge(calm: float, fault: float, over: float | None = None) -> str:
    """Return a gauge that has these values in the phases."""
    values = (calm, fault, calm if over is None else over)
    return " ".join(f"{value:g}x29" for value in values)


LEARN, SCORE = 'job="streamrec-learn",instance="a"', 'job="streamrec-score",instance="b"'
CONSUMED = "streamrec_events_consumed_total"
JUDGED = 'streamrec_prequential_events_total{list="own"}'
LISTS = "streamrec_click_to_list_seconds"
REQUESTS = "streamrec_http_requests_total"
TAKEN = "streamrec_http_request_seconds_bucket"
LIST = "/v1/users/{user}/lists/{place}"


def hits(source: str) -> str:
    return f'streamrec_prequential_hits_total{{source="{source}",k="20"}}'


CASES: dict[str, Case] = {
    "StreamrecLearnDown": Case(
        {f"up{{{LEARN}}}": gauge(1, 0)}, PAGE, "0 learn processes answer: clicks are not learnt"
    ),
    "StreamrecScoreDown": Case(
        {f"up{{{SCORE}}}": gauge(1, 0)},
        PAGE,
        "0 score processes answer: lists stay as they are",
    ),
    "StreamrecRestarting": Case(
        {f"process_start_time_seconds{{{LEARN}}}": "1x29 1+2x29 61x29"},
        PAGE,
        "streamrec-learn a started 15 times in 15 minutes",
        {"job": "streamrec-learn", "instance": "a"},
    ),
    "StreamrecShardsStopped": Case(
        {
            f'streamrec_shards_stopped{{{where},stage="item",reason="GapError"}}': gauge(0, 2)
            for where in (LEARN, SCORE)
        },
        PAGE,
        "2 shards of the item stage wait for a person: GapError",
        {"stage": "item", "reason": "GapError"},
    ),
    "StreamrecPartitionsUnowned": Case(
        {
            f'streamrec_topic_partitions{{{SCORE},topic="events"}}': gauge(16, 16),
            f'streamrec_partitions_assigned{{{LEARN},topic="events"}}': gauge(8, 8),
            'streamrec_partitions_assigned{instance="c",topic="events"}': gauge(8, 5),
        },
        PAGE,
        "3 partitions of events have no learn process",
        {"topic": "events"},
    ),
    "StreamrecLoopStands": Case(
        {f'streamrec_turn_age_seconds{{{LEARN},loop="user"}}': gauge(0.1, 90)},
        PAGE,
        "streamrec-learn a: the user loop has stood still for 1m 30s",
        {"job": "streamrec-learn", "instance": "a", "loop": "user"},
    ),
    "StreamrecEventsUnaccounted": Case(
        {"streamrec_conservation_error_events": gauge(0, 7)},
        PAGE,
        "7 events are unaccounted for",
    ),
    "StreamrecNoEvents": Case(
        {
            CONSUMED: counter(600, 0),
            'streamrec_oldest_unlearnt_seconds{topic="events"}': gauge(0, 0),
        },
        PAGE,
        "0 events/s arrive, after an hour with some",
    ),
    "StreamrecLearningStands": Case(
        {
            'streamrec_oldest_unlearnt_seconds{topic="events"}': gauge(1, 600),
            'streamrec_oldest_unlearnt_seconds{topic="items"}': gauge(0, 0),
            CONSUMED: counter(600, 0),
        },
        PAGE,
        "Nothing is learnt; the oldest message waits for 10m 0s",
    ),
    "StreamrecListsStand": Case(
        {"streamrec_oldest_due_seconds": gauge(0, 300)},
        PAGE,
        "A user waits for a list for 5m 0s",
    ),
    "StreamrecFreshnessBurn": Case(
        {
            f'{LISTS}_bucket{{le="2.0"}}': counter(100, 50),
            f"{LISTS}_count": counter(100, 100),
        },
        PAGE,
        "50% of the lists come later than 2 s after the click",
        step_minutes=5,
    ),
    "StreamrecRedisErrors": Case(
        {
            'streamrec_redis_errors_total{op="user"}': counter(0, 60),
            'streamrec_redis_errors_total{op="report"}': counter(60, 60),
        },
        PAGE,
        "1 calls a second fail in Redis",
        step_minutes=1,
    ),
    "StreamrecCommitsFail": Case(
        {
            'streamrec_commits_total{stage="user",result="failed"}': counter(0, 120),
            'streamrec_commits_total{stage="user",result="conflict"}': counter(60, 60),
        },
        PAGE,
        "2 commits a second of the user stage are refused by Redis",
        {"stage": "user"},
    ),
    "StreamrecKafkaErrors": Case(
        {
            "streamrec_produce_errors_total": counter(0, 60),
            'streamrec_kafka_errors_total{stage="item"}': counter(0, 60),
        },
        PAGE,
        "2 times a second Kafka does not answer or acknowledge",
    ),
    "StreamrecRedisEvicts": Case(
        {f"streamrec_redis_evicted_keys{{{LEARN}}}": counter(0, 10)},
        PAGE,
        "Redis threw 100 keys away in 10 minutes",
    ),
    "StreamrecServeDown": Case(
        {'up{job="streamrec-serve",instance="d"}': gauge(1, 0)},
        PAGE,
        "0 serve processes answer: lists over HTTP fail",
    ),
    "StreamrecServeFails": Case(
        {
            f'{REQUESTS}{{route="/v1/popular",status="2xx"}}': counter(95, 90),
            f'{REQUESTS}{{route="/v1/popular",status="4xx"}}': counter(5, 5),
            f'{REQUESTS}{{route="/v1/events",status="5xx"}}': counter(0, 5),
        },
        PAGE,
        "5% of the requests over HTTP fail",
    ),
    "StreamrecRedisMemory": Case(
        {
            "streamrec_redis_memory_bytes": gauge(100, 900),
            "streamrec_redis_memory_limit_bytes": gauge(1000, 1000),
        },
        TICKET,
        "Redis uses 90% of its maxmemory",
    ),
    "StreamrecBehind": Case(
        {'streamrec_oldest_unlearnt_seconds{topic="updates"}': gauge(1, 120)},
        TICKET,
        "Learning of updates is 2m 0s behind",
        {"topic": "updates"},
    ),
    "StreamrecRejects": Case(
        {
            'streamrec_events_rejected_total{reason="malformed"}': counter(0, 12),
            'streamrec_events_rejected_total{reason="poison"}': counter(0, 0),
            CONSUMED: counter(600, 600),
        },
        TICKET,
        "2% of the events are refused",
    ),
    "StreamrecDuplicates": Case(
        {"streamrec_events_duplicate_total": counter(0, 60), CONSUMED: counter(600, 600)},
        TICKET,
        "10% of the events came before",
    ),
    "StreamrecFlood": Case(
        {
            'streamrec_events_suppressed_total{reason="flood"}': counter(0, 120),
            CONSUMED: counter(600, 600),
        },
        TICKET,
        "20% of the events are the excess of a flood",
    ),
    "StreamrecRefetches": Case(
        {'streamrec_partition_refetches_total{stage="user"}': counter(0, 1)},
        TICKET,
        "15 partitions of the user stage delivered nothing and were fetched anew",
        {"stage": "user"},
    ),
    "StreamrecItemTableOld": Case(
        {f"streamrec_item_table_age_seconds{{{SCORE}}}": gauge(0.2, 75)},
        TICKET,
        "streamrec-score b works with a copy of the items that is 1m 15s old",
        {"job": "streamrec-score", "instance": "b"},
    ),
    "StreamrecItemTableBehind": Case(
        {f"streamrec_item_table_age_events{{{LEARN}}}": gauge(100, 5000)},
        TICKET,
        "streamrec-learn a works with a copy of the items that is 5000 events behind",
        {"job": "streamrec-learn", "instance": "a"},
    ),
    "StreamrecTableFull": Case(
        {
            'streamrec_rows_dropped_total{table="users"}': counter(0, 60),
            'streamrec_rows_added_total{table="users"}': counter(60, 60),
        },
        TICKET,
        "For each new row of users, 1 are dropped",
        {"table": "users"},
        step_minutes=10,
    ),
    "StreamrecEmptyLists": Case(
        {
            'streamrec_list_length_items_bucket{le="0.0"}': counter(0, 6),
            "streamrec_list_length_items_count": counter(60, 60),
        },
        TICKET,
        "10% of the lists are empty",
    ),
    "StreamrecRecallFell": Case(
        # it begins without clicks, as a site does: 0 of 0 is no recall, and not a NaN for a week
        {hits("blend"): counter(100, 20, quiet=6), JUDGED: counter(400, 400, quiet=6)},
        TICKET,
        "Only 5% of the clicks are in the lists, a fifth less than in the week",
        {"source": "blend"},
        step_minutes=10,
    ),
    "StreamrecBlendBelowSource": Case(
        {
            hits("blend"): counter(100, 40),
            hits("similarity"): counter(80, 80),
            JUDGED: counter(400, 400),
        },
        TICKET,
        "The blend finds 10% of the clicks, a single source finds more",
        {"source": "blend"},
        step_minutes=20,
    ),
    "StreamrecVersionsDiffer": Case(
        {
            f'streamrec_build_info{{{LEARN},version="1"}}': gauge(1, 1),
            f'streamrec_build_info{{{SCORE},version="2"}}': "_x29 1x29 _x29",
        },
        TICKET,
        "2 versions of streamrec run side by side",
        step_minutes=5,
    ),
    "StreamrecTrainDown": Case(
        {
            'up{job="streamrec-train",instance="c"}': gauge(1, 0),
            'streamrec_click_samples_total{result="sent"}': counter(60, 60),
        },
        TICKET,
        "0 train processes answer while clicks are kept for training",
        step_minutes=5,
    ),
    "StreamrecNetworkRefused": Case(
        {f"streamrec_network_refused_total{{{SCORE}}}": counter(0, 1)},
        TICKET,
        "streamrec-score b has refused a version of the network 12 times within the hour",
        {"job": "streamrec-score", "instance": "b"},
        step_minutes=5,
    ),
    "StreamrecServeSlow": Case(
        {
            f'{TAKEN}{{route="{LIST}",le="0.2"}}': counter(100, 50),
            f'{TAKEN}{{route="{LIST}",le="0.5"}}': counter(100, 100),
            f'{TAKEN}{{route="{LIST}",le="+Inf"}}': counter(100, 100),
            # made in the request, for a person who looks: slow is right
            f'{TAKEN}{{route="/v1/users/{{user}}/explain/{{item}}",le="0.2"}}': counter(0, 0),
            f'{TAKEN}{{route="/v1/users/{{user}}/explain/{{item}}",le="+Inf"}}': counter(9, 9),
        },
        TICKET,
        f"One request of a hundred for {LIST} takes longer than 494ms",
        {"route": LIST},
    ),
}
