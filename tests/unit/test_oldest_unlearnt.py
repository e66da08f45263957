"""How long the oldest unlearnt message has waited: never too short, and right where it is known."""

from streamrec.roles.reports.stage_report import OldestUnlearnt
from streamrec.transport.kafka.log import Partition

P, Q, ITEM = Partition("events", 0), Partition("events", 1), Partition("items", 0)


def test_nothing_waits() -> None:
    waiting = OldestUnlearnt()
    assert waiting.oldest_seconds("events", 100.0) == 0.0
    waiting.seen(P, False, 100.0)
    assert waiting.oldest_seconds("events", 200.0) == 0.0


def test_it_came_after_the_end_was_seen() -> None:
    waiting = OldestUnlearnt()
    waiting.seen(P, False, 100.0)
    waiting.seen(P, True, 101.0)
    assert waiting.oldest_seconds("events", 130.0) == 30.0
    waiting.seen(P, False, 131.0)
    assert waiting.oldest_seconds("events", 140.0) == 0.0


def test_it_came_after_the_last_learnt_one() -> None:
    """A start an hour behind: not known before the first message, then an hour."""
    waiting = OldestUnlearnt()
    waiting.seen(P, True, 5000.0)
    assert waiting.oldest_seconds("events", 5010.0) == 10.0
    waiting.learnt(P, 1_400_000)
    assert waiting.oldest_seconds("events", 5010.0) == 3610.0
    waiting.learnt(P, 5_009_000)
    assert waiting.oldest_seconds("events", 5010.0) == 1.0


def test_topics_and_partitions() -> None:
    waiting = OldestUnlearnt()
    for partition, at in ((P, 50.0), (Q, 10.0), (ITEM, 90.0)):
        waiting.seen(partition, True, at)
    waiting.learnt(Q, -1)  # it has no time
    assert waiting.oldest_seconds("events", 100.0) == 90.0
    assert waiting.oldest_seconds("items", 100.0) == 10.0
    waiting.forget(Q)
    assert waiting.oldest_seconds("events", 100.0) == 50.0
