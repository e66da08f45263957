"""A member of a consumer group for the laws of the Log; run as a program, it is one to pause."""

import json
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence

from streamrec.settings.sections import KafkaSettings
from streamrec.transport.kafka.log import Log, Message, Partition
from streamrec.transport.kafka.open_log import open_kafka

CLIENTS = ["kafka-python", "confluent"]


class Member:
    """Subscribes a Log and keeps what happens to it."""

    def __init__(
        self,
        log: Log,
        topics: Sequence[str],
        starts: Mapping[Partition, int] | None = None,
        tell: Callable[[str, Sequence[Partition]], None] = lambda what, partitions: None,
    ) -> None:
        self.log = log
        self.starts = dict(starts or {})
        self.resumes = False  # go on behind the last message when a partition comes back
        self.owned: set[Partition] = set()
        self.assigned: list[list[Partition]] = []
        self.revoked: list[list[Partition]] = []
        self.messages: dict[Partition, list[Message]] = defaultdict(list)
        self._tell = tell
        log.subscribe(topics, self._on_assign, self._on_revoke)

    def poll(self, timeout_seconds: float = 0.2, max_messages: int = 1000) -> int:
        """Poll once and return the number of messages that came."""
        batch = self.log.poll(timeout_seconds, max_messages)
        for partition, messages in batch.items():
            assert partition in self.owned
            assert messages
            self.messages[partition].extend(messages)
        return sum(map(len, batch.values()))

    def until(self, condition: Callable[[], bool], seconds: float = 60.0) -> None:
        """Poll until the condition holds."""
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, f"not within {seconds} s: {self}"
            self.poll()

    def join(self, partitions: int) -> None:
        """Poll until so many partitions are owned."""
        self.until(lambda: len(self.owned) == partitions)

    @property
    def count(self) -> int:
        """All messages so far."""
        return sum(map(len, self.messages.values()))

    def _on_assign(self, partitions: Sequence[Partition]) -> Mapping[Partition, int]:
        assert not self.owned & set(partitions)
        self.owned |= set(partitions)
        self.assigned.append(list(partitions))
        self._tell("assigned", partitions)
        return {partition: self._start(partition) for partition in partitions}

    def _start(self, partition: Partition) -> int:
        if self.resumes and self.messages[partition]:
            return self.messages[partition][-1].offset + 1
        return self.starts.get(partition, 0)

    def _on_revoke(self, partitions: Sequence[Partition]) -> None:
        assert set(partitions) <= self.owned
        self.owned -= set(partitions)
        self.revoked.append(list(partitions))
        self._tell("revoked", partitions)

    def __str__(self) -> str:
        return f"owned {sorted(self.owned)}, {self.count} messages, revoked {self.revoked}"


def main() -> None:
    """Run one member until killed; print what happens as one JSON object a line."""
    client, brokers, group, topic = sys.argv[1:]
    settings = KafkaSettings(
        brokers=brokers, client=client, session_timeout_seconds=2.0, fetch_wait_seconds=0.02
    )

    def tell(what: str, partitions: Sequence[Partition]) -> None:
        print(json.dumps({what: [partition.number for partition in partitions]}), flush=True)

    member = Member(open_kafka(settings, group), [topic], tell=tell)
    while True:
        member.poll()


if __name__ == "__main__":
    main()
