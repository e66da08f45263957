"""What one key, one answer or one server of Redis does not stop: the rest, and its successor."""

import contextlib
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import redis
from laws.live import learning
from laws.redis_door import Door
from laws.redis_kinds import Cluster, redis_cluster
from laws.spine import Spine
from laws.world import event, small
from needs import needs_server
from redis.crc import key_slot
from servers import RedisServer, start_redis
from waiting import wait_until

from streamrec.errors import StoreError, UnknownVersion
from streamrec.inspection.findings import findings
from streamrec.local.child import ChildProcess, accepts, free_port
from streamrec.local.servers import _redis_binary
from streamrec.settings.sections import KafkaSettings, RedisSettings, Settings
from streamrec.sources.registry import sources_of
from streamrec.state import item_rows
from streamrec.state.item_rows import ItemSchema
from streamrec.state.keys import key_of
from streamrec.transport.kafka.open_log import open_kafka
from streamrec.transport.redis.keys import Commit, key
from streamrec.transport.redis.store import Store

Make = Callable[..., Spine]
USERS = [f"u{n}" for n in range(12)]


@pytest.fixture
def other_redis() -> Iterator[RedisServer]:
    """A second Redis."""
    server = needs_server(start_redis)
    yield server
    server.stop()


def port_of(server: RedisServer) -> int:
    return int(server.client().connection_pool.connection_kwargs["port"])


def until(happened: Callable[[], bool], seconds: float = 60.0) -> None:
    """Wait until it happened; errors of Redis count as not yet."""

    def looked() -> bool:
        with contextlib.suppress(StoreError, redis.ResponseError):
            return happened()
        return False

    wait_until(looked, seconds)


def _of_another_type(client: Any) -> None:
    client.hset("rec:u1", "made", "by another system")


def _refused_write(client: Any) -> None:
    client.execute_command(
        "ACL SETUSER default resetkeys %R~* ~sr:* ~rec:u[02-9]* ~rec:u1? ~rec:~*"
    )


def _wrong_row(client: Any) -> None:
    client.hset("sr:{u0}:users", "u1", b"\x63 not a row")


@pytest.mark.parametrize("harm", [_of_another_type, _refused_write, _wrong_row])
def test_what_is_wrong_with_one_user_is_no_other_users_matter(
    harm: Callable[[Any], None],
    make_spine: Make,
    clean_redis: RedisServer,
    caplog: pytest.LogCaptureFixture,
) -> None:
    spine = make_spine(small(lists={"lease_seconds": 0.2}))
    spine.learn([event(user, f"i{n}", ts=n) for n in range(4) for user in USERS])
    scorer = spine.scorer()
    harm(clean_redis.client())
    try:
        scorer.step(time.monotonic())
        served = dict(zip(USERS, spine.store.lists(USERS), strict=True))
        assert [user for user, found in served.items() if not found] == ["u1"]
        assert [u for u, found in zip(USERS, spine.store.shown(USERS), strict=True) if not found]
        assert spine.store.due_count(["u0"]) == 1
        assert "u1" in str([vars(record) for record in caplog.records])
        assert spine.value("lists_failed_total") == 1
    finally:
        clean_redis.client().execute_command("ACL SETUSER default allkeys")
    clean_redis.client().delete("rec:u1")
    if harm is not _wrong_row:
        time.sleep(0.3)
        scorer.step(time.monotonic())
        assert spine.store.due_count(["u0"]) == 0 and spine.store.lists(["u1"])[0]


