"""The producing half of ConfluentLog."""

import logging
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Producer

from streamrec.errors import ConfigurationError
from streamrec.settings.sections import KafkaSettings
from streamrec.transport.kafka.client_settings import (
    CONNECT_SECONDS,
    DELIVERY_SECONDS,
    MAX_MESSAGE_BYTES,
    confluent_settings,
    delivery_error,
)

LOOK_SECONDS = 0.5
"""A flush waits so long before it sees if it is to go on."""

logger = logging.getLogger("confluent_kafka")


class ConfluentProducer:
    """An idempotent producer that is made anew after a delivery failed.

    The old one cannot be kept: after a broker lost its memory, it has no valid producer id.
    """

    def __init__(self, settings: KafkaSettings) -> None:
        self._settings = settings
        self._client: Any = None
        # of this client, each with its message; the next one gets a new list
        self._failures: list[tuple[Any, Any]] = []
        self._report: Callable[[object, object], None] | None = None
        self._ended = threading.Event()

    def produce(
        self,
        topic: str,
        value: bytes | None,
        *,
        key: bytes | None = None,
        partition: int | None = None,
        headers: Sequence[tuple[str, bytes]] = (),
        timestamp: int | None = None,
    ) -> None:
        """Queue one message; what goes wrong is raised by the next flush."""
        if self._failures:
            return
        client = self._open()
        options: dict[str, Any] = {"headers": list(headers)} if headers else {}
        if partition is not None:
            options["partition"] = partition
        if timestamp is not None:
            options["timestamp"] = timestamp
        deadline = time.monotonic() + DELIVERY_SECONDS
        while not self._failures:
            try:
                client.produce(topic, value, key, on_delivery=self._report, **options)
                return
            except BufferError as error:  # its queue is full
                if time.monotonic() > deadline or self._ended.is_set():
                    self._failures.append((error, None))
                client.poll(0.1)
            except KafkaException as error:
                self._failures.append((error.args[0], None))

    def connect(self, topic: str) -> None:
        """Connect, and learn where the topic is; what goes wrong is raised by the next flush."""
        try:
            self._open().list_topics(topic, timeout=CONNECT_SECONDS)
        except KafkaException as error:
            self._failures.append((error.args[0], None))

    def give_up(self) -> None:
        """End what waits for Kafka, now and later; the only call from another thread."""
        self._ended.set()

    def flush(self, timeout_seconds: float = 30.0) -> None:
        """Wait for all acknowledgements; raises as Log.flush does."""
        if self._client is not None and not self._failures:
            left, deadline = 1, time.monotonic() + timeout_seconds
            try:
                while left and time.monotonic() < deadline and not self._ended.is_set():
                    left = self._client.flush(min(LOOK_SECONDS, timeout_seconds))
            except (KafkaException, SystemError) as error:  # what the client does not survive
                # it calls `report` while that is being raised, of which Python makes the other
                cause = error if isinstance(error, KafkaException) else error.__cause__
                if not isinstance(cause, KafkaException):
                    raise
                self._failures.insert(0, (cause.args[0], None))
            if left:
                text = f"{left} messages were not sent in {timeout_seconds:g} s"
                self._failures.append((text, None))
        if self._failures:
            failure, message = self._failures[0]
            self._drop()
            code = failure.code() if isinstance(failure, KafkaError) else 0
            topic = "" if message is None else message.topic()
            raise delivery_error(self._settings, code, topic, str(failure))

    def close(self) -> None:
        """Send what is queued, for at most 3 s, and disconnect."""
        if self._client is not None:
            self._client.flush(0.0 if self._ended.is_set() else 3.0)
        self._drop()

    def _open(self) -> Any:
        if self._client is None:
            failures = self._failures

            def report(error: object, message: object) -> None:
                if error is not None:
                    failures.append((error, message))

            self._report = report
            self._client = connected(
                Producer,
                self._settings,
                {
                    "enable.idempotence": True,
                    "acks": "all",
                    "partitioner": "murmur2_random",  # as Java; its own default is another
                    "compression.type": "lz4",
                    "linger.ms": 2,
                    "message.max.bytes": MAX_MESSAGE_BYTES,
                    "delivery.timeout.ms": int(DELIVERY_SECONDS * 1000),
                    "delivery.report.only.error": True,
                },
            )
        return self._client

    def _drop(self) -> None:
        client, self._client, self._failures = self._client, None, []
        if client is not None:
            client.purge()
            client.flush(0)


def connected(client: Any, settings: KafkaSettings, own: dict[str, Any]) -> Any:
    """Return a confluent client; raises ConfigurationError for a setting it refuses."""
    try:
        return client(confluent_settings(settings, own), logger=logger)
    except KafkaException as error:
        raise ConfigurationError(f"kafka.client_settings: {error.args[0].str()}") from None
