"""A user who is forgotten is gone from all keys, and stays gone, whoever was killed when."""

import contextlib
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import redis
from laws.redis_kinds import redis_cluster
from laws.spine import Spine
from laws.world import World, event, raws, small
from needs import needs_server
from redis.cluster import RedisCluster

from streamrec.inspection.known_user import known_of, noted, traces_of
from streamrec.inspection.stored_state import Stored
from streamrec.settings.sections import RedisSettings, Settings
from streamrec.state.duplicates import Duplicates
from streamrec.state.ring import Ring
from streamrec.transport.redis.forgetting import delete_forgotten, delete_lists, known_elsewhere
from streamrec.transport.redis.keys import Commit, reading_key, shown_key
from streamrec.transport.redis.store import Store

LEASE = 0.0
"""Seconds: the second deletion comes with the next turn."""


def forget(user: str = "person1") -> dict[str, Any]:
    return {"user": user, "type": "forget"}


def clicks(users: int = 3, count: int = 30) -> list[dict[str, Any]]:
    return [event(f"person{n % users}", f"i{n * 7 % 11}", ts=n, id=f"e{n}") for n in range(count)]


@pytest.fixture
def spine(make_spine: Callable[[Settings, int], Spine]) -> Spine:
    made = make_spine(small(blend={"sample": 1.0}, events={"duplicate_window": 64}), 2)
    made.learner._forgetting._lease = LEASE
    return made


@pytest.fixture
def stored(spine: Spine) -> Iterator[Stored]:
    found = Stored(spine.settings.redis)
    yield found
    found.close()


def named(spine: Spine, user: str = "person1") -> list[str]:
    """Return every place of all of Redis where the user's id is: keys, fields, members, values."""
    client: Any = redis.Redis.from_url(spine.settings.redis.url)
    found, id_ = [], user.encode()
    for name in client.scan_iter("*", count=1000):
        kind = client.type(name)
        parts: list[bytes] = [name]
        if kind == b"hash":
            parts += [part for pair in client.hgetall(name).items() for part in pair]
        elif kind == b"zset":
            parts += client.zrange(name, 0, -1)
        elif kind == b"string":
            parts.append(client.get(name))
        found += [name.decode() for part in parts if id_ in part]
    return found


def test_a_forgotten_user_is_nowhere(spine: Spine, stored: Stored) -> None:
    spine.learn(clicks(), batch=5)
    spine.scorer().step(10.0)
    before = traces_of(stored, "person1")
    assert set(before.names) == {"row in u0", "list", "shown row"}
    assert named(spine)
    others = spine.store.rows("u0", "users", ["person0", "person2"])
    spine.send([forget()])
    spine.users.step()
    [told] = noted(stored, "person1").values()
    assert (told.offset, told.events, told.ids) == (30, 10, 10)
    assert told.recent == 5  # users.recent_items
    assert traces_of(stored, "person1").names == []
    spine.users.step()
    assert named(spine) == []
    assert spine.store.rows("u0", "users", ["person0", "person2"]) == others
    assert known_of(stored, spine.settings, "person1")["duplicate_ids"] == {}
    assert known_of(stored, spine.settings, "person2")["duplicate_ids"] == {"u0": 10}
    counters = spine.users.shards[next(iter(spine.users.shards))].counters  # type: ignore[attr-defined]
    assert (counters.control, counters.accepted, counters.consumed) == (1, 30, 31)
    assert int(spine.store.meta("u0")[b"users"]) == 2
    assert spine.value("events_control_total") == 1


def test_who_waits_for_a_list_after_a_bootstrap_is_told_of(spine: Spine, stored: Stored) -> None:
    spine.learn(clicks())
    spine.store.run([("ZADD", "sr:{u0}:later", 5, "person9")])
    assert traces_of(stored, "person9").names == ["due in u0"]
    spine.learn([forget("person9")])
    assert traces_of(stored, "person9").names == []


def test_two_messages_in_one_batch_are_one_receipt(spine: Spine, stored: Stored) -> None:
    spine.learn(clicks(), batch=5)
    spine.send([forget(), event("person1", "i9", ts=49), forget()])
    spine.users.step()
    [told] = noted(stored, "person1").values()
    assert (told.offset, told.events, told.ids, told.recent) == (32, 11, 10, 6)


