"""The role `learn`: the user stage and the item stage, each a loop in a thread of its own."""

import logging
import threading
from collections.abc import Callable, Sequence
from contextlib import closing
from functools import partial

from streamrec.errors import ConfigurationError, StreamrecError
from streamrec.flow import ID_BYTES, SAMPLE_BYTES, record_bytes
from streamrec.monitoring.health import serve_health
from streamrec.monitoring.metrics import Metrics
from streamrec.monitoring.starting import starting
from streamrec.roles.learning.click_samples import SampleSender
from streamrec.roles.learning.item_stage import ItemLearner
from streamrec.roles.learning.oversee import oversee
from streamrec.roles.learning.stage import Stage
from streamrec.roles.learning.user_stage import UserLearner
from streamrec.roles.leave import stop_on_signals
from streamrec.roles.reports.state_report import StateReport
from streamrec.roles.warm import warm_up
from streamrec.settings.sections import Settings
from streamrec.sources.registry import names_of
from streamrec.state.item_table import ItemTable
from streamrec.text.encoder import open_encoder
from streamrec.transport.kafka.client_settings import MAX_MESSAGE_BYTES
from streamrec.transport.kafka.log_identity import check_same, log_identity
from streamrec.transport.kafka.open_log import open_kafka
from streamrec.transport.kafka.topics import check_topics
from streamrec.transport.redis.declared import Unchanged
from streamrec.transport.redis.item_feed import ItemFeed
from streamrec.transport.redis.keys import Shards, item_shards
from streamrec.transport.redis.store import Store

logger = logging.getLogger(__name__)
RECORD_BYTES = MAX_MESSAGE_BYTES - SAMPLE_BYTES - ID_BYTES


def run(settings: Settings, stop: threading.Event | None = None) -> int:
    """Learn until SIGTERM or `stop`; return the exit code."""
    starting(settings, "learn")
    stop = stop or stop_on_signals()
    metrics = Metrics(role="learn")
    warm_up(settings)
    samples = SampleSender(
        lambda: open_kafka(settings.kafka), settings.kafka.samples_topic, metrics
    )
    stages = open_stages(settings, metrics, samples.send)
    health = serve_health(
        settings.metrics,
        metrics,
        live=lambda: [reason for stage in stages for reason in stage.dead()],
        ready=lambda: [reason for stage in stages for reason in stage.unready()],
    )
    threads = [threading.Thread(target=s.run, args=(stop,), name=s.name) for s in stages]
    for thread in threads:
        thread.start()
    oversee(stages, settings, stop)
    for thread in threads:
        thread.join()
    samples.close()
    health.close()
    return exit_code(stages)


def open_stages(
    settings: Settings,
    metrics: Metrics,
    send_samples: Callable[[Sequence[bytes]], object] = lambda samples: None,
) -> list[Stage]:
    """Connect both stages; raises when topics, Redis and settings do not fit together."""
    kafka = settings.kafka
    check_record_size(settings)
    encoder = open_encoder(settings.text.model)
    logger.info("texts of items", extra={"model": settings.text.model})
    check_topics(kafka)
    now = log_identity(kafka)
    users_log = open_kafka(kafka, f"{kafka.group}-users")
    users_store = Store(settings.redis)
    shards = users_store.declare(
        now.counts[kafka.events_topic],
        now.counts[kafka.updates_topic],
        now.counts[kafka.items_topic],
        settings.factors.size,
        now.ids,
    )
    check = partial(_check, settings, shards)
    check()
    feed = ItemFeed(
        users_store,
        item_shards(shards),
        lambda: ItemTable(settings, with_lists=False),
        settings.items.refresh_seconds,
    )
    metrics.begin(settings, names_of(settings))
    state = StateReport(users_store, shards, metrics)
    users = UserLearner(settings, users_log, users_store, feed, state, metrics, send_samples)
    items_log = open_kafka(kafka, f"{kafka.group}-items")
    items_store = Store(settings.redis, shards.growth)
    items = ItemLearner(settings, items_log, items_store, metrics, encoder)
    linger = settings.batches.item_linger_seconds
    return [
        Stage("user", users_log, users, settings, metrics, None, users_store, check),
        Stage("item", items_log, items, settings, metrics, linger, items_store, check),
    ]


def _check(settings: Settings, shards: Shards) -> None:
    """Raise ConfigurationError unless log and partitions are what they were; in any thread."""
    check_same(shards, settings.kafka)
    with closing(Store(settings.redis)) as store:
        Unchanged(store.shards, shards).check()


def check_record_size(settings: Settings) -> None:
    """Raise ConfigurationError when one batch's update record could be refused by the broker."""
    each = record_bytes(settings)
    most = settings.batches.max_events * each
    if most > RECORD_BYTES:
        raise ConfigurationError(
            f"batches.max_events = {settings.batches.max_events} can make update records of {most} "
            f"bytes, the topic takes {RECORD_BYTES}: set it to {RECORD_BYTES // each} or less"
        )


def exit_code(stages: list[Stage]) -> int:
    """Report what stopped a stage; a stop on request is 0."""
    code = 0
    for stage in stages:
        error = stage.failed
        if error is not None:
            expected = isinstance(error, StreamrecError)
            logger.error(
                "stage stopped",
                extra={"stage": stage.name, "cause": str(error)},
                exc_info=None if expected else error,
            )
            code = error.exit_code if isinstance(error, StreamrecError) else 1
    return code
