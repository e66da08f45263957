"""Both stages over a Kafka of lists and a real Redis: faults on the way."""

import json
from collections.abc import Callable
from typing import Any

import pytest
import redis
from laws.spine import DEAD, EVENTS, Spine
from laws.world import counted, event, small, stored_recount
from recovery.recount import Raw, Recount

from streamrec.errors import StoreError
from streamrec.roles.learning import stage as stage_module
from streamrec.roles.learning.stage import DOUBTS, Stage
from streamrec.settings.sections import Settings
from streamrec.sources.segment import SEGMENT_PREFIX
from streamrec.state.keys import key_of
from streamrec.state.segments import MOST
from streamrec.state.user_rows import decode_user
from streamrec.state.user_shard import UserShard
from streamrec.transport.kafka.log import Partition
from streamrec.transport.redis.store import Store

SETTINGS = small(users={"cached_users": 2})
Make = Callable[..., Spine]


@pytest.fixture
def make(make_spine: Callable[[Settings, int], Spine]) -> Make:
    return lambda settings=SETTINGS, parts=2: make_spine(settings, parts)


@pytest.fixture(autouse=True)
def no_backoff(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stage_module, "BACKOFF_SECONDS", (0.001,))


def clicks(count: int, start: int = 0) -> list[dict[str, Any]]:
    return [
        event(f"u{n % 4}", f"i{n * 7 % 11}", ts=n, id=f"e{n}") for n in range(start, start + count)
    ]


def step(stage: Stage) -> None:
    """One turn as `run` does it: what is in doubt starts over."""
    try:
        stage.step()
    except DOUBTS as doubt:
        stage._start_over(doubt)


def settle(spine: Spine) -> None:
    """Turn both stages until everything is learnt."""
    for _ in range(60):
        step(spine.users)
        step(spine.items)
    end = spine.broker.messages[EVENTS][-1].offset + 1
    assert spine.store.meta("u0")[b"offset"] == b"%d" % end


def stored(spine: Spine) -> Recount:
    """Return what is in Redis in the form of the recount."""
    kinds = {"u0": ["users"]} | {
        f"i{n}": ["items", "similarity", "catalogue"] for n in range(spine.parts)
    }
    rows = {name: {k: spine.store.all_rows(name, k) for k in kinds[name]} for name in kinds}
    return stored_recount(spine.settings, rows, {"u0": spine.store.meta("u0")})


def expected(spine: Spine) -> Recount:
    log = [Raw(m.offset, m.timestamp, m.value) for m in spine.broker.messages[EVENTS]]
    return counted(SETTINGS, log)


def test_turns_learn_everything_once(make: Make) -> None:
    spine = make()
    spine.learn([*clicks(50), b"{", None, *clicks(20, 46)], batch=7)
    assert expected(spine).difference(stored(spine)) == []
    assert spine.value("events_duplicate_total") > 0


def test_a_broker_that_delivers_again_is_not_believed(make: Make) -> None:
    """No message below the shard's offset is folded, by either stage."""
    spine = make()
    for n in range(0, 60, 6):
        spine.users_log.keep_back[EVENTS] = max(0, n - 9)
        for part in range(spine.parts):
            spine.items_log.keep_back[Partition("updates", part)] = 0
        spine.learn(clicks(6, n))
    assert expected(spine).difference(stored(spine)) == []
    assert spine.value("channel_duplicates_total") == 0


def test_half_of_a_batch_was_delivered(make: Make) -> None:
    spine = make()
    for n in range(0, 60, 6):
        spine.users_log.lose_deliveries = n % 4 // 2
        spine.send(clicks(6, n))
        step(spine.users)
        step(spine.items)
    settle(spine)
    assert expected(spine).difference(stored(spine)) == []
    assert spine.value("produce_errors_total") > 2
    assert spine.value("channel_duplicates_total") > 2


