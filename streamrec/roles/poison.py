"""Poison: messages whose fold raises are tried one by one, and given up after three tries."""

from collections.abc import Sequence

from streamrec.events.event import Rejected
from streamrec.transport.kafka_log import Message, Partition

TRIES = 3


class Suspects:
    """Which messages may be poison. Holds one range a partition and one count a suspect."""

    def __init__(self) -> None:
        self._until: dict[Partition, int] = {}
        self._tries: dict[tuple[Partition, int], int] = {}

    def blame(self, partition: Partition, messages: Sequence[Message]) -> None:
        """Note that folding these raised; one message alone is one try nearer to its end."""
        self._until[partition] = messages[-1].offset + 1
        if len(messages) == 1:
            at = (partition, messages[0].offset)
            self._tries[at] = self._tries.get(at, 0) + 1

    def isolate(self, partition: Partition, messages: Sequence[Message]) -> Sequence[Message]:
        """Return the messages that may be folded together now: only the first while suspected."""
        if messages and messages[0].offset < self._until.get(partition, 0):
            return messages[:1]
        return messages

    def verdict(self, partition: Partition, offset: int) -> Rejected | None:
        """Return why a message is given up, if it is."""
        if self._tries.get((partition, offset), 0) < TRIES:
            return None
        return Rejected("poison", f"the fold raised {TRIES} times, see the log of learn")

    def passed(self, partition: Partition, offset: int) -> None:
        """Forget the suspects before `offset`: they are stored."""
        if self._until.get(partition, offset + 1) <= offset:
            del self._until[partition]
        for at in [at for at in self._tries if at[0] == partition and at[1] < offset]:
            del self._tries[at]
