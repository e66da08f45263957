"""The watchdog names partitions that wait behind their high watermark, and no others."""

from streamrec.roles.learning.watchdog import Watchdog
from streamrec.transport.kafka.log import Partition

P0, P1 = Partition("events", 0), Partition("events", 1)


def test_a_partition_that_moves_or_is_read_to_its_end_is_never_stuck() -> None:
    watchdog = Watchdog(60.0)
    for now in range(0, 600, 10):
        watchdog.seen(P0, now, 10_000, float(now))
        watchdog.seen(P1, 7, 7, float(now))
        assert watchdog.stuck(float(now)) == []


def test_a_partition_that_stands_still_is_stuck_after_the_time_and_not_before() -> None:
    watchdog = Watchdog(60.0)
    for now in (0.0, 30.0, 59.9):
        watchdog.seen(P1, 5, 6, now)
        watchdog.seen(P0, 5, 6, now)
        assert watchdog.stuck(now) == []
    assert watchdog.stuck(60.0) == [P0, P1]


def test_a_stuck_partition_gets_the_full_time_again() -> None:
    watchdog = Watchdog(60.0)
    watchdog.seen(P0, 5, 6, 0.0)
    assert watchdog.stuck(60.0) == [P0]
    watchdog.seen(P0, 5, 6, 61.0)
    assert watchdog.stuck(119.0) == []
    assert watchdog.stuck(120.0) == [P0]


def test_the_wait_begins_when_messages_are_there() -> None:
    watchdog = Watchdog(60.0)
    watchdog.seen(P0, 5, 5, 0.0)
    watchdog.seen(P0, 5, 6, 100.0)
    assert watchdog.stuck(159.0) == []
    assert watchdog.stuck(160.0) == [P0]


def test_one_message_ends_the_wait() -> None:
    watchdog = Watchdog(60.0)
    watchdog.seen(P0, 5, 9, 0.0)
    watchdog.seen(P0, 6, 9, 50.0)
    assert watchdog.stuck(60.0) == []


def test_a_partition_that_was_never_fetched_counts_as_waiting() -> None:
    watchdog = Watchdog(60.0)
    watchdog.seen(P0, 5, None, 0.0)
    assert watchdog.stuck(60.0) == [P0]


def test_a_revoked_partition_is_forgotten() -> None:
    watchdog = Watchdog(60.0)
    watchdog.seen(P0, 5, 6, 0.0)
    watchdog.forget(P0)
    watchdog.forget(P1)
    assert watchdog.stuck(1000.0) == []
