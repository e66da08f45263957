"""streamrec / Operations: for who is on call. What is wrong, since when, and where."""

from streamrec.dashboards.inside import LAG, STATE, WORK
from streamrec.dashboards.made_lists import LISTS
from streamrec.dashboards.panel import (
    Board,
    Panel,
    Row,
    above,
    below,
    must_be_zero,
    stat,
)
from streamrec.dashboards.promql import late, median_and_tail, quantile, rate, ratio
from streamrec.dashboards.serving import SERVE

FOREIGN = f"{rate('keys_foreign_total')} / ({rate('keys_looked_at_total')} > 0) or vector(0)"
"""Share of the events of a sample whose key is not their user."""

NOW = Row(
    "Now",
    (
        stat(
            "Learn processes",
            "Processes that Prometheus reaches. At least 1; start one where there is none: "
            "nothing is lost, events wait in Kafka.",
            "none",
            'sum(up{job="streamrec-learn"}) or vector(0)',
            below(1, 1),
        ),
        stat(
            "Score processes",
            "Processes that Prometheus reaches. At least 1; without one, lists stay as they are.",
            "none",
            'sum(up{job="streamrec-score"}) or vector(0)',
            below(1, 1),
        ),
        stat(
            "Events learnt",
            "Messages folded or refused a second. Follows your traffic; 0 with traffic: see Lag.",
            "eps",
            rate("events_consumed_total"),
            decimals=1,
        ),
        stat(
            "Lists made",
            "Lists written a second. One for each user who clicked, fewer while users click again "
            "before theirs is made.",
            "ops",
            rate("lists_published_total"),
            decimals=1,
        ),
        stat(
            "Click to list, 99 %",
            "From a click to the list that knows it. Under 2 s is promised; above: Freshness.",
            "s",
            quantile(0.99, "click_to_list_seconds"),
            above(1, 2),
            decimals=2,
        ),
        stat(
            "Alerts firing",
            "Alerts of streamrec that fire now. Below is which.",
            "none",
            'count(ALERTS{alertstate="firing", alertname=~"Streamrec.*"}) or vector(0)',
            must_be_zero(),
        ),
        stat(
            "Oldest not learnt",
            "How long it has waited at most. 0 or near it; if it grows, learning stands or is too "
            "slow: see Lag and Work.",
            "s",
            'max(streamrec_oldest_unlearnt_seconds{topic="events"})',
            above(10, 60),
            decimals=1,
        ),
        stat(
            "Wait for a list",
            "Of the users who clicked. Near 0; if it grows, scorers are down, too few, or Redis "
            "refuses lists.",
            "s",
            "max(streamrec_oldest_due_seconds)",
            above(2, 30),
            decimals=1,
        ),
        stat(
            "Unaccounted for",
            "Consumed less accepted, duplicate, suppressed and rejected. Must be 0: else run "
            "`streamrec audit`, it is a fault of streamrec.",
            "none",
            "max(streamrec_conservation_error_events)",
            must_be_zero(),
        ),
        stat(
            "Shards stopped",
            "Their owner ended with an error that comes again, and nobody has learnt on. Must be "
            "0: its last log line says what to do.",
            "none",
            "sum(max by (stage, reason) (streamrec_shards_stopped))",
            must_be_zero(),
        ),
        stat(
            "Redis memory used",
            "At 100 % commits fail. 0 %: no limit is set. Above 80 %: raise maxmemory.",
            "percentunit",
            "max(streamrec_redis_memory_bytes / (streamrec_redis_memory_limit_bytes > 0)) "
            "or vector(0)",
            above(0.8, 0.9),
            decimals=1,
        ),
        stat(
            "Lists in time, 6 h",
            "Share of lists within 2 s of the click. 99 % is promised.",
            "percentunit",
            f"1 - ({late('6h')})",
            below(0.99, 0.995),
            decimals=2,
        ),
    ),
    width=6,
)

FIRING = (
    'time() - min by (alertname, severity) (ALERTS_FOR_STATE{alertname=~"Streamrec.*"} '
    'and on (alertname) ALERTS{alertstate="firing"}) '
    'or on () label_replace(vector(0), "alertname", "none", "", "")'
)
"""For how long each alert that fires has had its cause; a row `none` where none does."""

ALERTS = Row(
    "What fires",
    (
        Panel(
            "Alerts",
            "Begin here: each has a page of its name in docs/runbooks.md, with what it means and "
            "what to do. Of several, the one that began first is nearest to the cause.",
            "s",
            {"Since": FIRING},
            kind="table",
            sort="Since",
            width=24,
            height=6,
        ),
    ),
)

