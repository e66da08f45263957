"""The consumer of ConfluentLog: librdkafka with our settings."""

from typing import Any

from confluent_kafka import Consumer

from streamrec.settings.sections import KafkaSettings
from streamrec.transport.kafka.client_settings import (
    FETCH_BYTES,
    MAX_POLL_SECONDS,
    PARTITION_FETCH_BYTES,
)
from streamrec.transport.kafka.confluent_producer import connected


def open_consumer(settings: KafkaSettings, group: str | None) -> Any:
    """Return a consumer that neither commits nor resets an offset by itself."""
    session = int(settings.session_timeout_seconds * 1000)
    return connected(
        Consumer,
        settings,
        {
            "group.id": group or "streamrec-no-group",
            "auto.offset.reset": "error",
            "enable.auto.commit": False,
            "enable.auto.offset.store": False,
            "enable.partition.eof": True,  # tells the position behind what is not delivered
            "isolation.level": "read_committed",
            "partition.assignment.strategy": "roundrobin",
            "session.timeout.ms": session,
            "heartbeat.interval.ms": session // 3,
            "max.poll.interval.ms": int(MAX_POLL_SECONDS * 1000),
            "fetch.wait.max.ms": int(settings.fetch_wait_seconds * 1000),
            "fetch.max.bytes": FETCH_BYTES,
            "max.partition.fetch.bytes": PARTITION_FETCH_BYTES,
            "queued.max.messages.kbytes": FETCH_BYTES // 1024,
            "fetch.queue.backoff.ms": 10,
            "fetch.error.backoff.ms": 100,
        },
    )