def test_commits_fail_after_the_updates_were_sent(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    spine, calls = make(), 0
    real = Store.commit

    def commit(self: Store, commit: Any) -> None:
        nonlocal calls
        calls += 1
        if calls % 3 == 0:
            raise StoreError("no reply")
        real(self, commit)
        if calls % 4 == 0:
            raise StoreError("the reply was lost")

    monkeypatch.setattr(Store, "commit", commit)
    for n in range(0, 60, 6):
        spine.send(clicks(6, n))
        step(spine.users)
        step(spine.items)
    settle(spine)
    assert expected(spine).difference(stored(spine)) == []
    assert spine.value("commits_total", stage="user", result="failed") > 2


def test_two_that_think_they_own_the_partition(make: Make) -> None:
    """A zombie folds, sends and fails to commit; the counts are as if it never had been."""
    spine, zombie = make(), make()
    zombie.broker = spine.broker
    zombie.start()
    for n in range(0, 60, 6):
        spine.send(clicks(6, n))
        for stage in (zombie.users, spine.users, spine.items, zombie.items, spine.users):
            step(stage)
    settle(spine)
    assert expected(spine).difference(stored(spine)) == []
    both = [s.value("commits_total", stage="user", result="conflict") for s in (spine, zombie)]
    assert sum(both) > 0


def test_rows_that_another_wrote_meanwhile_are_not_folded_upon(make: Make) -> None:
    """A zombie commits between the new owner's look at the offset and its look at the rows.

    The new owner's commit fails, but the records it sent first say what a wrong history says.
    """
    settings = small(users={"recent_items": 2})
    spine, zombie = make(settings), make(settings)
    spine.learn([event("u0", "a", ts=1), event("u0", "b", ts=2)])
    zombie.broker = spine.broker
    zombie.start()
    spine.start()
    step(zombie.users)
    step(spine.users)  # both stand at offset 2, with no rows in memory
    spine.send([event("u0", "d", ts=0), event("u0", "b", "remove", ts=3)])
    step(zombie.users)
    spine.send([event("u0", "x", ts=4)])
    for _ in range(3):
        step(spine.users)
        step(spine.items)
    log = [Raw(m.offset, m.timestamp, m.value) for m in spine.broker.messages[EVENTS]]
    assert counted(settings, log).difference(stored(spine)) == []


def poisoned(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Make the fold raise for one item; return the sizes of the batches that raised."""
    real, raised = UserShard._arrays, []

    def arrays(self: UserShard, accepted: Any, table: Any) -> Any:
        if any(one.event.item == "poison" for one in accepted):
            raised.append(len(accepted))
            raise IndexError("a bug")
        return real(self, accepted, table)

    monkeypatch.setattr(UserShard, "_arrays", arrays)
    return raised


def test_poison_goes_to_the_dead_letters_and_its_neighbours_are_learnt_once(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    raised = poisoned(monkeypatch)
    spine = make()
    spine.send([*clicks(9), event("u1", "poison", id="p"), *clicks(9, 9)])
    settle(spine)
    assert raised == [19, 5, 2, 1, 1, 1]
    counters = stored(spine).partitions[0]
    assert (counters["consumed"], counters["accepted"], counters["rejected"]) == (19, 18, 1)
    [letter] = spine.broker.messages[DEAD]
    assert json.loads(letter.value or b"")["item"] == "poison"
    assert letter.key == b"events/0/9"
    headers = spine.broker.headers[DEAD, letter.offset]
    assert headers["reason"] == b"poison" and headers["offset"] == b"9"
    without = [m for m in spine.broker.messages[EVENTS] if b"poison" not in (m.value or b"")]
    clean = counted(SETTINGS, [Raw(m.offset, m.timestamp, m.value) for m in without])
    wrong = [line for line in clean.difference(stored(spine)) if "partitions" not in line]
    assert wrong == []


def test_poison_does_not_hold_up_another_partition_for_long(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The metadata of the same poll is learnt once, too."""
    poisoned(monkeypatch)
    spine = make()
    spine.send([event("u1", "poison"), *clicks(5)])
    spine.describe(item="i3", title="Three")
    settle(spine)
    assert spine.store.meta("m0")[b"offset"] == b"1"
    counters = json.loads(spine.store.meta("m0")[b"counters"])
    assert (counters["consumed"], counters["accepted"]) == (1, 1)


def test_refused_messages_keep_their_bytes_and_say_why(make: Make) -> None:
    spine = make()
    spine.broker.append(EVENTS, b"\xff{", b"the key")
    spine.learn([event("u0", "a", "teleport"), event("u0", "a")])
    first, second = spine.broker.messages[DEAD]
    assert (first.value, first.key) == (b"\xff{", b"events/0/0")
    headers = spine.broker.headers[DEAD, 0]
    assert headers["reason"] == b"malformed" and headers["key"] == b"the key"
    assert (headers["topic"], headers["partition"]) == (b"events", b"0")
    assert spine.broker.headers[DEAD, 1]["reason"] == b"unknown_type"
    assert b"teleport" in (second.value or b"")
    assert spine.value("dead_letters_total") == 2


def test_users_over_the_bound_go_the_longest_idle_first(make: Make) -> None:
    settings = small(users={"max_users": 10, "cached_users": 1})
    spine = make(settings)
    for n in range(30):
        spine.broker.now_ms += 60_000
        spine.learn([event(f"u{n}", f"i{n % 5}", ts=n)])
        assert len(spine.store.all_rows("u0", "users")) <= 11
    kept = {int(user[1:]) for user in spine.store.all_rows("u0", "users")}
    assert len(kept) == 10 == int(spine.store.meta("u0")[b"users"])
    assert sum(kept) / 10 > 15  # of 0 to 29: rather the later ones
    spine.learn([event("u0", "i1", ts=99)])  # comes back as a new user
    assert decode_user(spine.store.all_rows("u0", "users")[b"u0"]).events == 1


def keys_of_lists(spine: Spine) -> set[str]:
    """Return the keys of all lists of users, and of what is kept beside them."""
    client: Any = redis.Redis.from_url(spine.settings.redis.url)
    names = {name.decode() for name in client.scan_iter("*", count=1000)}
    begin = ("rec:u", "sr:shown:u", "sr:reading:u")
    return {name for name in names if name.startswith(begin)}


def test_the_lists_of_users_over_the_bound_go_with_their_rows(make: Make) -> None:
    """Or lists, which take many times what a row does, would lie outside of all bounds."""
    neural = {"sample_bytes_per_second": 1e9}
    spine = make(small(users={"max_users": 10, "cached_users": 1}, neural=neural))
    mine = spine.scorer()
    for n in range(30):
        spine.broker.now_ms += 60_000
        spine.learn([event(f"u{n}", f"i{n % 5}", ts=n)])
        mine.step(10.0 + n)
        spine.turn()
    rows = {user.decode() for user in spine.store.all_rows("u0", "users")}
    lists = keys_of_lists(spine)
    assert len(rows) == 10
    assert {name for name in lists if name.startswith("rec:")} == {f"rec:{user}" for user in rows}
    assert {name.rpartition(":")[2] for name in lists} == rows


def test_an_evicted_user_whom_another_shard_knows_keeps_the_list(make: Make) -> None:
    """Where events are keyed by something else, a user has rows in several partitions."""
    spine = make(small(users={"max_users": 1, "cached_users": 1}))
    spine.learn([event("u1", "a", ts=1)])
    mine = spine.scorer()
    mine.step(10.0)
    spine.store.run([("HSET", "sr:{u1}:users", "u1", b"row")])
    for shards, kept in ((2, True), (1, False)):
        spine.learner._forgetting.committed("u0", 99, {}, [b"u1"])
        spine.learner._forgetting.step(10.0, {"u0"}, shards)
        assert bool(keys_of_lists(spine)) == kept


def test_a_list_made_after_the_eviction_stays(make: Make) -> None:
    spine = make()
    spine.learn([event("u1", "a", ts=1), event("u1", "b", ts=2)])
    spine.score()
    spine.learner._forgetting.committed("u0", 0, {}, [b"u1"])
    spine.learner._forgetting.step(10.0, {"u0"}, 1)
    assert "rec:u1" in keys_of_lists(spine)


def test_a_bound_that_was_lowered_is_reached_in_steps(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """max_users from a million to 100,000 would ask Redis for 4.5 million rows in one reply."""
    before = make()
    before.learn([event(f"u{n}", "a", ts=n) for n in range(2000)])
    asked: list[int] = []
    real = Store.sample_users

    def sample(self: Store, shard: str, most: int) -> Any:
        asked.append(most)
        return real(self, shard, most)

    monkeypatch.setattr(Store, "sample_users", sample)
    spine = make(small(users={"max_users": 10, "cached_users": 1}))
    spine.broker = before.broker
    spine.start()
    for n in range(5):
        spine.learn([event("u0", "b", ts=5000 + n)])
    assert asked and max(asked) <= 5000


def test_names_that_somebody_made_up_as_a_segment_are_no_item_rows(make: Make) -> None:
    """Beside honest ones, through a restart: 300 names, each of one user."""
    spine = make(small(users={"segment_users": 3}))
    for n in range(30):
        honest = [event(f"u{n % 4}", f"i{n % 7}", ts=n, segment="DK")]
        spam = [event(f"v{n % 3}", f"i{k % 7}", ts=n, segment=f"x{10 * n + k}") for k in range(10)]
        spine.learn(honest + spam)
        if n == 15:
            spine.start()
    keys = [field for k in range(2) for field in spine.store.all_rows(f"i{k}", "items")]
    wanted = {key_of(f"i{n}") for n in range(7)} | {key_of(f"{SEGMENT_PREFIX}DK")}
    assert {int.from_bytes(field, "little") for field in keys} == wanted
    assert len(json.loads(spine.store.meta("u0")[b"segments"])) == MOST


def test_who_is_due_for_a_list(make: Make) -> None:
    spine = make()
    spine.broker.now_ms = now = 1_700_000_000_000
    spine.send([event("ann", "a"), event("eve", "a", "impression"), event("bob", "a", "dislike")])
    spine.broker.now_ms += 50
    spine.learn([event("ann", "b", ts=1), event("joe", "a", "remove", ts=1)])
    due = spine.store.take_due(["u0"], now + 100.0, now + 1000.0, 10)["u0"]
    assert sorted(due) == [("ann", now), ("bob", now), ("joe", now + 50)]
