"""Every metric streamrec exports: prefix `streamrec_`, base units, no user or item ids in labels.

Shell code only; the core never imports this file. docs/metrics.md is generated from it.
"""

import platform
from collections.abc import Sequence
from typing import NamedTuple, get_args

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
)
from prometheus_client.process_collector import ProcessCollector

from streamrec import __version__
from streamrec.events.event import Reason

FRESHNESS_SECONDS = (
    *(0.005, 0.01, 0.02, 0.03, 0.04, 0.05, 0.06, 0.08, 0.1, 0.125, 0.15, 0.2, 0.25, 0.3, 0.4),
    *(0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 5.0, 10.0, 20.0, 30.0, 60.0),
)
WORK_SECONDS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
AGE_SECONDS = (0.1, 0.3, 1.0, 3.0, 10.0, 60.0, 600.0, 3600.0, 21_600.0, 86_400.0, 604_800.0)
BATCH_EVENTS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000)


class Described(NamedTuple):
    """One line of docs/metrics.md."""

    name: str
    kind: str
    labels: tuple[str, ...]
    meaning: str


class Metrics:
    """All metrics of one process; without a `registry` it makes its own, with process metrics."""

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        if registry is None:
            registry = CollectorRegistry()
            ProcessCollector(registry=registry)
        disable_created_metrics()  # type: ignore[no-untyped-call]  # they double the series
        self.registry = registry
        self.described: list[Described] = []
        self._make_conservation()
        self._make_delivery()
        self._make_folds()
        self._make_freshness()
        self._make_quality()
        self._make_serving()
        self.build_info = self._gauge(
            "build_info", "Always 1; the labels name the program.", "version", "python"
        )
        self.build_info.labels(__version__, platform.python_version()).set(1)
        for reason in get_args(Reason):  # so that a first rejection shows as an increase from 0
            self.events_rejected.labels(reason)

    def _make_conservation(self) -> None:
        count = self._counter
        self.events_consumed = count(
            "events_consumed", "Messages folded or refused, by partition of events.", "partition"
        )
        self.events_accepted = count(
            "events_accepted", "Events that entered the state, by their type.", "type"
        )
        self.events_duplicate = count(
            "events_duplicate", "Events dropped: their id is in the duplicate window."
        )
        self.events_suppressed = count(
            "events_suppressed", "Valid events not learnt, e.g. the excess of a flood.", "reason"
        )
        self.events_rejected = count(
            "events_rejected", "Messages refused and sent to the dead-letter topic.", "reason"
        )
        self.conservation_error_events = self._gauge(
            "conservation_error_events",
            "Consumed less accepted, duplicate, suppressed, rejected and control; must be 0.",
        )
        self.dead_letters = count("dead_letters", "Messages written to the dead-letter topic.")

    def _make_delivery(self) -> None:
        self.channel_duplicates = self._counter(
            "channel_duplicates", "Update records dropped by the high-water mark of their source."
        )
        self.channel_gaps = self._counter(
            "channel_gaps", "Update records refused because one before them is missing; must be 0."
        )
        self.updates_unknown_item = self._counter(
            "updates_unknown_item", "Updates for an item without a row, dropped."
        )
        self.produce_errors = self._counter(
            "produce_errors", "Produced messages that Kafka did not acknowledge."
        )
        self.redis_errors = self._counter(
            "redis_errors", "Failed Redis calls, by what they were for.", "op"
        )
        self.partitions_assigned = self._gauge(
            "partitions_assigned", "Partitions this process owns, by stage.", "stage"
        )
        self.rebalances = self._counter(
            "rebalances", "Partitions given or taken by the group, by kind.", "stage", "kind"
        )
        self.lag_messages = self._gauge(
            "lag_messages", "Messages of a partition not folded yet.", "stage", "partition"
        )
        self.stuck_partitions = self._gauge(
            "stuck_partitions", "Partitions that have messages but deliver none; should be 0."
        )

    def _make_folds(self) -> None:
        self.commits = self._counter(
            "commits", "Commits to Redis; result is ok, conflict or failed.", "stage", "result"
        )
        self.commit_seconds = self._histogram(
            "commit_seconds", "Time of one commit to Redis.", WORK_SECONDS, "stage"
        )
        self.batch_events = self._histogram(
            "batch_events", "Messages in one commit.", BATCH_EVENTS, "stage"
        )
        self.fold_seconds = self._histogram(
            "fold_seconds", "Time to fold one batch, its rows read.", WORK_SECONDS, "stage"
        )
        self.fold_stopped = self._gauge(
            "fold_stopped", "Shards stopped for good until a person acts, by reason.", "reason"
        )
        self.rows = self._gauge("rows", "Rows of each bounded table in this process.", "table")

    def _make_freshness(self) -> None:
        self.click_to_learnt_seconds = self._histogram(
            "click_to_learnt_seconds",
            "From the log's time of an event to its commit, by stage; of big batches a sample.",
            FRESHNESS_SECONDS,
            "stage",
        )
        self.click_to_list_seconds = self._histogram(
            "click_to_list_seconds",
            "From the log's time of a user's oldest unserved event to the published list.",
            FRESHNESS_SECONDS,
        )
        self.item_table_age_seconds = self._gauge(
            "item_table_age_seconds", "Time since the copy of the item table was last up to date."
        )
        self.item_table_age_events = self._gauge(
            "item_table_age_events", "Updates the copy of the item table was behind when refreshed."
        )
        self.item_table_rows = self._gauge("item_table_rows", "Rows in the copy of the item table.")
        self.item_table_loads = self._counter(
            "item_table_loads", "Refreshes of the item table; kind is full or feed.", "kind"
        )

    def _make_quality(self) -> None:
        self.prequential_events = self._counter(
            "prequential_events", "Events looked up in the list being served before being learnt."
        )
        self.prequential_hits = self._counter(
            "prequential_hits", "Of those, found among the first k of a source.", "source", "k"
        )
        self.prequential_ndcg = self._counter(
            "prequential_ndcg", "Sum of NDCG@20 over those events, by source.", "source"
        )
        self.prequential_reciprocal_rank = self._counter(
            "prequential_reciprocal_rank",
            "Sum of the reciprocal rank (0 beyond 20) over those events, by source.",
            "source",
        )

        self.blend_samples = self._counter(
            "blend_samples", "Clicks on a proposed item that were sent to the learned blend."
        )

    def _make_serving(self) -> None:
        self.lists_published = self._counter("lists_published", "Lists written to Redis.")
        self.lists_stale_refused = self._counter(
            "lists_stale_refused", "Lists not written because a newer one was there."
        )
        self.lists_failed = self._counter(
            "lists_failed", "Lists that could not be computed or written; their users stay due."
        )
        self.list_age_seconds = self._histogram(
            "list_age_seconds", "Age of the list being served when it is looked up.", AGE_SECONDS
        )
        self.due_users = self._gauge("due_users", "Users waiting for a new list.")
        self.score_seconds = self._histogram(
            "score_seconds", "Time to score one batch of due users.", WORK_SECONDS
        )

    def _counter(self, name: str, meaning: str, *labels: str) -> Counter:
        self._describe(f"{name}_total", "counter", labels, meaning)
        return Counter(f"streamrec_{name}", meaning, labels, registry=self.registry)

    def _gauge(self, name: str, meaning: str, *labels: str) -> Gauge:
        self._describe(name, "gauge", labels, meaning)
        return Gauge(f"streamrec_{name}", meaning, labels, registry=self.registry)

    def _histogram(
        self, name: str, meaning: str, buckets: Sequence[float], *labels: str
    ) -> Histogram:
        self._describe(name, "histogram", labels, meaning)
        return Histogram(
            f"streamrec_{name}", meaning, labels, buckets=buckets, registry=self.registry
        )

    def _describe(self, name: str, kind: str, labels: tuple[str, ...], meaning: str) -> None:
        self.described.append(Described(f"streamrec_{name}", kind, labels, meaning))
