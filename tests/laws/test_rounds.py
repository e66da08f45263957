"""What is polled at once is learnt in rounds: a shard that Redis does not take ends no other's."""

from collections.abc import Callable
from typing import Any

import pytest
from laws.spine import EVENTS, ITEMS, Spine
from laws.world import event, small
from servers import RedisServer

from streamrec.errors import GapError, StoreError
from streamrec.roles.learning import rounds
from streamrec.roles.learning.stage import ShardsInDoubt
from streamrec.settings.sections import Settings
from streamrec.transport.kafka.log import Partition
from streamrec.transport.redis.keys import Commit
from streamrec.transport.redis.store import Store

UPDATES = Partition("updates", 0)


def refuse_once(monkeypatch: pytest.MonkeyPatch, shard: str) -> None:
    """Let the next commit of a shard fail, as where its node does not answer."""
    real, refused = Store.commit, []

    def commit(self: Store, what: Commit) -> None:
        if what.shard == shard and not refused:
            refused.append(what)
            raise StoreError("no answer")
        real(self, what)

    monkeypatch.setattr(Store, "commit", commit)


def clicks(first: int, count: int) -> list[dict[str, Any]]:
    return [event(f"u{n % 5}", f"i{n * 7 % 23}", ts=n) for n in range(first, first + count)]


def test_updates_of_a_shard_whose_neighbour_fails_are_not_skipped(
    make_spine: Callable[[Settings, int], Spine], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rounds, "ROUND_BYTES", 1)  # each record is a round
    spine = make_spine(small(), 2)
    for n in range(3):
        spine.send(clicks(40 * n, 40))
        spine.users.step()
    refuse_once(monkeypatch, "i0")
    with pytest.raises(ShardsInDoubt) as doubt:
        spine.items.step()
    spine.items._start_over(doubt.value)
    spine.items._waiting = dict.fromkeys(spine.items._waiting, 0.0)
    spine.learn(clicks(120, 40))  # a GapError where a record was skipped
    for shard in ("i0", "i1"):
        assert spine.store.meta(shard)[b"marks"] == b'{"u0": 160}'


def three_updates(make_spine: Callable[[Settings, int], Spine]) -> Spine:
    """Return a spine that has learnt the first of three records of each shard."""
    spine = make_spine(small(), 2)
    spine.learn(clicks(0, 40))
    for n in (1, 2):
        spine.send(clicks(40 * n, 40))
        spine.users.step()
    return spine


def find_a_gap(spine: Spine) -> None:
    """Let a turn find i0's gap, which is a doubt and not yet an error."""
    with pytest.raises(ShardsInDoubt, match="i0: updates of u0 jump from offset 40 to 80") as doubt:
        spine.items.step()
    assert set(doubt.value.doubts) == {UPDATES}
    spine.items._start_over(doubt.value)
    spine.items._waiting = dict.fromkeys(spine.items._waiting, 0.0)
    assert spine.value("partition_refetches_total", stage="item") == 1


def test_a_record_that_the_client_left_out_is_read_again(
    make_spine: Callable[[Settings, int], Spine],
) -> None:
    spine = three_updates(make_spine)
    spine.items_log.seek(UPDATES, 2)
    find_a_gap(spine)
    spine.learn(clicks(120, 40))
    for shard in ("i0", "i1"):
        assert spine.store.meta(shard)[b"marks"] == b'{"u0": 160}'


def test_a_record_that_is_missing_ends_the_stage_when_it_was_read_twice(
    make_spine: Callable[[Settings, int], Spine],
) -> None:
    spine = three_updates(make_spine)
    del spine.broker.messages[UPDATES][1]
    find_a_gap(spine)
    with pytest.raises(GapError, match="i0: updates of u0 jump from offset 40 to 80"):
        spine.items.step()
    assert spine.store.meta("i0")[b"marks"] == b'{"u0": 40}'
    assert spine.store.meta("i1")[b"marks"] == b'{"u0": 120}'


def test_two_installations_of_one_group_repeat_updates_and_leave_none_out(
    make_spine: Callable[[Settings, int], Spine], clean_redis: RedisServer
) -> None:
    """By mistake: one broker, each with a Redis of its own; the partitions go to and fro."""
    one = make_spine(small(), 2)
    other = Spine(small(), clean_redis.url.replace("/0", "/1"), 2)
    other.broker = one.broker
    other.start()
    updates = [Partition("updates", n) for n in range(2)]
    for n in range(12):
        here, there = (one, other) if n % 2 else (other, one)
        there.users_log.give()
        here.users_log.give(EVENTS, ITEMS)
        owner, guest = (one, other) if n // 3 % 2 else (other, one)
        guest.items_log.give()
        owner.items_log.give(*updates)
        one.send(clicks(40 * n, 40))
        for spine in (there, here, guest, owner):
            spine.turn()  # a GapError where a record is missing
    assert one.value("channel_duplicates_total") and other.value("channel_duplicates_total")
    for spine, rest in ((one, other), (other, one)):
        rest.items_log.give()
        rest.turn()
        spine.items_log.give(*updates)
        spine.turn()
        assert spine.store.meta("i0")[b"marks"] == b'{"u0": 480}'
    other.close()


def test_the_copy_of_the_items_is_fresh_where_no_events_come(
    make_spine: Callable[[Settings, int], Spine],
) -> None:
    spine = make_spine(small(), 2)
    spine.users.step()
    assert spine.feed.refreshed > 0
    assert spine.value("item_table_age_seconds") < 60


def test_records_that_come_again_take_no_offset_back(
    make_spine: Callable[[Settings, int], Spine],
) -> None:
    """Where they are too few to reach the end again: it would be stored as not learnt."""
    spine = three_updates(make_spine)
    spine.items.step()
    stored = spine.store.meta("i0")
    again = {UPDATES: spine.broker.messages[UPDATES][:1]}
    spine.items._learner.learn(again, spine.items.shards)
    assert spine.store.meta("i0") == stored
