"""What must hold before there are more partitions: nothing runs, all is learnt, keys are ids."""

import json
import time
import uuid
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import closing

import msgspec

from streamrec.errors import ConfigurationError, LogError
from streamrec.growth.plan import Plan
from streamrec.inspection.accounts import Ends
from streamrec.settings.sections import KafkaSettings, Settings
from streamrec.transport.kafka.assignment import name_of
from streamrec.transport.kafka.log import Log, Partition, partition_of
from streamrec.transport.kafka.log_identity import LogIdentity, differences
from streamrec.transport.kafka.open_log import open_kafka
from streamrec.transport.kafka.topics import admin_client
from streamrec.transport.redis.forgetting import FORGOTTEN
from streamrec.transport.redis.keys import (
    POPULAR,
    Shards,
    key,
    list_key,
    shard_letters,
    user_shards,
)
from streamrec.transport.redis.store import Store

SCORER_SECONDS = 2.5
"""A scorer publishes the list for strangers once a second."""
READ_SECONDS = 60.0
LEARN_FIRST = (
    "stop the producers, start `streamrec learn` until `streamrec audit` says that no work is left "
    "to learn, stop it, and try again"
)

GROUPS = {"users": "learn", "items": "learn", "train": "train"}


class Checks:
    """What is looked at before, while and after partitions are made more."""

    def __init__(self, settings: Settings, store: Store, shards: Shards, now: LogIdentity) -> None:
        """now: what Kafka has."""
        self.shards, self.now = shards, now
        self._settings, self._kafka, self._store = settings, settings.kafka, store

    @property
    def has_more(self) -> bool:
        """Whether Kafka has more partitions than the state knows."""
        counts = [self.now.counts[topic] for topic in shard_letters(self._kafka)]
        return tuple(counts) != self.shards.counts

    def fit(self, plan: Plan) -> None:
        """Raise ConfigurationError unless Kafka has the partitions of before, or of the plan."""
        topics, before = shard_letters(self._kafka), self.shards.counts
        for topic, then, wanted in zip(topics, before, plan.targets, strict=True):
            if (count := self.now.counts[topic]) not in (then, wanted):
                raise ConfigurationError(
                    f"topic {topic} has {count} partitions already, of which the state knows "
                    f"{then}: grow to {count} first, then to more"
                )
        users, updates, items = (self.now.counts[topic] for topic in topics)
        same = msgspec.structs.replace(self.shards, users=users, items=updates, metadata=items)
        if found := differences(same, self.now, self._kafka):
            raise ConfigurationError("; ".join(found))

    def ready(self, plan: Plan) -> None:
        """Raise ConfigurationError unless nothing runs, all is learnt, and rows lie right."""
        if lives := living(self._kafka, self._store):
            raise ConfigurationError(
                f"stop all processes first; still there: {'; '.join(lives)} (one that was killed "
                f"is seen for {self._kafka.session_timeout_seconds:g} s)"
            )
        self.all_learnt(plan)
        if plan.events == self.shards.users:
            return
        if count := forgetting(self._store, self.shards):
            raise ConfigurationError(
                f"{count} users are being forgotten: let `streamrec learn` run for "
                f"{2 * self._settings.lists.lease_seconds:g} s more"
            )
        places = {self.shards.users, self.now.counts[self._kafka.events_topic]}
        lost, total, example = astray(self._store, self.shards, places)
        if lost and not plan.despite_keys:
            raise ConfigurationError(
                f"{lost} of {total} user rows (one is {example!r}) do not lie where the key user "
                "id puts them (murmur2): their events had another key, or another partitioner. "
                "Where the next ones go cannot be told. If producers use the user id now: "
                "--despite-keys puts the rows where it says, and makes one of two of a user"
            )

    def all_learnt(self, plan: Plan) -> None:
        """Raise ConfigurationError unless all is learnt that new partitions would part."""
        with closing(Ends(self._kafka)) as ends:
            found = unlearnt(self._store, ends)
        if not self.has_more:
            if found:
                raise ConfigurationError(f"not all is learnt ({_places(found)}): {LEARN_FIRST}")
            return
        # somebody has made partitions already, so learn does not run: the rest is learnt afterwards
        if plan.updates != self.shards.items and any(
            part.topic == self._kafka.updates_topic for part in found
        ):
            raise ConfigurationError(
                f"updates are not all learnt ({_places(found)}): grow without --updates first"
            )
        behind = self._left_behind(
            plan, {p: found[p] for p in found if p.number < self.shards.users}
        )
        if behind and not plan.despite_keys:
            raise ConfigurationError(
                f"{_too_late(plan, behind)}: they came before the partitions were made. With "
                "--despite-keys they begin a second, short history of these users"
            )

    def too_late(self, plan: Plan) -> str:
        """Return whether messages came into former partitions while new ones were made, or ""."""
        with closing(Ends(self._kafka)) as ends:
            found = unlearnt(self._store, ends)
        behind = self._left_behind(plan, found)
        return _too_late(plan, behind) if behind else ""

    def _left_behind(self, plan: Plan, found: Mapping[Partition, int]) -> dict[bytes, int]:
        tails = {p.number: at for p, at in found.items() if p.topic == self._kafka.events_topic}
        return left_behind(self._kafka, tails, plan.events)


