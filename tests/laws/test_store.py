"""The laws of the Redis store, on one server and on a cluster of three."""

import contextlib
from collections.abc import Iterator
from typing import Any

import pytest
import redis
from laws.redis_kinds import Cluster
from laws.world import World, event, raws, small
from redis.cluster import RedisCluster
from redis.crc import key_slot

from streamrec.blend.rules import BLEND_KEY
from streamrec.errors import CommitConflict, ConfigurationError, DamagedState, Overtaken, StoreError
from streamrec.growth.plan import CREATE, SWITCH
from streamrec.settings.sections import RedisSettings
from streamrec.state.metadata_shard import MetadataShard
from streamrec.transport.redis.declared import DECLARE
from streamrec.transport.redis.forgetting import delete_lists
from streamrec.transport.redis.growing import Growing, new_plan, staged
from streamrec.transport.redis.item_feed import end_of, entries_after
from streamrec.transport.redis.keys import SHARDS, Commit, feed_entry, key
from streamrec.transport.redis.places import name_places, stored_places
from streamrec.transport.redis.publishing import Encoded, publish
from streamrec.transport.redis.store import Store

NOW = 1_700_000_000_000.0


@pytest.fixture
def store(place: RedisSettings) -> Iterator[Store]:
    mine = Store(place)
    yield mine
    mine.close()


@pytest.fixture
def plain(place: RedisSettings) -> Any:
    """A client of its own, to look at what the store did."""
    return (RedisCluster if place.cluster else redis.Redis).from_url(place.url)


def commit(offset: int, expected: int | None, shard: str = "u0", **more: Any) -> Commit:
    """Return a commit whose one row is its offset."""
    rows = {"users": {b"ann": b"row %d" % offset}, "rings": {b"ids:0": b"%d" % offset}}
    return Commit(shard, expected, {"offset": offset, "version": 1}, rows, **more)


def everything(plain: Any) -> dict[bytes, Any]:
    """Return all that is stored."""
    found: dict[bytes, Any] = {}
    for name in plain.scan_iter("*"):
        kind = plain.type(name)
        if kind == b"hash":
            found[name] = plain.hgetall(name)
        elif kind == b"zset":
            found[name] = plain.zrange(name, 0, -1, withscores=True)
        else:
            found[name] = plain.xrange(name) if kind == b"stream" else plain.get(name)
    return found


def test_a_commit_stores_rows_and_offset(store: Store) -> None:
    assert store.meta("u0") == {}
    assert store.rows("u0", "users", ["ann"]) == [None]
    store.commit(commit(5, None))
    assert store.meta("u0") == {b"offset": b"5", b"version": b"1"}
    assert store.rows("u0", "users", ["bob", "ann"]) == [None, b"row 5"]
    assert store.all_rows("u0", "rings") == {b"ids:0": b"5"}
    store.commit(commit(9, 5, deletes={"rings": [b"ids:0", b"ids:7"], "users": []}))
    assert store.rows("u0", "users", ["ann"]) == [b"row 9"]
    assert store.all_rows("u0", "rings") == {b"ids:0": b"9"}  # deleted first, then written


def test_many_rows_are_scanned(store: Store) -> None:
    rows = {b"user %d" % n: b"x" * 100 for n in range(3000)}
    store.commit(Commit("u0", None, {"offset": 1}, {"users": rows}))
    assert store.all_rows("u0", "users") == rows
    sample = store.sample_users("u0", 50)
    assert len(dict(sample)) == 50 and all(rows[name] == row for name, row in sample)
    assert store.sample_users("u1", 5) == []


@pytest.mark.parametrize(
    ("stored", "expected"), [(5, 4), (5, 6), (5, None), (0, None), (None, 0), (None, 5)]
)
def test_a_commit_from_another_offset_stores_nothing(
    store: Store, plain: Any, stored: int | None, expected: int | None
) -> None:
    if stored is not None:
        store.commit(commit(stored, None, due={"ann": NOW}, feed={"head": b"{}"}))
    before = everything(plain)
    late = commit(
        9, expected, due={"bob": 1.0}, feed={"head": b"late"}, deletes={"rings": [b"ids:0"]}
    )
    with pytest.raises(CommitConflict, match="u0"):
        store.commit(late)
    assert everything(plain) == before
    store.commit(commit(9, stored))  # the connection is as good as before