FRESHNESS = Row(
    "Freshness: 99 % of clicks are in the list within 2 s",
    (
        Panel(
            "Click to list",
            "What a user feels. Under the line; above it add score processes, unless Redis is slow "
            "(Commit to Redis).",
            "s",
            {
                name: quantile(q, "click_to_list_seconds")
                for q, name in ((0.5, "median"), (0.95, "95 %"), (0.99, "99 %"))
            },
            above(2, 2),
            line=True,
        ),
        Panel(
            "Error budget burnt",
            "1 uses up the month's budget in a month. Above 14 in the last hour it pages: in two "
            "days nothing would be left.",
            "none",
            {f"last {window}": f"({late(window)}) / 0.01" for window in ("5m", "1h", "6h")},
            above(6, 14.4),
            line=True,
        ),
        Panel(
            "Waiting longest",
            "Grows by a second a second when something stands: events, then learning; lists, "
            "then scoring.",
            "s",
            {
                "{{topic}}": "max by (topic) (streamrec_oldest_unlearnt_seconds)",
                "lists": "max(streamrec_oldest_due_seconds)",
            },
            above(10, 60),
        ),
        Panel(
            "Click to list, how many lists",
            "Dark where many are. A band that climbs is overload, a second band a slow process.",
            "s",
            {
                "{{le}}": (
                    "sum by (le) (increase(streamrec_click_to_list_seconds_bucket"
                    "[$__rate_interval]))"
                )
            },
            kind="heatmap",
        ),
        Panel(
            "Click to learnt",
            "Until a click is in its user's row (user) and in the items' rows (item). The item "
            "stage commits ten times a second at most.",
            "s",
            median_and_tail("click_to_learnt_seconds", "stage"),
            above(1, 5),
        ),
        Panel(
            "Users waiting",
            "Should fall to 0 again and again. If it only rises, add score processes.",
            "short",
            {"waiting": "max(streamrec_due_users)"},
        ),
    ),
)

TRAFFIC = Row(
    "Traffic: every event is accounted for",
    (
        Panel(
            "What became of the events",
            "The stack must meet the line of all consumed. What is missing below it is "
            "unaccounted for: run `streamrec audit`.",
            "eps",
            {
                "{{type}}": rate("events_accepted_total", "type") + " > 0",
                "duplicate": rate("events_duplicate_total"),
                "suppressed": rate("events_suppressed_total"),
                "rejected": rate("events_rejected_total"),
                "control": rate("events_control_total"),
                "consumed": rate("events_consumed_total"),
            },
            kind="stack",
            width=12,
            thick="consumed",
        ),
        Panel(
            "Rejected events",
            "A producer sends what is refused. Read the dead letters, they carry the reason; "
            "docs/events.md has the rules.",
            "eps",
            {
                "{{reason}}": f"({rate('events_rejected_total', 'reason')} > 0) "
                'or label_replace(vector(0), "reason", "none", "", "")'
            },
            width=12,
        ),
        Panel(
            "Lists",
            "Published; refused because a newer one was there (normal after a restart); failed: "
            "see Errors.",
            "ops",
            {
                "published": rate("lists_published_total"),
                "a newer was there": rate("lists_stale_refused_total"),
                "failed": rate("lists_failed_total"),
            },
            width=6,
        ),
        Panel(
            "Visitors made users",
            "Merges that sites ask for, and histories that reached their users: seconds later, and "
            "fewer, for of many visitors nothing is known. None moved: Rejected events, no_right.",
            "ops",
            {"{{step}}": rate("merges_total", "step")},
            width=6,
        ),
        Panel(
            "Under a wrong key",
            "Of a sample: events whose Kafka key is not their user. Must be 0: such a user has a "
            "history in two partitions. Repair the producer; the log of `learn` has an offset.",
            "percentunit",
            {"wrong": FOREIGN},
            above(0.001, 0.01),
            width=6,
        ),
        Panel(
            "Held of newcomers",
            "Share of the events: they teach nobody until their user has gone on "
            "(users.newcomer_items). Suddenly much: many new users, or ids made up by a robot.",
            "percentunit",
            {"held": ratio(rate("events_held_total"), f"({rate('events_consumed_total')} > 0)")},
            width=6,
        ),
    ),
)

BOARD = Board(
    "streamrec-operations",
    "streamrec / Operations",
    "For who is on call. Read from the top: what is wrong now, then where.",
    (NOW, ALERTS, FRESHNESS, TRAFFIC, LAG, WORK, STATE, LISTS, SERVE),
)
