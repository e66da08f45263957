"""The metrics of the HTTP role: rate, errors and durations by path; lists and events."""

from collections.abc import Iterable

from prometheus_client import Counter, Histogram

from streamrec.monitoring.families import Families

REQUEST_SECONDS = (
    *(0.001, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.015, 0.02, 0.03, 0.05),
    *(0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0),
)
OTHER = "other"
STATUSES = ("2xx", "3xx", "4xx", "5xx")
METHODS = ("GET", "HEAD", "POST", "PUT", "OPTIONS", OTHER)
EVENTS = ("accepted", "refused", "unacknowledged")


class HttpMetrics:
    """Made with all others, by Metrics."""

    def __init__(self, families: Families) -> None:
        of = families.of("serve")
        self._series: dict[tuple[str, str, int], tuple[Counter, Histogram]] = {}
        self.requests = of.counter(
            "http_requests",
            "Requests, by the path's pattern (other: none of ours), method and class of status.",
            *("route", "method", "status"),
        )
        self.seconds = of.histogram(
            "http_request_seconds",
            "From a request's head to the end of its answer.",
            REQUEST_SECONDS,
            "route",
        )
        self.lists = of.counter(
            "http_lists",
            "Lists of users that were answered with: the user's own, the popular one, or none.",
            list=("own", "popular", "none"),
        )
        self.events = of.counter(
            "http_events",
            "Events that came in requests: acknowledged by Kafka, refused, or not acknowledged.",
            result=EVENTS,
        )

    def begin(self, routes: Iterable[tuple[str, str]]) -> None:
        """Start what is known of paths, given with their methods, at 0."""
        for path, method in (*routes, (OTHER, OTHER)):
            self.seconds.labels(path)
            for status in STATUSES:
                self.requests.labels(path, method, status)

    def answered(self, route: str, method: str, status: int, seconds: float) -> None:
        """Count one request."""
        named = method if method in METHODS else OTHER
        key = route, named, status // 100
        series = self._series.get(key)
        if series is None:  # there are few; to look them up by label takes longer than to count
            labels = route, named, f"{status // 100}xx"
            series = self.requests.labels(*labels), self.seconds.labels(route)
            self._series[key] = series
        requests, durations = series
        requests.inc()
        durations.observe(seconds)
