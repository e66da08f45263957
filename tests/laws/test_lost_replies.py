"""A connection that breaks around EXEC: the caller does not know, starts over, doubles nothing."""

import random
from collections.abc import Iterator
from typing import Any

import pytest
from laws.redis_door import BrokenLine
from laws.world import World, counted, event, raws, small
from recovery.recount import Raw
from servers import RedisServer

from streamrec.errors import CommitConflict, StoreError
from streamrec.settings.sections import RedisSettings
from streamrec.transport.redis.keys import Commit
from streamrec.transport.redis.store import Store

SETTINGS = small(users={"cached_users": 2})


class StoredWorld(World):
    """Both folds over a real store; what is in doubt is read anew."""

    def __init__(self, store: Store, parts: int) -> None:
        super().__init__(SETTINGS, parts)
        self.store = store
        self.expected: dict[str, int] = {}
        self.doubts = 0

    def _store(self, name: str, changed: Any, deleted: Any, meta: dict[str, Any]) -> None:
        self.store.commit(Commit(name, self.expected.get(name), meta, changed, deleted))
        super()._store(name, changed, deleted, meta)
        self.expected[name] = int(meta["offset"])

    def look(self) -> None:
        """Forget everything in memory and read what is stored."""
        kinds = {"u": ("users", "rings"), "i": (*self.items[0].schema.kinds, "blend", "catalogue")}
        for name in [shard.name for shard in (*self.users, *self.items)]:
            meta = self.store.meta(name)
            if meta:
                self.metas[name] = meta
                self.expected[name] = int(meta[b"offset"])
                self.rows[name] = {k: self.store.all_rows(name, k) for k in kinds[name[0]]}
        self.restart_users()
        self.restart_items()

    def learn_all(self, log: list[Raw]) -> Iterator[None]:
        """Learn in small batches; yield before each."""
        while self.users[0].offset < log[-1].offset + 1:
            yield
            left = [raw for raw in log if raw.offset >= self.users[0].offset]
            try:
                self.learn(left[:4])
            except StoreError:
                self.doubts += 1
                self.look()
        while any(len(s) > i.offset for s, i in zip(self.sent, self.items, strict=True)):
            yield
            self.deliver()


@pytest.fixture
def line(clean_redis: RedisServer) -> Iterator[BrokenLine]:
    mine = BrokenLine(clean_redis.port)
    yield mine
    mine.close()


@pytest.fixture
def store(line: BrokenLine) -> Iterator[Store]:
    mine = Store(RedisSettings(url=f"redis://127.0.0.1:{line.port}", timeout_seconds=2.0))
    yield mine
    mine.close()


@pytest.mark.parametrize("lost", ["request", "reply"])
def test_one_commit_in_doubt(line: BrokenLine, store: Store, lost: str) -> None:
    rows = {"users": {b"ann": b"1"}}
    store.commit(Commit("u0", None, {"offset": 1}, rows))
    line.cut = lost
    with pytest.raises(StoreError):
        store.commit(Commit("u0", 1, {"offset": 2}, {"users": {b"ann": b"2"}}))
    done = lost == "reply"
    assert store.meta("u0") == {b"offset": b"2" if done else b"1"}
    assert store.rows("u0", "users", ["ann"]) == [b"2" if done else b"1"]
    store.commit(Commit("u0", 2 if done else 1, {"offset": 3}, {}))
    assert line.cuts == 1


def test_a_lost_connection_is_not_called_a_conflict(line: BrokenLine, store: Store) -> None:
    """Who reads "another worker committed" looks for a zombie, not at the network."""
    store.commit(Commit("u0", None, {"offset": 1}, {}))
    line.cut = "reply"
    with pytest.raises(StoreError) as caught:
        store.commit(Commit("u0", 1, {"offset": 2}, {}))
    assert not isinstance(caught.value, CommitConflict)


@pytest.mark.parametrize("parts", [1, 2])
def test_nothing_is_doubled_or_lost(line: BrokenLine, store: Store, parts: int) -> None:
    rng = random.Random(parts)
    log = raws(
        [
            event(f"u{rng.randrange(5)}", f"i{rng.randrange(9)}", ts=n, id=f"e{rng.randrange(90)}")
            for n in range(120)
        ]
    )
    world = StoredWorld(store, parts)
    for _ in world.learn_all(log):
        line.cut = rng.choice(["", "request", "reply"])
    assert world.doubts == line.cuts > 20
    line.cut = ""
    world.look()
    assert counted(SETTINGS, log).difference(world.recount()) == []
