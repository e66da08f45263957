"""What the user stage has of a partition between folding its batch and storing it."""

from typing import NamedTuple

from streamrec.events.event import Rejected
from streamrec.flow import due_users, users_over
from streamrec.settings.sections import Settings
from streamrec.state.metadata_shard import MetadataShard
from streamrec.state.updates import Updates
from streamrec.state.user_fold import UserFold
from streamrec.state.user_rows import longest_idle
from streamrec.state.user_shard import UserShard
from streamrec.transport.kafka.log import Message, Partition
from streamrec.transport.redis.keys import Commit
from streamrec.transport.redis.store import Store

EVICTION_SAMPLE = 5
"""Users looked at for each one that is dropped: the longest idle of them."""
AnyShard = UserShard | MetadataShard


class Work(NamedTuple):
    """One partition's folded batch, not yet sent or stored."""

    partition: Partition
    shard: AnyShard
    records: list[Updates]
    rejected: list[tuple[Message, Rejected]]
    fold: UserFold | None  # None for metadata


def commit_of(
    work: Work, expected: int | None, settings: Settings, store: Store, now: float
) -> Commit:
    """Return what is to be stored of a batch: changed rows, due users, who is dropped; now: ms.

    Of too many users, some of those who are idle the longest are dropped.
    """
    shard = work.shard
    due: dict[str, float] = {}
    deletes: list[bytes] = []
    undue: list[str] = []
    if isinstance(shard, UserShard) and work.fold is not None:
        due = due_users(settings, work.fold, now)
        if over := users_over(settings, shard):
            sample = store.sample_users(shard.name, EVICTION_SAMPLE * over)
            shard.evicted = longest_idle(sample, over, shard.users.row_of)
        deletes, undue = shard.deletes, list(work.fold.forgotten)
    rows, meta = shard.changes()
    gone = {"users": deletes}
    return Commit(shard.name, expected, meta, rows, gone, due, undue)
