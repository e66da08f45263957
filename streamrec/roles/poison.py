"""Poison: messages that cannot be folded or told of are found by halves, and given up."""

from collections.abc import Sequence

from streamrec.events.event import Rejected
from streamrec.transport.kafka_log import MOST_KEPT_BYTES, Cut, Message, Partition, Unreadable

TRIES = 3


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
