"""What the user stage has of a partition between folding its batch and storing it."""

from typing import NamedTuple

from streamrec.events.event import Rejected
from streamrec.state.metadata_shard import MetadataShard
from streamrec.state.updates import Updates
from streamrec.state.user_fold import UserFold
from streamrec.state.user_shard import UserShard
from streamrec.transport.kafka_log import Message, Partition

AnyShard = UserShard | MetadataShard


class Work(NamedTuple):
    """One partition's folded batch, not yet sent or stored."""

    partition: Partition
    shard: AnyShard
    expected: int | None
    records: list[Updates]
    rejected: list[tuple[Message, Rejected]]
    fold: UserFold | None  # None for metadata
