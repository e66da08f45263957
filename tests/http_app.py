"""The application of `serve` in the test's process, and what it has sent to Kafka."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import msgspec
from kafka import KafkaConsumer, TopicPartition
from starlette.testclient import TestClient

from streamrec.http.console.routes import Console
from streamrec.http.made_now import MadeNow
from streamrec.http.readers import Readers
from streamrec.http.routes import application
from streamrec.http.sender import Sender
from streamrec.monitoring.metrics import Metrics
from streamrec.settings.sections import KafkaSettings, Settings


@contextmanager
def http_app(settings: Settings, *, console: bool = False, **client: Any) -> Iterator[TestClient]:
    """Yield a client of an application that ends with the block."""
    readers, sender, made_now = Readers(settings.redis), Sender(settings), MadeNow(settings)
    page = Console(settings, readers, made_now, sender) if console else None
    routes = page.routes() if page else ()
    app = application(settings, readers, sender, Metrics(), made_now, routes)
    try:
        yield TestClient(app, **{"base_url": "http://localhost", **client})
    finally:
        if page is not None:
            page.close()
        sender.close()


def in_kafka(kafka: KafkaSettings, topic: str) -> list[tuple[bytes, dict[str, Any]]]:
    """Return key and content of all that a topic of 4 partitions has, one after the other."""
    with KafkaConsumer(bootstrap_servers=kafka.brokers) as consumer:
        places = [TopicPartition(topic, n) for n in range(4)]
        consumer.assign(places)
        ends = consumer.end_offsets(places)
        consumer.seek_to_beginning()
        found: list[tuple[bytes, dict[str, Any]]] = []
        while any(consumer.position(p) < ends[p] for p in places):
            for messages in consumer.poll(1000).values():
                found += [(m.key, msgspec.json.decode(m.value)) for m in messages]
        return found
