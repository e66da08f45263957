"""Sends what requests bring to Kafka: a thread for each topic, one wait for many requests."""

import logging
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from queue import Empty, SimpleQueue
from typing import NamedTuple

from streamrec.errors import DeliveryFailed, MessageRefused
from streamrec.settings.sections import Settings
from streamrec.transport.kafka.log import Log
from streamrec.transport.kafka.open_log import open_kafka

MOST_WAITING_BYTES = 64 * 1024 * 1024
"""Of messages, while Kafka does not take them; what would be more is refused at once."""
MOST_AT_ONCE = 10_000
CLOSE_SECONDS = 1.0
GIVE_UP_SECONDS = 1.0

logger = logging.getLogger(__name__)


class Sending(NamedTuple):
    """The messages of one request, as (key, value), or none: then it only connects.

    `done` when Kafka has acknowledged all.
    """

    topic: str
    messages: Sequence[tuple[bytes, bytes]]
    done: "Future[None]"
    partitions: int = 0  # each message goes to so many; 0: to that of its key

    def size(self) -> int:
        """Return the bytes of the messages."""
        return sum(len(key) + len(value) for key, value in self.messages)


class Sender:
    """Sends each topic's messages by a connection of its own: one that fails holds none up."""

    def __init__(self, settings: Settings) -> None:
        kafka = settings.kafka
        topics = dict.fromkeys((kafka.events_topic, kafka.items_topic))
        self._topics = {topic: TopicSender(settings, topic) for topic in topics}

    def send(
        self, topic: str, messages: Sequence[tuple[bytes, bytes]], partitions: int = 0
    ) -> "Future[None]":
        """Queue messages, for the partition of the key or for each of `partitions`.

        The future has DeliveryFailed or MessageRefused where that went wrong.
        """
        return self._topics[topic].send(messages, partitions)

    def close(self) -> None:
        """Send what waits, for at most a second, and disconnect."""
        for each in self._topics.values():
            each.end()
        deadline = time.monotonic() + CLOSE_SECONDS
        late = [each for each in self._topics.values() if not each.has_ended(deadline)]
        for each in late:
            each.give_up()
        for each in late:
            each.has_ended(deadline + GIVE_UP_SECONDS)

    def connect_soon(self, topic: str) -> None:
        """Connect for a topic's messages, which the first would otherwise wait for."""
        self._topics[topic].send(())


class TopicSender:
    """Produces the messages of all requests that wait, then waits once for Kafka.

    A request that has stopped waiting before its turn is left out.
    """

    def __init__(self, settings: Settings, topic: str) -> None:
        self._topic, self._seconds = topic, settings.serve.write_seconds
        self._log = open_kafka(settings.kafka)  # connects in the thread, at the first message
        self._queue: SimpleQueue[Sending | None] = SimpleQueue()
        self._waiting_bytes = 0
        self._lock = threading.Lock()
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"sender-{topic}", daemon=True)
        self._thread.start()

    def send(self, messages: Sequence[tuple[bytes, bytes]], partitions: int = 0) -> "Future[None]":
        """Queue messages; see Sender."""
        batch = Sending(self._topic, messages, Future(), partitions)
        with self._lock:
            if self._waiting_bytes + batch.size() > MOST_WAITING_BYTES:
                raise DeliveryFailed("too many messages wait for Kafka already")
            self._waiting_bytes += batch.size()
        self._queue.put(batch)
        return batch.done

    def end(self) -> None:
        """Let the thread end when all that waits is sent."""
        self._queue.put(None)

    def has_ended(self, deadline: float) -> bool:
        """Wait for the end, until a moment of time.monotonic()."""
        self._thread.join(max(0.0, deadline - time.monotonic()))
        return not self._thread.is_alive()

    def give_up(self) -> None:
        """Let what Kafka has not taken fail."""
        self._ending.set()
        self._log.give_up()

    def _run(self) -> None:
        for batches in self._turns():
            wanted = [each for each in batches if each.done.set_running_or_notify_cancel()]
            self._deliver(wanted)
            with self._lock:
                self._waiting_bytes -= sum(each.size() for each in batches)
        self._log.close()

    def _turns(self) -> Iterator[list[Sending]]:
        """Yield all that waits, until the queue is closed."""
        while True:
            batches, messages = list[Sending](), 0
            try:
                while messages < MOST_AT_ONCE:
                    batch = self._queue.get(block=not batches)
                    if batch is None:
                        yield batches
                        return
                    batches.append(batch)
                    messages += len(batch.messages)
            except Empty:
                pass
            yield batches

    def _deliver(self, batches: Sequence[Sending]) -> None:
        try:
            if self._ending.is_set():
                raise DeliveryFailed("serve has ended")
            produce(self._log, batches, self._seconds)
        except MessageRefused as error:
            if len(batches) > 1:  # one of them spoils the others: each alone
                for each in batches:
                    self._deliver([each])
                return
            _fail(batches, error)
        except Exception as error:  # a thread that ended would leave all later requests waiting
            _fail(batches, error)
        else:
            for each in batches:
                each.done.set_result(None)


def produce(log: Log, batches: Sequence[Sending], seconds: float) -> None:
    """Send messages and wait until Kafka has acknowledged all; raises LogError."""
    for batch in batches:
        if not batch.messages:
            log.connect(batch.topic)
        for key, value in batch.messages:
            for partition in range(batch.partitions) if batch.partitions else (None,):
                log.produce(batch.topic, value, key=key, partition=partition)
    if batches:
        log.flush(seconds)


def _fail(batches: Sequence[Sending], error: Exception) -> None:
    logger.warning("not sent", extra={"requests": len(batches), "cause": str(error)})
    for each in batches:
        each.done.set_exception(error)
