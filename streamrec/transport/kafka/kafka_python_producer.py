"""The producing half of KafkaPythonLog."""

import threading
import time
from collections.abc import Callable, Sequence

from kafka import KafkaProducer
from kafka.errors import KafkaError, KafkaTimeoutError

from streamrec.settings.sections import KafkaSettings
from streamrec.transport.kafka.client_settings import (
    DELIVERY_SECONDS,
    MAX_MESSAGE_BYTES,
    delivery_error,
)
from streamrec.transport.kafka.connecting import connected

BLOCK_SECONDS = 0.5
"""A call waits so long for a topic to be known, or for room; then it is seen if it is to go on."""


class ClosingProducer(KafkaProducer):  # type: ignore[misc]
    """A KafkaProducer that gives up what it has not sent when it is closed.

    That of kafka-python 3.0.12 raises in `close` where messages are left, before it ends its
    thread, which goes on sending them.
    """

    closing = False

    def flush(self, timeout: float | None = None) -> None:
        """Wait until all is sent; raises KafkaTimeoutError, not so from `close`."""
        try:
            super().flush(timeout)
        except KafkaTimeoutError:
            if not self.closing:
                raise

    def close(self, timeout: float | None = None, null_logger: bool = False) -> None:
        """Send what is queued for at most `timeout` seconds, then end the thread within as many."""
        self.closing = True
        super().close(timeout, null_logger)


class KafkaPythonProducer:
    """An idempotent producer that is made anew after a delivery failed.

    The old one cannot be kept: after a broker lost its memory, it has no valid producer id.
    """

    def __init__(self, settings: KafkaSettings) -> None:
        self._settings = settings
        self._client: KafkaProducer | None = None
        # of this client, each with its topic; the next one gets a new list
        self._failures: list[tuple[BaseException, str]] = []
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
        try:
            client, content = self._open(), (value, key, list(headers), partition, timestamp)
            failures = self._failures
            self._patiently(
                lambda: client.send(topic, *content).add_errback(
                    lambda error: failures.append((error, topic))
                ),
                DELIVERY_SECONDS,
            )
        except (KafkaError, ValueError) as error:
            self._failures.append((error, topic))

    def connect(self, topic: str) -> None:
        """Connect, and learn where the topic is; what goes wrong is raised by the next flush."""
        try:
            client = self._open()
            self._patiently(lambda: client.partitions_for(topic), DELIVERY_SECONDS)
        except KafkaError as error:
            self._failures.append((error, topic))

    def give_up(self) -> None:
        """End what waits for Kafka, now and later; the only call from another thread."""
        self._ended.set()

    def flush(self, timeout_seconds: float = 30.0) -> None:
        """Wait for all acknowledgements; raises as Log.flush does."""
        client, turn = self._client, min(BLOCK_SECONDS, timeout_seconds)
        if client is not None and not self._failures:
            try:
                self._patiently(lambda: client.flush(turn), timeout_seconds)
            except KafkaError as error:
                self._failures.append((error, ""))
        if self._failures:
            failure, topic = self._failures[0]
            self._drop(wait_seconds=0)
            code = getattr(failure, "errno", 0)
            raise delivery_error(self._settings, code, topic, repr(failure)) from failure

    def close(self) -> None:
        """Send what is queued, for at most 3 s, and disconnect."""
        self._drop(wait_seconds=0 if self._ended.is_set() else 3)

    def _patiently(self, call: Callable[[], object], seconds: float) -> None:
        """Repeat a call whose time was up before anything came of it, for so many seconds."""
        deadline = time.monotonic() + seconds
        while True:
            try:
                call()
                return
            except KafkaTimeoutError:
                if time.monotonic() > deadline or self._ended.is_set():
                    raise

    def _open(self) -> KafkaProducer:
        if self._client is None:
            self._client = connected(
                ClosingProducer,
                self._settings,
                enable_idempotence=True,
                acks="all",
                compression_type="lz4",
                linger_ms=2,
                batch_size=128 * 1024,
                max_request_size=MAX_MESSAGE_BYTES,
                delivery_timeout_ms=int(DELIVERY_SECONDS * 1000),
                max_block_ms=int(BLOCK_SECONDS * 1000),
                allow_auto_create_topics=False,
                metrics_enabled=False,
            )
        return self._client

    def _drop(self, wait_seconds: float) -> None:
        client, self._client, self._failures = self._client, None, []
        if client is None:
            return
        try:
            client.flush(wait_seconds)
        except KafkaError:
            wait_seconds = 0
        client.close(timeout=wait_seconds)
