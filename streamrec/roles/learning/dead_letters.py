"""Refused messages: what their dead letters hold, and which are found by halves and given up."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

from streamrec.events.event import Rejected
from streamrec.transport.kafka.assignment import name_of
from streamrec.transport.kafka.log import (
    MOST_KEPT_BYTES,
    Cut,
    Message,
    Partition,
    Unreadable,
    cut,
)

MOST_HEADER_BYTES = 1024
"""Of the original's key, and of the detail: ids are at most 128 bytes."""
TRIES = 3
"""Of a message alone, before it is poison."""


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


class Suspects:
    """Which messages may be poison. Holds one range a partition and one count a suspect."""

    def __init__(self) -> None:
        self._until: dict[Partition, int] = {}
        self._tries: dict[tuple[Partition, int], int] = {}

    def blame(self, partition: Partition, messages: Sequence[Message]) -> None:
        """Note that these failed; one message alone is one try nearer to its end."""
        self._until[partition] = messages[-1].offset + 1
        if len(messages) == 1:
            at = (partition, messages[0].offset)
            self._tries[at] = self._tries.get(at, 0) + 1

    def isolate(self, partition: Partition, messages: Sequence[Message]) -> Sequence[Message]:
        """Return the messages that may be folded together now: of suspects the first half."""
        until = self._until.get(partition, 0)
        suspects = sum(message.offset < until for message in messages)
        return messages[: max(1, suspects // 2)] if suspects else messages

    def refused(self, partition: Partition, messages: Sequence[Message]) -> dict[int, Rejected]:
        """Return what is refused before it is decoded: not read, too long, or tried enough."""
        refused = {}
        for offset, _, _, value in messages:
            if isinstance(value, Unreadable):
                refused[offset] = Rejected("unreadable", value.decode())
            elif isinstance(value, Cut):
                refused[offset] = Rejected("too_large", f"{value.length} bytes")
        if len(messages) == 1 and self._tries.get((partition, messages[0].offset), 0) >= TRIES:
            why = Rejected("poison", f"it failed {TRIES} times, see the log of learn")
            refused[messages[0].offset] = why
        return refused

    def most_bytes(self, partition: Partition, offset: int) -> int:
        """Return how much of a message its dead letter may carry: nothing where that failed too."""
        return MOST_KEPT_BYTES if self._tries.get((partition, offset), 0) < 2 * TRIES else 0

    def passed(self, partition: Partition, offset: int) -> None:
        """Forget the suspects before `offset`: they are stored."""
        if self._until.get(partition, offset + 1) <= offset:
            del self._until[partition]
        for at in [at for at in self._tries if at[0] == partition and at[1] < offset]:
            del self._tries[at]
