"""Every metric streamrec exports: prefix `streamrec_`, base units, no user or item ids in labels.

Shell code only; the core never imports this file. docs/metrics.md is generated from it.
"""

import platform
from collections.abc import Sequence
from typing import get_args

from prometheus_client import CollectorRegistry, disable_created_metrics
from prometheus_client.process_collector import ProcessCollector

from streamrec import __version__
from streamrec.events.event import Reason
from streamrec.monitoring import buckets
from streamrec.monitoring.families import Families
from streamrec.monitoring.http_metrics import HttpMetrics
from streamrec.monitoring.item_list_metrics import ItemListMetrics
from streamrec.monitoring.neural_metrics import NeuralMetrics
from streamrec.monitoring.stop_reasons import stop_reasons
from streamrec.settings.sections import Settings

STAGES = ("user", "item")
TOPICS = ("events", "items", "updates")
"""What the topics are for, whatever their names are."""


class Metrics:
    """All metrics of one process; `role` leaves those of other roles out.

    Without a `registry` it makes its own, with process metrics.
    """

    def __init__(self, registry: CollectorRegistry | None = None, role: str = "") -> None:
        if registry is None:
            registry = CollectorRegistry()
            ProcessCollector(registry=registry)
        disable_created_metrics()  # type: ignore[no-untyped-call]  # they double the series
        self.registry, self.role = registry, role
        families = Families(registry, role)
        self.described = families.described
        self._make_all(families.of(""))
        self._make_conservation(families.of("learn"))
        self._make_delivery(families)
        self._make_folds(families)
        self._make_texts(families.of("learn"))
        self._make_quality(families)
        self._make_serving(families.of("score"))
        self.neural, self.http = NeuralMetrics(families), HttpMetrics(families)
        self.items = ItemListMetrics(families)

    def begin(self, settings: Settings, sources: Sequence[str]) -> None:
        """Name the process, and start what the settings have names for at 0."""
        names = __version__, platform.python_version(), self.role, settings.profile
        self.build_info.labels(*names).set(1)
        for kind in settings.events.weights:
            self.events_accepted.labels(kind)
        for source in ("blend", *sources):
            for k in ("10", "20"):
                self.prequential_hits.labels(source, k)
            self.prequential_ndcg.labels(source)
            self.prequential_reciprocal_rank.labels(source)
        for source in sources:
            self.list_items.labels(source)

    def _make_all(self, of: Families) -> None:
        """Make what every role has. What is said of Redis is the same in all: take the max."""
        self.build_info = of.gauge(
            "build_info",
            "Always 1; the labels name the program, its role and its profile.",
            *("version", "python", "role", "profile"),
        )
        self.turn_age_seconds = of.gauge(
            "turn_age_seconds",
            "Time since a loop last came round; it grows while it hangs.",
            "loop",
        )
        self.redis_errors = of.counter(
            "redis_errors",
            "Failed Redis calls, by the loop that made them; item_table: a shard was not "
            "followed; report: for these metrics.",
            op=(*STAGES, "score", "train", "item_table", "report"),
        )
        self.shards_stopped = of.gauge(
            "shards_stopped",
            "Shards whose owner ended with an error and that nobody has learnt on since.",
            stage=STAGES,
            reason=stop_reasons(),
        )
        self.topic_partitions = of.gauge(
            "topic_partitions", "Partitions of each topic.", topic=TOPICS
        )
        self.due_users = of.gauge("due_users", "Users waiting for a new list.")
        self.oldest_due_seconds = of.gauge(
            "oldest_due_seconds", "How long the user who waits longest has waited for a list."
        )
        self.redis_memory_bytes = of.gauge("redis_memory_bytes", "Memory that Redis uses.")
        self.redis_memory_limit_bytes = of.gauge(
            "redis_memory_limit_bytes", "Memory that Redis may use (maxmemory); 0: no limit."
        )
        self.redis_evicted_keys = of.gauge(
            "redis_evicted_keys", "Keys that Redis has thrown away for want of memory."
        )
        self.item_table_age_seconds = of.gauge(
            "item_table_age_seconds", "Time since the copy of the item table was last up to date."
        )
        self.item_table_rows = of.gauge("item_table_rows", "Rows in the copy of the item table.")
        self.item_table_loads = of.counter(
            "item_table_loads",
            "Refreshes of the item table; kind is full or feed.",
            kind=("full", "feed"),
        )

    def _make_conservation(self, of: Families) -> None:
        self.events_consumed = of.counter(
            "events_consumed", "Messages folded or refused, by partition of events.", "partition"
        )
        self.events_accepted = of.counter(
            "events_accepted", "Events that entered the state, by their type.", "type"
        )
        self.events_duplicate = of.counter(
            "events_duplicate", "Events dropped: their id is in the duplicate window."
        )
        self.events_suppressed = of.counter(
            "events_suppressed",
            "Valid events not learnt, e.g. the excess of a flood.",
            reason=("flood",),
        )
        self.events_held = of.counter("events_held", "Events of newcomers that teach nobody yet.")
        self.events_rejected = of.counter(
            "events_rejected",
            "Messages refused and sent to the dead-letter topic.",
            reason=get_args(Reason),
        )
        self.events_control = of.counter(
            "events_control",
            "Messages that forget a user, merge a visitor, or move a visitor's row.",
        )
        self.merges = of.counter(
            "merges",
            "Visitors to be merged with users, asked for; their histories, moved.",
            step=("asked", "moved"),
        )
        self.conservation_error_events = of.gauge(
            "conservation_error_events",
            "Consumed less accepted, duplicate, suppressed, rejected and control; must be 0.",
        )
        self.dead_letters = of.counter("dead_letters", "Messages written to the dead-letter topic.")
        self.keys_looked_at = of.counter(
            "keys_looked_at", "Events of a sample whose Kafka key was compared with their user."
        )
        self.keys_foreign = of.counter("keys_foreign", "Of those, of another key; should be 0.")

    def _make_delivery(self, of: Families) -> None:
        self.channel_duplicates = of.counter(
            "channel_duplicates", "Update records dropped by the high-water mark of their source."
        )
        self.updates_unknown_item = of.counter(
            "updates_unknown_item", "Updates for an item without a row, dropped."
        )
        self.produce_errors = of.counter(
            "produce_errors", "Times that Kafka did not acknowledge what was produced."
        )
        self.kafka_errors = of.counter(
            "kafka_errors", "Times that no broker answered, by stage.", stage=STAGES
        )
        self.partitions_assigned = of.gauge(
            "partitions_assigned", "Partitions this process owns.", topic=TOPICS
        )
        self.rebalances = of.counter(
            "rebalances",
            "Partitions given or taken by the group, by kind.",
            stage=STAGES,
            kind=("assigned", "revoked"),
        )
        self.lag_messages = of.gauge(
            "lag_messages", "Messages of an owned partition not learnt yet.", "topic", "partition"
        )
        self.oldest_unlearnt_seconds = of.gauge(
            "oldest_unlearnt_seconds",
            "How long the oldest message not learnt yet has waited, at most; 0: all is learnt.",
            topic=TOPICS,
        )
        self.partition_refetches = of.counter(
            "partition_refetches",
            "Times that a partition delivered no message, or left one out, and was fetched anew.",
            stage=STAGES,
        )

    def _make_folds(self, of: Families) -> None:
        self.commits = of.counter(
            "commits",
            "Commits to Redis; result is ok, conflict or failed.",
            stage=STAGES,
            result=("ok", "conflict", "failed"),
        )
        self.last_commit_timestamp_seconds = of.gauge(
            "last_commit_timestamp_seconds",
            "When a stage last committed; 0: not yet.",
            stage=STAGES,
        )
        self.commit_seconds = of.histogram(
            "commit_seconds", "Time of one commit to Redis.", buckets.WORK, stage=STAGES
        )
        self.flush_seconds = of.histogram(
            "flush_seconds", "Time until Kafka had acknowledged a batch's updates.", buckets.WORK
        )
        self.batch_events = of.histogram(
            "batch_events", "Messages in one commit.", buckets.EVENTS, stage=STAGES
        )
        self.fold_seconds = of.histogram(
            "fold_seconds", "Time to fold one batch, its rows read.", buckets.WORK, stage=STAGES
        )
        self.rows = of.gauge("rows", "Rows of each bounded table of owned partitions.", "table")
        self.rows_limit = of.gauge("rows_limit", "Most rows that they may have.", "table")
        self.rows_added = of.counter(
            "rows_added", "Rows made for new users and items.", table=("users", "items")
        )
        self.rows_dropped = of.counter(
            "rows_dropped", "Rows deleted to stay within the limit.", table=("users", "items")
        )
        self.click_to_learnt_seconds = of.histogram(
            "click_to_learnt_seconds",
            "From the log's time of an event to its commit, by stage; of big batches a sample.",
            buckets.FRESHNESS,
            stage=STAGES,
        )
        self.item_table_age_events = of.gauge(
            "item_table_age_events", "Updates the copy of the item table was behind when refreshed."
        )

    def _make_texts(self, of: Families) -> None:
        self.texts_encoded = of.counter("texts_encoded", "Texts of items made into vectors.")
        self.texts_waiting = of.gauge("texts_waiting", "Items whose text has no vector yet.")
        self.encode_seconds = of.histogram(
            "encode_seconds", "Time to encode one batch of texts.", buckets.WORK
        )

    def _make_quality(self, of: Families) -> None:
        self.prequential_events = of.counter(
            "prequential_events",
            "Events looked up before being learnt in the list being served: the user's own, or the "
            "popular one; none: nothing was served yet.",
            list=("own", "popular", "none"),
        )
        self.prequential_hits = of.counter(
            "prequential_hits", "Of those, found among the first k of a source.", "source", "k"
        )
        self.prequential_ndcg = of.counter(
            "prequential_ndcg", "Sum of NDCG@20 over those events, by source.", "source"
        )
        self.prequential_reciprocal_rank = of.counter(
            "prequential_reciprocal_rank",
            "Sum of the reciprocal rank (0 beyond 20) over those events, by source.",
            "source",
        )
        self.blend_samples = of.counter(
            "blend_samples", "Clicks on a proposed item that were sent to the learned blend."
        )
        self.list_age_seconds = of.histogram(
            "list_age_seconds", "Age of the list being served when it is looked up.", buckets.AGE
        )

    def _make_serving(self, of: Families) -> None:
        self.lists_published = of.counter("lists_published", "Lists written to Redis.")
        self.lists_stale_refused = of.counter(
            "lists_stale_refused", "Lists not written because a newer one was there."
        )
        self.lists_failed = of.counter(
            "lists_failed", "Lists that could not be computed or written; their users stay due."
        )
        self.click_to_list_seconds = of.histogram(
            "click_to_list_seconds",
            "From the log's time of a user's oldest unserved event to the published list.",
            buckets.FRESHNESS,
        )
        self.score_seconds = of.histogram(
            "score_seconds", "Time to score one batch of due users.", buckets.WORK
        )
        self.list_length_items = of.histogram(
            "list_length_items", "Items of a published list; le 0: the empty ones.", buckets.ITEMS
        )
        self.list_items = of.counter(
            "list_items", "Items in published lists, by who speaks most for them.", "source"
        )
        self.listed_items = of.gauge(
            "listed_items", "Different items in the latest 1,000 lists of this process."
        )
        self.servable_items = of.gauge("servable_items", "Items that a list may hold.")
        self.blend_weight = of.gauge(
            "blend_weight",
            "Weight of a source in the blend, by the length of the user's history.",
            *("source", "history"),
        )
        self.blend_importance = of.gauge(
            "blend_importance",
            "Loss that the learned blend would gain if a source were shuffled, of late.",
            "source",
        )
        self.model_info = of.gauge("model_info", "1 for the model that makes the lists.", "model")
