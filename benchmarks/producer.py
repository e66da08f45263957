"""A process that produces clicks cheaply: messages are encoded before they are sent.

Commands come as JSON lines on standard input, replies go as JSON lines to standard output:
{"prepare": n} encodes the next n; {"send": n, "rate": r, "watch": k} sends n of them at r a second
(0: as fast as it goes) and reports every k-th (0: none) as {"user", "offset", "at"}.
"""

import json
import os
import sys
import time
from collections.abc import Callable
from typing import Any

from benchmarks.clicks import interleaved, message, ml_1m

TICK_SECONDS = 0.002
Report = Callable[[int, str, float], None]


def main() -> None:
    """Obey commands until standard input ends."""
    address, topic = sys.argv[1:3]
    clicks = interleaved(ml_1m())
    producer = _confluent(address, topic) or KafkaPython(address, topic)
    _say(ready=producer.name)
    prepared: list[tuple[str, bytes]] = []
    number, started = 0, int(time.time() * 1000) - 3_600_000
    for line in sys.stdin:
        command = json.loads(line)
        if "prepare" in command:
            for _ in range(command["prepare"]):
                n = number % len(clicks)
                prepared.append((clicks.users[n], message(clicks, n, number, started + number)))
                number += 1
            _say(prepared=len(prepared))
        else:
            count = command["send"]
            due, prepared = prepared[:count], prepared[count:]
            seconds = _send(producer, due, command["rate"], command["watch"])
            _say(sent=len(due), seconds=seconds, cpu=sum(os.times()[:2]))


def _send(producer: Any, due: list[tuple[str, bytes]], rate: float, watch: int) -> float:
    """Send at a steady rate; return how long it took until all were acknowledged."""
    start = time.monotonic()
    sent = 0
    while sent < len(due):
        allowed = int((time.monotonic() - start) * rate) if rate else sent + 10_000
        for n in range(sent, min(allowed, len(due))):
            user, value = due[n]
            watched = watch and n % watch == 0
            producer.send(user, value, _watcher(user, time.time()) if watched else None)
        sent = max(sent, min(allowed, len(due)))
        producer.serve()
        if rate:
            time.sleep(TICK_SECONDS)
    producer.flush()
    return time.monotonic() - start


def _watcher(user: str, at: float) -> Callable[[int], None]:
    return lambda offset: _say(user=user, offset=offset, at=at)


def _say(**fields: Any) -> None:
    print(json.dumps(fields), flush=True)


class Confluent:
    """librdkafka: about 2 microseconds a message."""

    name = "confluent-kafka"

    def __init__(self, producer: Any, topic: str) -> None:
        self._producer, self._topic = producer, topic

    def send(self, user: str, value: bytes, acknowledged: Callable[[int], None] | None) -> None:
        """Queue one message."""
        while True:
            try:
                if acknowledged is None:
                    self._producer.produce(self._topic, value, user)
                else:
                    self._producer.produce(
                        self._topic,
                        value,
                        user,
                        on_delivery=lambda _, m: acknowledged(m.offset()),
                    )
                return
            except BufferError:
                self._producer.poll(0.01)

    def serve(self) -> None:
        """Run the callbacks."""
        self._producer.poll(0)

    def flush(self) -> None:
        """Wait for all acknowledgements."""
        self._producer.flush()


class KafkaPython:
    """The client that is always there; it takes more of the two cores."""

    name = "kafka-python"

    def __init__(self, address: str, topic: str) -> None:
        from kafka import KafkaProducer

        self._producer = KafkaProducer(bootstrap_servers=address, acks="all", linger_ms=2)
        self._topic = topic

    def send(self, user: str, value: bytes, acknowledged: Callable[[int], None] | None) -> None:
        """Queue one message."""
        future = self._producer.send(self._topic, value, key=user.encode())
        if acknowledged is not None:
            future.add_callback(lambda found: acknowledged(found.offset))

    def serve(self) -> None:
        """It has a thread for that."""

    def flush(self) -> None:
        """Wait for all acknowledgements."""
        self._producer.flush()


def _confluent(address: str, topic: str) -> Confluent | None:
    try:
        from confluent_kafka import Producer
    except ImportError:
        return None
    settings = {
        "bootstrap.servers": address,
        "acks": "all",
        "linger.ms": 2,
        "partitioner": "murmur2_random",
        "queue.buffering.max.messages": 1_000_000,
    }
    return Confluent(Producer(settings), topic)


if __name__ == "__main__":
    main()
