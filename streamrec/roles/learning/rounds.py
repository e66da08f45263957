"""What is learnt together: polled messages, cut by bytes."""

from collections.abc import Iterator, Mapping, Sequence

from streamrec.transport.kafka.log import Message, Partition

Batches = Mapping[Partition, Sequence[Message]]
ROUND_BYTES = 2 * 1024 * 1024
"""Of messages of one partition that are learnt together; texts of items travel on in one record."""


def rounds(batches: Batches) -> Iterator[Batches]:
    """Yield the messages in rounds of at most ROUND_BYTES a partition, or one longer message.

    So the records and the commit that one round makes are bounded in bytes, not only in messages.
    """
    parts = {partition: list(_parts(messages)) for partition, messages in batches.items()}
    for number in range(max(map(len, parts.values()), default=0)):
        yield {p: cut[number] for p, cut in parts.items() if number < len(cut)}


def _parts(messages: Sequence[Message]) -> Iterator[Sequence[Message]]:
    start = held = 0
    for number, message in enumerate(messages):
        size = len(message.value or b"")
        if held + size > ROUND_BYTES and number > start:
            yield messages[start:number]
            start, held = number, 0
        held += size
    yield messages[start:]