def test_of_two_that_saw_the_same_offset_one_commits(
    store: Store, plain: Any, place: RedisSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other commits between the look at the offset and the EXEC."""
    store.commit(commit(5, None))
    other = Store(place)
    monkeypatch.setattr(
        "streamrec.transport.redis.store.offset_matches",
        lambda stored, expected: not monkeypatch.undo() and not other.commit(commit(7, 5)),
    )
    with pytest.raises(CommitConflict):
        store.commit(commit(9, 5, due={"bob": 1.0}))
    other.close()
    assert everything(plain) == {
        b"sr:{u0}:meta": {b"offset": b"7", b"version": b"1"},
        b"sr:{u0}:users": {b"ann": b"row 7"},
        b"sr:{u0}:rings": {b"ids:0": b"7"},
    }


def test_the_keys_of_one_commit_share_a_slot(store: Store, plain: Any) -> None:
    """All that real shards store, with due users and the feed."""
    world = World(small(), 2)
    world.learn(raws([event(f"u{n % 3}", f"i{n % 7}", ts=n, id=f"e{n}") for n in range(30)]))
    world.rows["i1"]["blend"][BLEND_KEY] = b"the blend's state"
    metadata = MetadataShard(0, 4, 2, 0)
    metadata.fold([], 3)
    feed = {"head": b"{}", "items": b"12345678"}
    commits = [Commit("m0", None, metadata.changes()[1], metadata.changes()[0])]
    for name, due, entry in (("u0", {"u1": NOW}, {}), ("i0", {}, feed), ("i1", {}, feed)):
        meta = {k.decode(): v.decode() for k, v in world.metas[name].items()}
        commits.append(Commit(name, None, meta, world.rows[name], due=due, feed=entry))
    kinds = {"u0": "meta users rings due", "m0": "meta"}
    world.rows["i0"]["texts"][b"12345678"] = world.rows["i1"]["texts"][b"12345678"] = b"a vector"
    rows = " ".join(world.items[0].schema.kinds)
    kinds |= {name: f"meta {rows} catalogue feed" for name in ("i0", "i1")}
    kinds["i1"] += " blend"
    for each in commits:
        before = everything(plain).keys()
        store.commit(each)
        written = everything(plain).keys() - before
        assert {k.decode() for k in written} == {
            key(each.shard, k) for k in kinds[each.shard].split()
        }
        assert len({key_slot(k) for k in written}) == 1
    assert len({key_slot(key(f"u{n}", "meta").encode()) for n in range(8)}) > 1


def test_due_users_are_leased_oldest_first(store: Store) -> None:
    store.commit(commit(1, None, due={"ann": NOW + 2, "bob": NOW + 1, "eve": NOW + 3}))
    store.commit(commit(1, None, "u1", due={"zoe": NOW}))
    taken = store.take_due(["u0", "u1", "u2"], NOW + 2, NOW + 1000, 10)
    assert taken == {"u0": [("bob", NOW + 1), ("ann", NOW + 2)], "u1": [("zoe", NOW)]}
    assert store.take_due(["u0", "u1"], NOW + 2, NOW + 1000, 10) == {}
    assert store.due_count(["u0", "u1", "u2"]) == 4
    store.done({"u0": ["bob", "ann"], "u1": ["zoe"]}, NOW + 1000)
    assert store.due_count(["u0", "u1"]) == 1
    assert store.take_due(["u0"], NOW + 9, NOW + 1000, 10) == {"u0": [("eve", NOW + 3)]}


def test_no_more_are_leased_than_asked_for(store: Store) -> None:
    store.commit(commit(1, None, due={f"user {n}": NOW + n for n in range(10)}))
    first = store.take_due(["u0"], NOW + 99, NOW + 1000, 3)
    assert [user for user, _ in first["u0"]] == ["user 0", "user 1", "user 2"]
    again = store.take_due(["u0"], NOW + 99, NOW + 1000, 30)
    assert len(again["u0"]) == 7


def test_the_oldest_click_counts(store: Store) -> None:
    store.commit(commit(1, None, due={"ann": NOW}))
    store.commit(commit(2, 1, due={"ann": NOW + 50}))
    assert store.take_due(["u0"], NOW + 99, NOW + 1000, 3) == {"u0": [("ann", NOW)]}


def test_a_click_during_the_lease_keeps_the_user_due(store: Store) -> None:
    store.commit(commit(1, None, due={"ann": NOW, "bob": NOW}))
    store.take_due(["u0"], NOW, NOW + 1000, 10)
    store.commit(commit(2, 1, due={"ann": NOW + 50}))
    store.done({"u0": ["ann", "bob"]}, NOW + 1000)
    assert store.take_due(["u0"], NOW + 60, NOW + 2000, 10) == {"u0": [("ann", NOW + 50)]}


def test_an_expired_lease_makes_due_again_and_its_owner_takes_nothing_off(store: Store) -> None:
    store.commit(commit(1, None, due={"ann": NOW}))
    store.take_due(["u0"], NOW, NOW + 1000.25, 10)  # and this scorer sleeps
    assert store.take_due(["u0"], NOW + 1000, NOW + 3000, 10) == {}
    assert list(store.take_due(["u0"], NOW + 1001, NOW + 2000.5, 10)["u0"][0])[0] == "ann"
    store.done({"u0": ["ann"]}, NOW + 1000.25)
    assert store.due_count(["u0"]) == 1
    store.done({"u0": ["ann", "nobody"]}, NOW + 2000.5)
    assert store.due_count(["u0"]) == 0


def rec(offset: int, model: str, user: str = "ann") -> bytes:
    head = b'{"user":"%s","at":1,"model":"%s","offset":%d,"items":[]}'
    return head % (user.encode(), model.encode(), offset)


def test_who_comes_later_gets_what_room_clicks_leave(store: Store, plain: Any) -> None:
    later = {"old": NOW - 9, "both": NOW - 8, "soon": NOW - 7, "not yet": NOW + 99}
    plain.zadd("sr:{u0}:later", later)
    store.commit(commit(5, None, due={"ann": NOW + 2, "both": NOW + 3}))
    assert store.due_count(["u0"]) == 6
    first = store.take_due(["u0"], NOW + 9, NOW + 1000, 1)
    assert first == {"u0": [("ann", NOW + 2)]}  # clicked last of all who may have a list now
    second = store.take_due(["u0"], NOW + 9, NOW + 1000, 2)
    assert second == {"u0": [("both", NOW + 3), ("old", -1.0)]}  # no click is waited for
    assert store.take_due(["u0"], NOW + 9, NOW + 1000, 9) == {"u0": [("soon", -1.0)]}
    assert store.take_due(["u0"], NOW + 9, NOW + 1000, 9) == {}
    assert plain.zrange("sr:{u0}:later", 0, -1) == [b"not yet"]
    store.done({"u0": ["ann", "both", "old"]}, NOW + 1000)
    # its scorer is gone, and its lease over
    left = [("soon", NOW + 1000), ("not yet", -1.0)]
    assert store.take_due(["u0"], NOW + 1001, NOW + 2000, 9) == {"u0": left}


def test_an_older_list_of_the_same_model_is_refused(store: Store, plain: Any) -> None:
    def put(offset: int, model: str) -> bool:
        row = Encoded("ann", offset, rec(offset, model), b"shown %d" % offset)
        [done] = publish(store, [row], model, 60)
        return done

    assert put(10, "a")
    assert put(10, "a") and put(12, "a")
    assert not put(11, "a") and not put(9, "a")
    assert store.lists(["ann", "bob"]) == [rec(12, "a"), None]
    assert store.shown(["bob", "ann"]) == [None, b"shown 12"]
    assert put(3, "b")  # another state: its offsets begin anew
    assert store.lists(["ann"]) == [rec(3, "b")]
    assert 0 < plain.ttl("rec:ann") <= 60 and 0 < plain.ttl("sr:shown:ann") <= 60


def test_lists_of_all_places_are_stored_with_home(store: Store, plain: Any) -> None:
    """On every kind of server; an older one changes none of them, and all are deleted together."""
    name_places(store, ["deals", "cart"])
    name_places(store, ["deals", "new"])
    assert stored_places(store) == ["home", "deals", "cart", "new"]

    def put(offset: int) -> bool | StoreError:
        row = Encoded("ann", offset, rec(offset, "a"))
        others = {"ann": {"deals": rec(offset, "a"), "cart": rec(offset, "a")}}
        [done] = publish(store, [row], "a", 60, others=others)
        return done

    names = ["rec:ann", "rec:ann:deals", "rec:ann:cart"]
    assert put(5) is True and put(4) is False
    assert store.values(names) == [rec(5, "a")] * 3
    assert put(7) is True
    assert store.values(names) == [rec(7, "a")] * 3
    assert all(0 < plain.ttl(name) <= 60 for name in names)
    delete_lists(store, [("ann", 6)], "a")
    assert store.values(names) == [rec(7, "a")] * 3
    assert delete_lists(store, [("ann", 7)], "a") == [True]
    assert store.values(names) == [None] * 3


def test_a_name_cannot_pretend_to_be_an_offset(store: Store) -> None:
    import msgspec

    from streamrec.ranking.published import PublishedList

    for user in ('x","model":"a","offset":99,"', "é" * 64, '"' * 128, "{a}{b}"):
        for offset, wanted in ((5, True), (4, False), (6, True)):
            blob = msgspec.json.encode(PublishedList(user, 1, "a", offset, []))
            assert publish(store, [Encoded(user, offset, blob)], "a", 60) == [wanted], user


def test_the_feed_is_trimmed_and_read_from_a_position(store: Store) -> None:
    assert end_of(store, "i0") == b"0-0"
    for n in range(8):
        entry = feed_entry(n, '{"u0": 5}', {"items": b"%d" % n})
        store.commit(commit(n + 1, n or None, "i0", feed=entry, feed_entries=3))
    entries = entries_after(store, {"i0": b"0-0", "i1": b"0-0"}, 10)
    assert entries["i1"] == []
    assert [fields[b"items"] for _, fields in entries["i0"]] == [b"5", b"6", b"7"]
    head = b'{"commit": 5, "marks": {"u0": 5}}'
    assert entries["i0"][0][1][b"head"] == head
    assert end_of(store, "i0") == entries["i0"][-1][0]
    after = entries_after(store, {"i0": entries["i0"][0][0]}, 1)["i0"]
    assert [fields[b"items"] for _, fields in after] == [b"6"]


def test_the_shards_are_declared_once(store: Store, place: RedisSettings) -> None:
    assert store.shards() is None
    first = store.declare(4, 2, 1, 64)
    other = Store(place)
    assert other.declare(4, 3, 1, 64) == first == store.shards()
    with pytest.raises(ConfigurationError, match="size = 64.*say 32"):
        other.declare(4, 2, 1, 32)
    log = {"cluster": "c", "events": "e"}
    assert other.declare(4, 2, 1, 64, log).log == log  # a release before did not write it
    assert store.declare(4, 2, 1, 64, {"cluster": "d"}).log == log
    other.close()


def test_the_first_to_add_the_ids_of_the_log_wins(
    store: Store, place: RedisSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two start on the state of a release that wrote none; one looks, the other adds, it adds."""
    first = store.declare(4, 2, 1, 64)
    late, real = Store(place), Store.run

    def run(self: Store, calls: Any) -> Any:
        if any(DECLARE in call for call in calls):
            monkeypatch.undo()
            assert store.declare(4, 2, 1, 64, {"cluster": "a"}).log == {"cluster": "a"}
        return real(self, calls)

    monkeypatch.setattr(Store, "run", run)
    found = late.declare(9, 9, 9, 64, {"cluster": "b"})
    late.close()
    assert found.log == {"cluster": "a"} and found.epoch == first.epoch
    assert store.shards() == found and found.users == 4


def test_of_two_who_declare_at_once_both_get_what_the_first_wrote(
    store: Store, place: RedisSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    late, real, began = Store(place), Store.run, []

    def run(self: Store, calls: Any) -> Any:
        if any(DECLARE in call for call in calls):
            monkeypatch.undo()
            began.append(store.declare(4, 2, 1, 64, {"cluster": "a"}))
        return real(self, calls)

    monkeypatch.setattr(Store, "run", run)
    assert [late.declare(8, 8, 8, 64, {"cluster": "b"})] == began
    late.close()


def test_while_the_partitions_grow_nobody_starts(store: Store, plain: Any) -> None:
    shards = store.declare(4, 2, 1, 64)
    growing = Growing(store, ("items",))
    plan = new_plan(shards, (8, 2, 1), "0ther")
    growing.begin(plan)
    again = "streamrec grow --events 8 --updates 2 --items 1"
    for look in (store.shards, lambda: store.declare(4, 2, 1, 64)):
        with pytest.raises(ConfigurationError, match=again):
            look()
    with pytest.raises(ConfigurationError, match="has begun just now"):
        growing.begin(plan)
    later = Growing(store, ("items",))
    taken = later.marker()
    assert taken == plan
    later.take(taken, "later")
    for late in (
        growing.check,
        lambda: growing.note(plan, SWITCH),
        lambda: growing.abandon(shards, plan),
    ):
        with pytest.raises(Overtaken, match="another `streamrec grow` goes on"):
            late()
    later.note(taken, CREATE)
    found = Growing(store, ()).marker()
    assert found is not None and (found.step, found.owner) == (CREATE, "later")
    later.abandon(shards, taken)
    assert store.shards() == shards
    assert everything(plain).keys() == {SHARDS.encode()}


@pytest.mark.parametrize("guard", [True, False])
def test_a_worker_of_before_cannot_commit(
    store: Store, place: RedisSettings, monkeypatch: pytest.MonkeyPatch, guard: bool
) -> None:
    """It lives on unseen: from the seal on, and after the growth, its commits are refused."""
    if not guard:
        monkeypatch.setattr("streamrec.transport.redis.store.growth_matches", lambda *_: True)
    shards = store.declare(1, 1, 1, 64)
    zombie = Store(place)
    zombie.commit(commit(5, None))
    growing = Growing(store, ("items",))
    plan = new_plan(shards, (2, 1, 1), "0ther")
    growing.begin(plan)
    growing.seal(shards)
    outcomes = [refused(zombie, 5)]
    growing.switch(plan, dict.fromkeys(("u0", "u1", "i0", "m0"), 0))
    growing.finish(shards, plan)
    outcomes.append(refused(zombie, int(store.meta("u0")[b"offset"])))
    assert outcomes == [guard, guard]
    zombie.close()
    grown = Store(place)
    assert grown.declare(2, 1, 1, 64).growth == 1
    grown.commit(commit(90, int(grown.meta("u0")[b"offset"])))
    Store(place, 1).commit(commit(91, 90))


def refused(worker: Store, offset: int) -> bool:
    """Say whether the worker may neither send what it folded nor commit it."""
    wrong = worker.wrong_offsets({"u0": offset})
    try:
        worker.commit(commit(offset + 1, offset))
    except CommitConflict as error:
        assert "streamrec grow" in str(error) and wrong.keys() == {"u0"}
        return True
    assert not wrong
    return False


def test_rows_change_place_once_and_only_where_they_are_sealed(store: Store, plain: Any) -> None:
    shards = store.declare(1, 1, 1, 64)
    store.commit(commit(5, None))
    growing = Growing(store, ("items",))
    plan = new_plan(shards, (2, 1, 1), "0ther")
    growing.begin(plan)
    growing.seal(shards)
    for shard in ("u0", "u1"):
        store.run([("HSET", staged(shard, "users"), "bob", "row of bob")])
        store.run([("HSET", staged(shard, "meta"), "users", 1)])
    starts = dict.fromkeys(("u0", "u1", "i0", "m0"), 3)
    growing.switch(plan, starts)
    once = everything(plain)
    growing.switch(plan, starts)
    assert everything(plain) == once
    assert once[b"sr:{u0}:users"] == once[b"sr:{u1}:users"] == {b"bob": b"row of bob"}
    meta = {b"offset": b"5", b"version": b"1", b"users": b"1", b"growth": b"1"}
    assert once[b"sr:{u0}:meta"] == meta
    assert once[b"sr:{u1}:meta"] == {
        b"offset": b"3", b"start": b"3", b"users": b"1", b"growth": b"1"
    }  # fmt: skip
    assert not {name for name in once if b"m0" in name or b"i0" in name or b"rings" in name}
    plain.hset("sr:{u1}:meta", "growth", 0)  # somebody wrote after all
    with pytest.raises(DamagedState, match="u1 was written to"):
        growing.switch(plan, starts)


def test_a_list_of_another_state_goes_whatever_its_offset(store: Store) -> None:
    shards = store.declare(1, 1, 1, 64)
    now, before = shards.state, "online-bef0re"
    for user, model in (("ann", now), ("bob", before)):
        row = Encoded(user, 50, rec(50, model, user))
        assert publish(store, [row], model, 60) == [True]
    assert delete_lists(store, [("ann", 9), ("bob", 9)], now) == [True, True]
    assert store.lists(["ann", "bob"]) == [rec(50, now), None]


def test_a_row_of_another_type_is_an_error_of_ours(store: Store, plain: Any) -> None:
    plain.set(key("u0", "users"), "no hash")
    with pytest.raises(StoreError, match="WRONGTYPE"):
        store.rows("u0", "users", ["ann"])
    with pytest.raises(StoreError):
        store.commit(commit(5, None))


@pytest.mark.parametrize("cluster", [False, True])
def test_a_redis_that_is_not_there_is_an_error_of_ours(cluster: bool) -> None:
    with pytest.raises((StoreError, ConfigurationError)):
        Store(RedisSettings(url="redis://127.0.0.1:1", cluster=cluster)).meta("u0")
    with pytest.raises(ConfigurationError):
        Store(RedisSettings(url="redis://127.0.0.1:port", cluster=cluster))


def test_a_slot_that_moves_is_found_again(cluster: Cluster) -> None:
    """The first call after the move fails, and asks where the slots are now."""
    store = Store(RedisSettings(url=cluster.url, cluster=True))
    assert store.meta("u7") == {}
    slot = key_slot(key("u7", "meta").encode())
    clients = [redis.Redis(port=port) for port in cluster.ports]
    owner = next(n for n, port in enumerate(cluster.ports) if _port_of(store, "u7") == port)
    other = (owner + 1) % len(clients)
    name = clients[other].execute_command("CLUSTER", "MYID")
    for client in (clients[other], clients[owner], clients[3 - owner - other]):
        client.execute_command("CLUSTER", "SETSLOT", slot, "NODE", name)
    for attempt in (lambda: store.commit(commit(1, None, "u7")), lambda: store.meta("u7")):
        with contextlib.suppress(StoreError):
            attempt()
    assert _port_of(store, "u7") == cluster.ports[other]
    assert not store.meta("u7")
    store.commit(commit(1, None, "u7"))
    assert store.meta("u7")[b"offset"] == b"1"
    for client in clients:
        client.close()
    store.close()


def _port_of(store: Store, shard: str) -> int:
    return int(store.client(key(shard, "meta")).connection_pool.connection_kwargs["port"])


def test_a_cluster_that_goes_away_is_an_error_of_ours(cluster: Cluster) -> None:
    """The last test of the module: it ends the nodes. A bare error would end the stage for good."""
    store = Store(RedisSettings(url=cluster.url, cluster=True, timeout_seconds=0.5))
    store.meta("u0")
    for node in cluster.nodes:
        node.kill()
    for _ in range(2):
        with pytest.raises(StoreError):
            store.meta("u0")
        with pytest.raises(StoreError):
            store.commit(commit(1, None))