def living(kafka: KafkaSettings, store: Store) -> list[str]:
    """Return which processes can be seen to run; of `serve` nothing is to be seen."""
    names = {f"{kafka.group}-{suffix}": role for suffix, role in GROUPS.items()}
    with admin_client(kafka) as admin:
        groups = admin.describe_groups(list(names))
    members = Counter({names[group]: 0 for group in names})
    for group, found in groups.items():
        members[names[group]] = max(members[names[group]], len(found.get("members", ())))
    lives = [f"{role}: {count} in its consumer group" for role, count in members.items() if count]
    before = _popular_at(store)
    if before is not None and time.time() * 1000 - before < 60_000:
        time.sleep(SCORER_SECONDS)
        if _popular_at(store) != before:
            lives.append(f"score: it publishes {list_key(POPULAR)}")
    return lives


def forgetting(store: Store, shards: Shards) -> int:
    """Return how many users are being forgotten, whose keys in other slots are not all gone."""
    counts = store.run([("HLEN", key(shard, FORGOTTEN)) for shard in user_shards(shards)])
    return sum(counts)


def astray(store: Store, shards: Shards, counts: Collection[int]) -> tuple[int, int, str]:
    """Return how many user rows lie where no id puts them, of how many, and whose one of them is.

    counts: of how many partitions the producers may have known.
    """
    count = total = 0
    example = ""
    for number, shard in enumerate(user_shards(shards)):
        for user, _ in store.scan(shard, "users"):
            total += 1
            if all(partition_of(user, parts) != number for parts in counts):
                count, example = count + 1, example or user.decode()
    return count, total, example


def unlearnt(store: Store, ends: Ends) -> dict[Partition, int]:
    """Return the partitions with messages that are not learnt, and where their shards stand."""
    parts = list(ends.starts)
    found = store.run([("HGET", key(ends.shard(part), "meta"), "offset") for part in parts])
    stood = {p: int(at) for p, at in zip(parts, found, strict=True) if at is not None}
    seen = ends.look(stood)
    return {p: stood.get(p, end.start) for p, end in seen.items() if end.more}


def left_behind(
    kafka: KafkaSettings, tails: Mapping[int, int], partitions: int
) -> dict[bytes, int]:
    """Return how many messages of each key lie where its later ones will not go.

    tails: the events partitions to read, each to its end, and from where.
    """
    found: Counter[bytes] = Counter()
    for number, messages in _tails(kafka, tails):
        for message_key in messages:
            if message_key is not None and partition_of(message_key, partitions) != number:
                found[message_key] += 1
    return found


def _tails(
    kafka: KafkaSettings, tails: Mapping[int, int]
) -> Iterator[tuple[int, Sequence[bytes | None]]]:
    """Yield the keys of the messages of some events partitions, up to their present ends."""
    if not tails:
        return
    topic = kafka.events_topic
    with closing(open_kafka(kafka, f"{kafka.group}-audit-{uuid.uuid4().hex[:8]}")) as log:
        ends = {n: log.log_end(Partition(topic, n)) or 0 for n in tails}

        def start(fresh: Sequence[Partition]) -> Mapping[Partition, int]:
            return {p: tails.get(p.number, log.log_end(p) or 0) for p in fresh}

        log.subscribe([topic], start, lambda gone: None)
        left, heard = dict(tails), time.monotonic()
        while any(left[n] < ends[n] for n in left) and time.monotonic() - heard < READ_SECONDS:
            for part, messages in log.poll(0.2, 5000).items():
                heard = time.monotonic()
                yield part.number, [message.key for message in messages]
            for n in left:
                position = _position(log, Partition(topic, n))
                left[n] = max(left[n], position)


def _position(log: Log, part: Partition) -> int:
    """Return where it is read on, 0 before the group has given it to us."""
    try:
        return log.position(part)
    except LogError:
        return 0


def _popular_at(store: Store) -> int | None:
    [blob] = store.lists([POPULAR])
    return None if blob is None else int(json.loads(blob)["at"])


def _too_late(plan: Plan, behind: Mapping[bytes, int]) -> str:
    """Return what it means that messages lie in the partition of before."""
    some = next(iter(behind)).decode("utf-8", "replace")
    return (
        f"{sum(behind.values())} unlearnt messages of {len(behind)} users (one is {some!r}) lie in "
        f"partitions where these users' messages do not go with {plan.events} partitions"
    )


def _places(found: Mapping[Partition, int]) -> str:
    return ", ".join(f"{name_of(part)} from {at}" for part, at in sorted(found.items()))