def test_who_comes_back_begins_anew(spine: Spine, stored: Stored) -> None:
    spine.learn(clicks(), batch=5)
    spine.scorer().step(10.0)
    back = [event("person1", "i3", ts=50), event("person1", "i4", ts=51)]
    spine.learn([event("person1", "i9", ts=49), forget(), *back])  # in one batch
    [history] = known_of(stored, spine.settings, "person1")["histories"]
    assert [one["item"] for one in history["recent"]] == ["i3", "i4"]
    assert history["events"] == 2 and history["seen_before"] == []
    assert traces_of(stored, "person1").due.keys() == {"u0"}
    spine.scorer().step(20.0)
    spine.turn()
    spine.turn()
    assert spine.served("person1")["offset"] == 33  # the new list survives the second deletion
    assert noted(stored, "person1") == {}
    assert int(spine.store.meta("u0")[b"users"]) == 3


def test_an_event_that_was_forgotten_is_no_duplicate(spine: Spine, stored: Stored) -> None:
    spine.learn([event("person1", "i1", id="x"), event("person2", "i1", id="x"), forget()])
    spine.learn([event("person1", "i1", id="x"), event("person2", "i1", id="x")])
    [history] = known_of(stored, spine.settings, "person1")["histories"]
    assert history["events"] == 1
    [history] = known_of(stored, spine.settings, "person2")["histories"]
    assert history["events"] == 1  # of others the window stays


def test_a_list_of_an_earlier_state_goes_too(spine: Spine, stored: Stored) -> None:
    spine.learn(clicks(), batch=5)
    old = b'{"user":"person1","at":1,"model":"online-another","offset":999,"items":[]}'
    spine.store.run([("SET", "rec:person1", old)])
    spine.learn([forget()])
    assert traces_of(stored, "person1").names == []


def test_a_list_published_late_is_taken_back(spine: Spine, stored: Stored) -> None:
    """The scorer has read the row; the user is forgotten, and all keys are deleted, twice."""
    spine.learn(clicks(), batch=5)
    mine = spine.scorer()
    publish = mine._publish

    def late(*arguments: Any) -> set[str]:
        spine.send([forget()])
        for _ in range(3):
            spine.users.step()
        assert noted(stored, "person1") == {}
        failed = publish(*arguments)
        assert spine.store.lists(["person1"]) != [None]
        return failed

    mine._publish = late  # type: ignore[method-assign]
    mine.step(10.0)
    assert named(spine) == []
    assert all(spine.store.lists(["person0", "person2"]))


def test_a_scorer_that_dies_after_publishing_is_cleaned_up_after(
    spine: Spine, stored: Stored, monkeypatch: pytest.MonkeyPatch
) -> None:
    spine.learn(clicks(), batch=5)
    mine = spine.scorer()
    publish = mine._publish

    def killed(*arguments: Any) -> set[str]:
        spine.send([forget()])
        spine.users.step()  # the first deletion
        publish(*arguments)
        raise KeyboardInterrupt

    monkeypatch.setattr(mine, "_publish", killed)
    with pytest.raises(KeyboardInterrupt):
        mine.step(10.0)
    assert "list" in traces_of(stored, "person1").names
    spine.users.step()
    assert named(spine) == []


