"""The last row of the operations board: lists and events over HTTP."""

from streamrec.dashboards.panel import Panel, Row, above, below
from streamrec.dashboards.promql import quantile, rate

FAILED = (
    rate("http_requests_total", where='status="5xx"') + f" / ({rate('http_requests_total')} > 0)"
)

SERVE = Row(
    "Serve: lists and events over HTTP",
    (
        Panel(
            "Requests",
            "By status; follow your traffic. 4xx are faults of callers: tokens, paths, bodies. "
            "Suddenly none: see whether callers still reach it.",
            "reqps",
            {"{{status}}": rate("http_requests_total", "status")},
            kind="stack",
        ),
        Panel(
            "Requests that fail",
            "5xx, near 0: Redis or Kafka does not answer, or a list is not made in time; the log "
            "of serve says which.",
            "percentunit",
            {"fail": FAILED},
            above(0.01, 0.02),
            line=True,
        ),
        Panel(
            "Time of a request, 99 %",
            "Lists some ms, events until Kafka has acknowledged them; explain, and a list with "
            "`filter`, are made in the request: slow. All slow: Redis, or add serve processes.",
            "s",
            {
                "{{route}}": quantile(0.99, "http_request_seconds", "route", 'route=~"/v1/.*"')
                + " >= 0"
            },
            above(0.1, 0.25),
        ),
        Panel(
            "Whose lists were served",
            "own: the user's; popular: nothing is known of the user, or no scorer ran; none: not "
            "even a popular list is there, so start `score`.",
            "reqps",
            {"{{list}}": rate("http_lists_total", "list")},
            kind="stack",
        ),
        Panel(
            "Events over HTTP",
            "accepted: Kafka has them. refused: a caller sends what cannot be learnt. "
            "unacknowledged: Kafka does not answer, and callers were told to send again.",
            "eps",
            {"{{result}}": rate("http_events_total", "result")},
        ),
        Panel(
            "Serve processes",
            "Processes that Prometheus reaches. Without one, callers over HTTP get nothing; lists "
            "in Redis go on.",
            "none",
            {"answer": 'sum(up{job="streamrec-serve"}) or vector(0)'},
            below(1, 1),
        ),
    ),
)