@pytest.mark.parametrize("kind", ["items", "similarity"])
def test_what_is_wrong_with_one_item_is_no_other_items_matter(
    kind: str, make_spine: Make, clean_redis: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    """Its row is of no version: who learns and who scores go on, also after a start."""
    client: Any = clean_redis.client()
    spine = make_spine(small(users={"newcomer_items": 0}))
    spine.learn([event(user, f"i{n}", ts=n) for n in range(4) for user in USERS])
    place, field = key("i0", kind), key_of("i1").to_bytes(8, "little")
    others = {f: row for f, row in client.hgetall(place).items() if f != field}
    client.hset(place, field, b"\x63 not a row")
    spine.start()
    scorer = spine.scorer()
    spine.learn([event("u1", "i3", ts=5)])
    scorer.step(time.monotonic())
    assert all(spine.store.lists(USERS)) and spine.store.due_count(["u0"]) == 0
    assert "rows of items cannot be read" in caplog.text and "i0" in str(
        [vars(record) for record in caplog.records]
    )
    assert client.hgetall(place).keys() == {*others, field}
    spine.learn([event(user, "i1", ts=6) for user in ("u1", "u2")])
    schema = ItemSchema(sources_of(spine.settings))
    assert schema.kinds[kind].read(client.hget(place, field))  # begun anew
    events = schema.kinds["items"].read(client.hget(key("i0", "items"), field))["events"]
    assert events == (2 if kind == "items" else len(USERS) + 2)
    caplog.clear()
    spine.start()
    scorer = spine.scorer()
    spine.learn([event("u3", "i1", ts=7)])
    scorer.step(time.monotonic())
    assert "cannot be read" not in caplog.text


def test_rows_of_very_many_items_that_cannot_be_read_are_a_persons_matter(
    make_spine: Make, clean_redis: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(item_rows, "MOST_DAMAGED", 5)
    client: Any = clean_redis.client()
    spine = make_spine(small())
    spine.learn([event(user, f"i{n}", ts=n) for n in range(9) for user in USERS[:2]], batch=4)
    rows = client.hgetall(key("i0", "items"))
    client.hset(key("i0", "items"), mapping={f: b"\x05" + row[1:] for f, row in rows.items()})
    spine.start()
    with pytest.raises(UnknownVersion, match=r"rows of \d+ items"):
        spine.turn()


ANSWERS = [
    b"READONLY You can't write against a read only replica.",
    b"LOADING Redis is loading the dataset in memory",
    b"MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.",
    b"CLUSTERDOWN The cluster is down",
    b"",
]


@pytest.mark.parametrize("answer", ANSWERS, ids=lambda a: a.split(b" ")[0].decode() or "silence")
@pytest.mark.parametrize("call", ["read", "scan", "commit"])
def test_a_server_that_answers_so_is_left(
    answer: bytes, call: str, clean_redis: RedisServer
) -> None:
    """Its connection lives on; the next call makes another, which leads to the right server."""
    door = Door(answer)
    store = Store(RedisSettings(url=f"{door.url}?protocol=2", timeout_seconds=0.3))
    one = Commit("u0", None, {"offset": 1}, {"users": {b"ann": b"row"}})
    calls = {
        "read": lambda: store.meta("u0"),
        "scan": lambda: store.all_rows("u0", "users"),
        "commit": lambda: store.commit(one),
    }
    with pytest.raises(StoreError):
        calls[call]()
    door.to = port_of(clean_redis)
    calls[call]()
    store.close()
    door.close()


def test_a_server_that_knows_no_hello_is_spoken_to(clean_redis: RedisServer) -> None:
    """RESP2 only, as older servers and proxies; the sample of users comes without pairs."""
    door = Door(port_of(clean_redis), unknown=b"HELLO")
    store = Store(RedisSettings(url=door.url))
    store.commit(Commit("u0", None, {"offset": 1}, {"users": {b"ann": b"row"}}))
    assert store.sample_users("u0", 5) == [(b"ann", b"row")]
    store.close()
    door.close()


def test_a_failover_is_followed_while_connections_live_on(
    topics: KafkaSettings, clean_redis: RedisServer, other_redis: RedisServer
) -> None:
    """A load balancer's address: the old primary is a replica now, and answers."""
    old, new = clean_redis.client(), other_redis.client()
    new.replicaof("127.0.0.1", port_of(clean_redis))
    door = Door(port_of(clean_redis))
    settings = Settings(kafka=topics, redis=RedisSettings(url=door.url))
    log = open_kafka(topics)
    try:
        with learning(settings) as running:
            _click(log, topics, "before")
            running.until(lambda: running.value("events_accepted_total", type="click") == 8)
            until(lambda: _replicated(old))
            new.replicaof("NO", "ONE")
            old.replicaof("127.0.0.1", port_of(other_redis))
            door.to = port_of(other_redis)
            _click(log, topics, "after")
            running.until(lambda: running.value("events_accepted_total", type="click") == 16)
            old_door = Settings(kafka=topics, redis=RedisSettings(url=clean_redis.url))
            role = [f for f in findings(old_door) if f.subject == "Redis role"]
            assert role[0].state == "FAIL" and "replica" in role[0].text
    finally:
        old.replicaof("NO", "ONE")
        log.close()
        door.close()


def _click(log: Any, topics: KafkaSettings, item: str) -> None:
    """Send one click into each partition, twice."""
    for n in range(8):
        value = msgspec.json.encode({"user": f"p{n % 4}", "item": item, "type": "click"})
        log.produce(topics.events_topic, value, partition=n % 4)
    log.flush()


def _replicated(primary: Any) -> bool:
    """Say whether the replica has all that the primary has."""
    found = primary.info("replication")
    return bool(found["slave0"]["offset"] == found["master_repl_offset"])


@pytest.fixture
def sentinel(other_redis: RedisServer, tmp_path: Path) -> Iterator[str]:
    """The address of a sentinel that watches a master, `other_redis`, with one replica."""
    replica = needs_server(start_redis)
    replica.client().replicaof("127.0.0.1", port_of(other_redis))
    port = free_port()
    config = tmp_path / "sentinel.conf"
    config.write_text(
        f"port {port}\nbind 127.0.0.1\nsentinel monitor shop 127.0.0.1 {port_of(other_redis)} 1\n"
        "sentinel down-after-milliseconds shop 500\nsentinel failover-timeout shop 5000\n"
    )
    process = ChildProcess([_redis_binary(), str(config), "--sentinel"], lambda: accepts(port))
    process.start()
    client = redis.Redis(port=port, decode_responses=True)
    client.execute_command("SENTINEL", "DEBUG", "INFO-PERIOD", "500", "PING-PERIOD", "200")
    until(lambda: int(client.execute_command("SENTINEL MASTER shop")["num-slaves"]) == 1)
    client.close()
    until(lambda: replica.client().info()["master_link_status"] == "up")
    yield f"redis+sentinel://127.0.0.1:1,127.0.0.1:{port}/shop/0"
    process.stop()
    replica.stop()


def test_the_master_is_asked_of_sentinel_and_followed(
    sentinel: str, other_redis: RedisServer
) -> None:
    store = Store(RedisSettings(url=sentinel, timeout_seconds=1.0))
    store.commit(Commit("u0", None, {"offset": 1}, {}))
    assert other_redis.client().hget("sr:{u0}:meta", "offset") == b"1"
    until(lambda: _replicated(other_redis.client()))
    pid = other_redis.pid
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)
    try:
        started = time.monotonic()
        until(lambda: store.commit(Commit("u0", 1, {"offset": 2}, {})) is None)
        print("followed after", time.monotonic() - started)
    finally:
        os.kill(pid, signal.SIGCONT)
    store.close()


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with contextlib.ExitStack() as stack:
        yield needs_server(lambda: stack.enter_context(redis_cluster()))


def test_a_slot_that_migrates_holds_up_only_its_shards(
    topics: KafkaSettings, cluster: Cluster
) -> None:
    """Half of the keys of u0 are on the other node: it answers ASK and TRYAGAIN."""
    settings = Settings(kafka=topics, redis=RedisSettings(url=cluster.url, cluster=True))
    redis.RedisCluster.from_url(cluster.url).flushall()
    log = open_kafka(topics)
    with learning(settings) as running:
        _click(log, topics, "before")
        running.until(lambda: running.value("events_accepted_total", type="click") == 8)
        running.until(lambda: all(running.offset(f"i{n}") >= 4 for n in range(4)))
        with _migrating(cluster, "u0") as finish:
            for n in range(5):
                _click(log, topics, f"while {n}")
            running.until(lambda: all(running.offset(f"u{n}") == 12 for n in (1, 2, 3)))
            running.until(lambda: not any(_lag(running, n) for n in (1, 2, 3)))
            finish()
            running.until(lambda: running.offset("u0") == 12)
    log.close()


def _lag(running: Any, partition: int) -> float:
    lag: float = running.value("lag_messages", topic="events", partition=str(partition))
    return lag


@contextlib.contextmanager
def _migrating(cluster: Cluster, shard: str) -> Iterator[Callable[[], None]]:
    """Move the rows but not the meta of a shard; the rest when the yielded function is called."""
    slot = key_slot(key(shard, "meta").encode())
    clients = [redis.Redis(port=port) for port in cluster.ports]
    names = [client.execute_command("CLUSTER", "MYID") for client in clients]
    owner = next(
        n for n, c in enumerate(clients) if c.execute_command("CLUSTER", "COUNTKEYSINSLOT", slot)
    )
    other = (owner + 1) % len(clients)
    clients[other].execute_command("CLUSTER", "SETSLOT", slot, "IMPORTING", names[owner])
    clients[owner].execute_command("CLUSTER", "SETSLOT", slot, "MIGRATING", names[other])

    def move(kind: str) -> None:
        name = key(shard, kind)
        clients[owner].execute_command("MIGRATE", "127.0.0.1", cluster.ports[other], name, 0, 5000)

    def finish() -> None:
        for kind in ("meta", "rings", "due"):
            move(kind)
        for client in (clients[other], clients[owner], clients[3 - owner - other]):
            client.execute_command("CLUSTER", "SETSLOT", slot, "NODE", names[other])

    move("users")
    yield finish
    for client in clients:
        client.close()


def test_a_frozen_primary_of_a_cluster_is_left_for_its_replica(cluster: Cluster) -> None:
    """The last test of the module. No answer and no reset, as from a host that is cut off."""
    nodes = [redis.Redis(port=port) for port in cluster.ports]
    for node in nodes:
        node.config_set("cluster-node-timeout", 1500)
    victim = 0
    shard = next(
        name for name in (f"u{n}" for n in range(64)) if key_slot(key(name, "meta").encode()) < 5000
    )
    with _replica_of(cluster, victim) as replica:
        store = Store(RedisSettings(url=cluster.url, cluster=True))
        redis.RedisCluster.from_url(cluster.url).flushall()
        store.commit(Commit(shard, None, {"offset": 1}, {}))
        until(lambda: _replicated(nodes[victim]))
        pid = cluster.nodes[victim].pid
        assert pid is not None
        os.kill(pid, signal.SIGSTOP)
        try:
            until(lambda: replica.info()["role"] == "master")
            until(lambda: store.commit(Commit(shard, 1, {"offset": 2}, {})) is None)
        finally:
            os.kill(pid, signal.SIGCONT)
        store.close()


@contextlib.contextmanager
def _replica_of(cluster: Cluster, number: int) -> Iterator[Any]:
    """Add a replica of one node to the cluster."""
    port, bus = free_port(), free_port()
    command = [_redis_binary(), "--port", str(port), "--bind", "127.0.0.1"]
    command += ["--cluster-enabled", "yes", "--cluster-port", str(bus), "--save", ""]
    command += ["--dir", "/tmp", "--cluster-config-file", f"nodes-{port}.conf"]
    command += ["--cluster-node-timeout", "1500"]
    node = ChildProcess(command, lambda: accepts(port))
    node.start()
    client = redis.Redis(port=port, decode_responses=True)
    primary = redis.Redis(port=cluster.ports[number], decode_responses=True)
    try:
        bus_of = primary.config_get("cluster-port")["cluster-port"]
        client.execute_command("CLUSTER", "MEET", "127.0.0.1", cluster.ports[number], bus_of)
        until(lambda: len(client.execute_command("CLUSTER NODES")) == 4)
        name = primary.execute_command("CLUSTER", "MYID")
        until(lambda: bool(client.execute_command("CLUSTER", "REPLICATE", name)))
        until(lambda: client.info()["master_link_status"] == "up")
        until(lambda: primary.info()["connected_slaves"] == 1)
        yield client
    finally:
        node.kill()
        Path(f"/tmp/nodes-{port}.conf").unlink(missing_ok=True)
