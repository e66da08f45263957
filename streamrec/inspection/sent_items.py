"""How much of what the items topic has is not in the item rows of Redis yet."""

from collections.abc import Mapping
from contextlib import closing

from streamrec.inspection.accounts import Ends
from streamrec.inspection.stored_state import Stored
from streamrec.settings.sections import KafkaSettings
from streamrec.transport.kafka.log import Partition


def sent_until_now(kafka: KafkaSettings, stored: Stored) -> dict[str, int]:
    """Return the offset behind the last message of each metadata shard's partition.

    Raises WrongTopic where there is no such topic, BrokerUnavailable if Kafka does not answer.
    """
    topic, metas = kafka.items_topic, stored.metas("m")
    stood = {Partition(topic, int(name[1:])): meta.offset for name, meta in metas.items()}
    with closing(Ends(kafka, [topic])) as ends:
        found = ends.look(stood)
    return {
        ends.shard(part): end.end if end.more else stood.get(part, end.start)
        for part, end in found.items()
    }


def unlearnt(stored: Stored, sent: Mapping[str, int]) -> int:
    """Return how many messages before those offsets some owner of items has not learnt."""
    sources, owners = stored.metas("m"), stored.metas("i")
    left = 0
    for name, end in sent.items():
        if source := sources.get(name):
            marks = [
                owners[i].marks.get(name, source.start) if i in owners else source.start
                for i in stored.names("i")
            ]
            left += max(0, end - min([source.offset, *marks]))
        else:
            left += end
    return left
