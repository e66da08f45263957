"""What a dead letter holds: a refused message, as much of it as is sure to fit, and why."""

from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from streamrec.events.event import Rejected
from streamrec.transport.assignment import name_of
from streamrec.transport.kafka_log import (
    MOST_KEPT_BYTES,
    Cut,
    Message,
    Partition,
    Unreadable,
    cut,
)

MOST_HEADER_BYTES = 1024
"""Of the original's key, and of the detail: ids are at most 128 bytes."""


class DeadLetter(NamedTuple):
    """A message for the dead-letter topic."""

    key: bytes
    value: bytes | None
    headers: list[tuple[str, bytes]]


def dead_letters(
    source: Partition, rejected: Iterable[tuple[Message, Rejected]], most: Callable[[int], int]
) -> Iterator[DeadLetter]:
    """Yield the dead letters of messages; most: bytes that one at an offset may carry."""
    for message, why in rejected:
        yield dead_letter(source, message, why, most(message.offset))


def dead_letter(
    source: Partition, message: Message, why: Rejected, most: int = MOST_KEPT_BYTES
) -> DeadLetter:
    """Return the dead letter of a message: its first `most` bytes, its length and SHA-256."""
    headers = {
        "reason": why.reason.encode(),
        "detail": why.detail.encode()[:MOST_HEADER_BYTES],
        "topic": source.topic.encode(),
        "partition": b"%d" % source.number,
        "offset": b"%d" % message.offset,
        "key": (message.key or b"")[:MOST_HEADER_BYTES],
    }
    value = None
    if message.value is not None and not isinstance(message.value, Unreadable):
        kept = message.value if isinstance(message.value, Cut) else cut(message.value)
        headers |= {"length": b"%d" % kept.length, "sha256": kept.sha256.encode()}
        value = bytes(kept[:most])
    place = f"{name_of(source)}/{message.offset}".encode()
    return DeadLetter(place, value, list(headers.items()))
