"""Reads what was really in the log and what was stored, both as a Recount, to be compared."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from kafka import KafkaConsumer, TopicPartition
from kafka.consumer.fetcher import ConsumerRecord
from recovery.recount import Raw, Recount, exported_user


def read_topic(brokers: str, topic: str) -> dict[int, list[ConsumerRecord]]:
    """Return all messages of a topic by partition, in offset order."""
    consumer = KafkaConsumer(
        bootstrap_servers=brokers,
        enable_auto_commit=False,
        fetch_max_wait_ms=50,
        max_poll_records=5000,
    )
    try:
        parts = [TopicPartition(topic, p) for p in sorted(consumer.partitions_for_topic(topic))]
        consumer.assign(parts)
        consumer.seek_to_beginning(*parts)
        found: dict[int, list[ConsumerRecord]] = {part.partition: [] for part in parts}
        while not all(_at_end(consumer, part) for part in parts):
            for part, messages in consumer.poll(timeout_ms=200).items():
                found[part.partition] += messages
        return found
    finally:
        consumer.close()


def _at_end(consumer: KafkaConsumer, part: TopicPartition) -> bool:
    # the high watermark of a fetch: what a broker says when asked for the end may be wrong (Tansu)
    end = consumer.highwater(part)
    return end is not None and consumer.position(part) >= end


def recount_topic(brokers: str, topic: str) -> Recount:
    """Return the recount of the events topic as it is."""
    count = Recount()
    count.all(
        {
            number: [Raw(m.offset, m.timestamp, m.value) for m in messages]
            for number, messages in read_topic(brokers, topic).items()
        }
    )
    return count


def read_export(directory: Path) -> Recount:
    """Return what `streamrec export` wrote; offsets within histories are not exported."""
    stored = Recount()
    for row in _lines(directory / "users.jsonl"):
        assert row["user"] not in stored.users, f"{row['user']} is exported twice"
        stored.users[row["user"]] = exported_user(row)
    for row in _lines(directory / "items.jsonl"):
        stored.item_events[row["item"]] += row["events"]
        stored.item_pairs[row["item"]] += row["pairs"]
    for row in _lines(directory / "pairs.jsonl"):
        stored.pairs[row["item"], row["neighbour"]] += row["count"]
    for row in _lines(directory / "partitions.jsonl"):
        stored.partitions[row.pop("partition")] = row
    return stored


def read_dead_letters(brokers: str, topic: str) -> dict[tuple[int, int], bytes]:
    """Return the dead letters by partition and offset of the message; equal repeats are one."""
    letters: dict[tuple[int, int], bytes] = {}
    for messages in read_topic(brokers, topic).values():
        for message in messages:
            _, partition, offset = message.key.decode().rsplit("/", 2)
            place = int(partition), int(offset)
            value = message.value or b""
            assert letters.setdefault(place, value) == value, f"two letters differ: {place}"
    return letters


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    with path.open() as lines:
        for line in lines:
            yield json.loads(line)
