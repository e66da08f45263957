"""The last row of the operations board: lists and events over HTTP."""

from streamrec.dashboards.panel import NEUTRAL, Panel, Query, Row, above, below
from streamrec.dashboards.promql import quantile, rate


def share(status: str) -> str:
    """Return the share of requests that are answered with this class of status."""
    asked, of_these = rate("http_requests_total"), f'status="{status}"'
    return f"{rate('http_requests_total', where=of_these)} / ({asked} > 0)"


SERVE = Row(
    "Serve: lists and events over HTTP",
    (
        Panel(
            "Requests",
            "Follows your traffic; `other` are paths that are none of ours. Suddenly 0: see "
            "whether callers still reach it.",
            "reqps",
            (Query(f"topk(6, {rate('http_requests_total', 'route')})", "{{route}}"),),
            NEUTRAL,
        ),
        Panel(
            "Requests that fail",
            "5xx near 0: Redis or Kafka does not answer, or a list is not made in time; the log of "
            "serve says which. 4xx are faults of callers: tokens, paths, bodies.",
            "percentunit",
            tuple(Query(share(status), status) for status in ("5xx", "4xx")),
            above(0.01, 0.02),
            line=True,
        ),
        Panel(
            "Time of a request, 99 %",
            "Lists some ms, events until Kafka has acknowledged them; explain, and a list with "
            "`filter`, are made in the request: slow. All slow: Redis, or add serve processes.",
            "s",
            (
                Query(
                    quantile(0.99, "http_request_seconds", "route", 'route=~"/v1/.*"') + " >= 0",
                    "{{route}}",
                ),
            ),
            above(0.1, 0.25),
        ),
        Panel(
            "Whose lists were answered with",
            "own: the user's; popular: nothing is known of the user, or no scorer ran; none: not "
            "even a popular list is there, so start `score`.",
            "reqps",
            (Query(rate("http_lists_total", "list"), "{{list}}"),),
            NEUTRAL,
            "stack",
        ),
        Panel(
            "Events over HTTP",
            "accepted: Kafka has them. refused: a caller sends what cannot be learnt. "
            "unacknowledged: Kafka does not answer, and callers were told to send again.",
            "eps",
            (Query(rate("http_events_total", "result"), "{{result}}"),),
            NEUTRAL,
        ),
        Panel(
            "Serve processes",
            "Processes that Prometheus reaches. Without one, callers over HTTP get nothing; lists "
            "in Redis go on.",
            "none",
            (Query('sum(up{job="streamrec-serve"}) or vector(0)', "answer"),),
            below(1, 1),
        ),
    ),
)