def test_a_learner_that_dies_before_the_deletion_leaves_a_note(
    spine: Spine, stored: Stored, monkeypatch: pytest.MonkeyPatch
) -> None:
    spine.learn(clicks(), batch=5)
    spine.scorer().step(10.0)
    spine.send([forget()])

    def killed(*arguments: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(spine.learner, "between", killed)
    with pytest.raises(KeyboardInterrupt):
        spine.users.step()
    assert set(traces_of(stored, "person1").names) == {"list", "shown row"}
    spine.start()  # another process
    spine.learner._forgetting._lease = LEASE
    for _ in range(3):
        spine.users.step()
    assert named(spine) == []


def test_a_commit_that_fails_forgets_nothing_and_is_done_again(
    spine: Spine, stored: Stored
) -> None:
    spine.learn(clicks(), batch=5)
    spine.scorer().step(10.0)
    before = traces_of(stored, "person1")
    spine.users_log.lose_deliveries = 1
    spine.send([forget()])
    with pytest.raises(Exception, match=r"(?i)deliver|acknowledge"):
        spine.users.step()
    assert traces_of(stored, "person1") == before
    spine.start()
    spine.learner._forgetting._lease = LEASE
    for _ in range(3):
        spine.users.step()
    assert named(spine) == []


def test_a_second_message_is_not_undone_by_the_end_of_the_first(
    spine: Spine, stored: Stored
) -> None:
    spine.learn([*clicks(), forget()])
    [(shard, first)] = noted(stored, "person1").items()
    old = spine.store.rows(shard, "forgotten", ["person1"])[0] or b""
    spine.learner._forgetting._lease = 100.0
    spine.learn([event("person1", "i1"), forget()])
    [second] = noted(stored, "person1").values()
    assert second.offset == first.offset + 2
    delete_forgotten(spine.store, shard, "person1", old)  # of a worker that was paused
    assert noted(stored, "person1") == {shard: second}


def test_a_replay_from_the_beginning_ends_without_the_user(
    spine: Spine, make_spine: Callable[[Settings, int], Spine]
) -> None:
    log = [*clicks(), forget(), event("person2", "i5", ts=60)]
    spine.learn(log, batch=4)
    rows = spine.store.all_rows("u0", "users")
    client = redis.Redis.from_url(spine.settings.redis.url)
    client.flushall()
    again = make_spine(spine.settings, 2)
    again.learner._forgetting._lease = LEASE
    again.learn(log[:20], batch=20)
    again.scorer().step(10.0)
    assert again.store.lists(["person1"]) != [None]  # for a while
    again.learn(log[20:], batch=20)
    again.users.step()
    again.users.step()
    assert named(again) == []
    assert again.store.all_rows("u0", "users") == rows


def test_an_unknown_user_may_be_forgotten(spine: Spine, stored: Stored) -> None:
    spine.learn([forget("nobody"), forget("nobody")])
    spine.users.step()
    spine.users.step()
    assert named(spine, "nobody") == []
    assert int(spine.store.meta("u0")[b"users"]) == 0


def test_the_items_keep_what_they_learnt(spine: Spine) -> None:
    spine.learn(clicks(), batch=5)
    names = {f"i{n}": spine.store.all_rows(f"i{n}", "similarity") for n in range(2)}
    spine.learn([forget()])
    assert {name: spine.store.all_rows(name, "similarity") for name in names} == names


def test_the_window_keeps_its_places() -> None:
    """What is forgotten leaves a hole: the ids of others are known as long as before."""
    rings = [Ring(name, 4) for name in ("ids", "owners")]

    def changed_chunks() -> dict[bytes, bytes]:
        return rings[0].changed_chunks() | rings[1].changed_chunks()

    def restored(total: int, chunks: dict[bytes, bytes]) -> Duplicates:
        return Duplicates(*(Ring.restore(ring.name, 4, (4, total), chunks) for ring in rings))

    window = Duplicates(*rings)
    for user, identifier in (("a", "1"), ("b", "1"), ("a", "2"), ("b", "2")):
        assert window.is_new(user, identifier)
    changed_chunks()
    assert window.forget("a") == 2 and window.forget("a") == 0
    chunks = changed_chunks()
    assert chunks.keys() == {b"ids:0", b"owners:0"}
    again = restored(window.ids.total, chunks)
    for one in (window, again):
        assert not one.is_new("b", "1") and not one.is_new("b", "2")
        assert one.is_new("a", "3") and one.is_new("a", "2")  # over the oldest two
        assert one.is_new("b", "1") is True and not one.is_new("b", "2")
    old = restored(4, {b"ids:0": chunks[b"ids:0"]})  # of an earlier release
    assert not old.is_new("b", "1") and old.forget("b") == 0


def test_a_log_with_forgets_in_one_batch_and_in_many_gives_the_same_rows() -> None:
    log = raws(
        [
            *clicks(),
            forget(),
            *clicks(2, 9),
            forget("person0"),
            forget("person2"),
            event("person2", "i1"),
        ]
    )
    one, many = World(small()), World(small())
    one.learn(log)
    for raw in log:
        many.learn([raw])
    assert one.rows["u0"]["users"] == many.rows["u0"]["users"]
    assert one.metas["u0"][b"users"] == many.metas["u0"][b"users"] == b"2"
    assert one.rows["u0"]["users"].keys() == {b"person1", b"person2"}


def test_nothing_is_kept_of_an_event_that_is_not_personal(spine: Spine, stored: Stored) -> None:
    spine.learn(clicks(), batch=5)
    rows = spine.store.all_rows("u0", "users")
    due = spine.store.due_count(["u0"])
    pairs = {f"i{n}": spine.store.all_rows(f"i{n}", "similarity") for n in range(2)}
    quiet = [
        event("stranger", f"i{n}", ts=40 + n, id=f"q{n}", segment="DK", personal=False)
        for n in range(6)
    ]
    spine.learn([*quiet, *quiet, event("person1", "i5", ts=60, personal=False)])
    assert named(spine, "stranger") == [] and named(spine, "DK") == []
    assert spine.store.all_rows("u0", "users") == rows  # also of one who is known
    assert spine.store.due_count(["u0"]) == due
    assert {name: spine.store.all_rows(name, "similarity") for name in pairs} == pairs
    counters = json.loads(spine.store.meta("u0")[b"counters"])
    assert (counters["accepted"], counters["duplicate"]) == (37, 6)
    assert known_of(stored, spine.settings, "stranger")["duplicate_ids"] == {}


def test_an_event_that_is_not_personal_makes_its_item_popular() -> None:
    rows = []
    for more in ({}, {"personal": False}):
        world = World(small())
        world.learn(raws([event(f"u{n}", "a", ts=n, **more) for n in range(3)]))
        rows.append(world.item_rows()["a"])
    known, nameless = rows
    assert nameless["events"] == known["events"] == 3
    assert nameless["popularity"].tolist() == known["popularity"].tolist()
    assert nameless["popularity"][0] == pytest.approx(3.0, rel=0.1)


@pytest.fixture(params=["server", "cluster"])
def place(request: pytest.FixtureRequest) -> Iterator[RedisSettings]:
    """A Redis of each kind."""
    if request.param == "server":
        yield RedisSettings(url=request.getfixturevalue("clean_redis").url)
        return
    with contextlib.ExitStack() as stack:
        cluster = needs_server(lambda: stack.enter_context(redis_cluster()))
        yield RedisSettings(url=cluster.url, cluster=True)


def test_keys_lie_in_any_slot(place: RedisSettings) -> None:
    store = Store(place)
    plain: Any = (RedisCluster if place.cluster else redis.Redis).from_url(place.url)
    users = [f"user {n}" for n in range(20)]
    for n, user in enumerate(users):
        blob = json.dumps({"user": user, "at": 1, "model": "online-a+n1", "offset": n, "items": []})
        plain.set(f"rec:{user}", blob.replace(": ", ":").replace(", ", ","))
        plain.set(shown_key(user), b"s")
        plain.set(reading_key(user), b"r")
    assert delete_lists(store, [(user, 9) for user in users], "online-a") == [True] * 20
    left = [user for user, blob in zip(users, store.lists(users), strict=True) if blob]
    assert left == users[10:]  # they know an event after offset 9
    assert delete_lists(store, [(user, 9) for user in users[:15]], "online-b") == [True] * 15
    left = [user for user, blob in zip(users, store.lists(users), strict=True) if blob]
    assert left == users[15:]  # another state's offsets begin anew
    assert store.shown(users) == [None] * 20
    assert store.values([reading_key(user) for user in users]) == [None] * 20
    rows = {"users": {b"ann": b"row"}, "forgotten": {b"bob": b"told"}}
    store.commit(Commit("u1", None, {"offset": 1}, rows, due={"ann": 1.0, "bob": 1.0}))
    assert known_elsewhere(store, ["u0", "u1", "u2"], ["ann", "eve"]) == {"ann"}
    assert known_elsewhere(store, ["u0", "u2"], ["ann"]) == set()
    gone = {"users": [b"ann"]}
    plain.zadd("sr:{u1}:later", {"ann": 1.0, "dan": 1.0})
    store.commit(Commit("u1", 1, {"offset": 2}, {}, gone, {"cat": 2.0}, ["ann", "bob", "cat"]))
    assert plain.zrange("sr:{u1}:later", 0, -1) == [b"dan"]
    assert plain.zrange("sr:{u1}:due", 0, -1) == [b"cat"]
    assert store.done({"u1": ["ann", "cat"]}, 2.0) == {"ann", "cat"}
    assert store.due_count(["u1"]) == 1  # dan
    delete_forgotten(store, "u1", "bob", b"other")
    assert store.all_rows("u1", "forgotten") == {b"bob": b"told"}
    delete_forgotten(store, "u1", "bob", b"told")
    assert store.all_rows("u1", "forgotten") == {}
    store.close()
