"""Growing keeps what was learnt, each row where its key puts it, on every kind of Redis."""

import json
import threading
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from functools import partial
from typing import Any

import msgspec
import pytest
import redis
from kafka import KafkaProducer
from laws.live import Learning, learning
from laws.test_first_state import stored
from logs import Click, clicks
from make import context
from recovery.compare import read_topic
from recovery.recount import Raw, Recount
from servers import KafkaServer, RedisServer
from waiting import wait_until

from streamrec.commands import grow as command
from streamrec.commands.audit import audit
from streamrec.errors import ConfigurationError, DamagedState
from streamrec.growth import item_rows, user_rows
from streamrec.inspection.stored_state import Stored
from streamrec.roles import learn as learn_role
from streamrec.settings.load import load
from streamrec.settings.sections import KafkaSettings, RedisSettings, Settings
from streamrec.settings.types import changed
from streamrec.transport.kafka.log import partition_of
from streamrec.transport.kafka.topics import admin_client
from streamrec.transport.redis import dealing, declared
from streamrec.transport.redis.forgetting import FORGOTTEN
from streamrec.transport.redis.growing import Growing, new_plan
from streamrec.transport.redis.keys import DUE, GROWING, LATER, SHARDS, Commit, key
from streamrec.transport.redis.store import Store

BEFORE = 4


@pytest.fixture(autouse=True)
def no_waits(kafka: KafkaServer, monkeypatch: pytest.MonkeyPatch) -> None:
    if kafka.kind == "embedded":
        pytest.skip("the embedded broker adds no partitions")
    monkeypatch.setattr(declared, "LOOK_SECONDS", 0.0)


def settings_on(topics: KafkaSettings, place: RedisSettings) -> Settings:
    base = load(None, {}, {"text.model": "hashed", "blend.kind": "learned"})
    return msgspec.structs.replace(base, kafka=topics, redis=place)


@pytest.fixture
def settings(topics: KafkaSettings, place: RedisSettings) -> Settings:
    return settings_on(topics, place)


@pytest.fixture
def on_server(topics: KafkaSettings, clean_redis: Any) -> Settings:
    return settings_on(topics, RedisSettings(url=clean_redis.url))


def sent(settings: Settings, log: list[Click]) -> None:
    """Produce clicks as a shop's own program does, each with an id of its own: keyed by user."""
    producer = KafkaProducer(bootstrap_servers=settings.kafka.brokers)
    for click in log:
        value = json.dumps(message(click)).encode()
        producer.send(settings.kafka.events_topic, value, click.user.encode())
    producer.flush()
    producer.close()


def message(click: Click) -> dict[str, Any]:
    event = {"user": click.user, "item": click.item, "type": click.type, "ts": click.ts}
    return event | {"id": f"{click.ts} {click.item}"}


def recounted(log: list[Click], repeats: int = 0) -> Recount:
    """Count again what the clicks come to, whatever the partitions."""
    count = Recount()
    users = {c.user for c in log}
    for number, user in enumerate(sorted(users)):
        mine = [c for c in log if c.user == user]
        raws = [Raw(n, c.ts, json.dumps(message(c)).encode()) for n, c in enumerate(mine)]
        count.partition(number, raws)
    count.partitions.clear()
    return count


def learnt(settings: Settings, log: list[Click], expected: Recount | None = None) -> None:
    """Send the clicks and learn until all is learnt, then stop."""
    sent(settings, log)
    with learning(settings) as running:
        running.until(lambda: running.value("events_accepted_total", type="click") >= len(log))
        caught_up(running)


def caught_up(running: Learning) -> None:
    with closing(Stored(running.settings.redis)) as state:

        def told() -> bool:
            sources = state.metas("u")
            owners = state.metas("i").values()
            ends = {name: meta.offset for name, meta in sources.items()}
            return len(owners) == len(state.names("i")) and all(
                meta.marks.get(name) == end for meta in owners for name, end in ends.items()
            )

        running.until(told)


def grow(settings: Settings, **options: Any) -> None:
    command.grow(context(settings), **options)


def wait_later(settings: Settings) -> set[tuple[str, bytes]]:
    """Let some users wait as after a bootstrap; return all who wait, and in which set."""
    found = set()
    with closing(Store(settings.redis)) as store:
        for shard in ("u0", "u1", "u2", "u3"):
            [due] = store.run([("ZRANGE", key(shard, DUE), 0, -1)])
            for user in due[::3]:
                store.run([("ZADD", key(shard, LATER), 5.5, user)])
                store.run([("ZREM", key(shard, DUE), user)])
            found |= {(LATER if user in due[::3] else DUE, user) for user in due}
    assert {kind for kind, _ in found} == {DUE, LATER}
    return found


def audited(settings: Settings) -> int:
    try:
        audit(context(settings))
    except Exception as end:  # typer.Exit
        return int(end.exit_code)  # type: ignore[attr-defined]
    raise AssertionError("audit ends with an exit code")


def test_what_was_learnt_before_and_after_is_one_state(settings: Settings) -> None:
    log = clicks(700, users=40, items=30)
    learnt(settings, log[:500])
    waiting = wait_later(settings)
    grow(settings, events=6, updates=5, items=7)
    assert recounted(log[:500]).difference(stored(settings)) == []
    assert audited(settings) in (0, 2)
    learnt(settings, log[500:])
    assert recounted(log).difference(stored(settings)) == []
    assert audited(settings) == 2  # lists wait
    with closing(Store(settings.redis)) as store:
        shards = store.shards()
        assert shards is not None
        assert (shards.users, shards.items, shards.metadata, shards.growth) == (6, 5, 7, 1)
        for number in range(6):
            for user, _ in store.scan(f"u{number}", "users"):
                assert partition_of(user, 6) == number
            for kind in (DUE, LATER):
                for user in store.run([("ZRANGE", key(f"u{number}", kind), 0, -1)])[0]:
                    assert partition_of(user, 6) == number
                    waiting.discard((kind, user))
        for number in range(5):
            for field in store.all_rows(f"i{number}", "items"):
                assert int.from_bytes(field, "little") % 5 == number
        assert not waiting
        left = [n for names in store.names("sr:*", 1000) for n in names]
        assert not [name for name in left if b"grown" in name or b"growing" in name]


def test_ids_are_known_and_types_are_themselves_after_the_growth(on_server: Settings) -> None:
    settings = on_server
    log = [
        click._replace(type=("click", "view", "like")[n % 3])
        for n, click in enumerate(clicks(200, users=20, items=20))
    ]
    sent(settings, log)
    half = {"click": 1.0, "view": 0.2, "like": 1.0}
    settings = changed(settings, events={"weights": half})
    with learning(settings) as running:
        running.until(lambda: _accepted(running) == 200)
        caught_up(running)
    with closing(Store(settings.redis)) as store:  # a shard that met the types in another order
        _renumber(store, "u1")
    grow(settings, events=6)
    assert recounted(log).difference(stored(settings)) == []
    sent(settings, log)
    with learning(settings) as running:
        running.until(lambda: running.value("events_duplicate_total") == 200)
        caught_up(running)
    assert recounted(log).difference(stored(settings)) == []


def test_visitors_are_merged_before_and_after_the_growth(on_server: Settings) -> None:
    settings = changed(on_server, lists={"lease_seconds": 0.5})
    log = clicks(300, users=24, items=20)
    before, after = log[:200], log[200:]
    first, second = merges(range(6)), merges(range(12))  # u0 was u12, and so on
    topic = settings.kafka.events_topic
    sent(settings, before)
    with learning(settings) as running:
        running.until(lambda: _accepted(running) == len(before))
        put(settings, first)
        merged(running, {f"u{12 + n}" for n in range(6)})
    asks = [
        (number, message.value)
        for number, messages in read_topic(settings.kafka.brokers, topic).items()
        for message in messages
        if b'"type":"merge"' in (message.value or b"")
    ]
    kinds = [value.partition(b'":{')[0].rpartition(b'"')[2] for _, value in asks]
    assert kinds.count(b"asked") == 6 * BEFORE and kinds.count(b"given") == 6
    grow(settings, events=6, updates=5)
    with learning(settings) as running:
        put(settings, asks)  # as one sends them who was stopped before the growth
        sent(settings, after)
        running.until(lambda: _accepted(running) == len(after))
        put(settings, second)
        merged(running, {f"u{12 + n}" for n in range(12)})
    had = Counter(click.user for click in log)
    found = {user: row.events for user, row in stored(settings).users.items()}
    assert found == {f"u{n}": had[f"u{n}"] + had[f"u{12 + n}"] for n in range(12)}


def merges(numbers: range) -> list[tuple[bytes, bytes]]:
    """Return key and value of messages by which visitor u(12 + n) is user u(n)."""
    return [
        (b"u%d" % n, b'{"user": "u%d", "type": "merge", "from": "u%d"}' % (n, 12 + n))
        for n in numbers
    ]


def put(settings: Settings, messages: Sequence[tuple[bytes | int, bytes]]) -> None:
    """Produce messages, to a partition or by key."""
    producer = KafkaProducer(bootstrap_servers=settings.kafka.brokers)
    for where, value in messages:
        place = {"partition": where} if isinstance(where, int) else {"key": where}
        producer.send(settings.kafka.events_topic, value, **place)
    producer.flush()
    producer.close()


def merged(running: Learning, visitors: set[str]) -> None:
    """Wait until nothing is left of some visitors, and all is learnt that shards have sent."""
    running.until(lambda: not visitors & stored(running.settings).users.keys())
    before, now = None, ends_of(running.settings)
    while before != now:  # merge, ask, give: each is sent before what it was sent for is stored
        running.until(partial(reached, running, now))
        before, now = now, ends_of(running.settings)
    caught_up(running)
    names = [key(f"u{n}", FORGOTTEN) for n in range(6)]
    running.until(lambda: running.store.run([("EXISTS", *names)]) == [0])


def reached(running: Learning, ends: dict[int, int]) -> bool:
    return all(running.offset(f"u{n}") >= end for n, end in ends.items())


def ends_of(settings: Settings) -> dict[int, int]:
    found = read_topic(settings.kafka.brokers, settings.kafka.events_topic)
    return {n: messages[-1].offset + 1 for n, messages in found.items() if messages}


def _accepted(running: Learning) -> float:
    kinds = ("click", "view", "like")
    return sum(running.value("events_accepted_total", type=kind) for kind in kinds)


def _renumber(store: Store, shard: str) -> None:
    """Let a shard give its types numbers the other way round."""
    types = json.loads(store.meta(shard)[b"types"])
    table = bytes([*reversed(range(len(types))), *range(len(types), 256)])
    rows = {u: user_rows.retold(row, table, None) for u, row in store.scan(shard, "users")}
    assert rows
    turned = json.dumps(types[::-1])
    store.commit(Commit(shard, _offset(store, shard), {"types": turned}, {"users": rows}))


def _offset(store: Store, shard: str) -> int:
    return int(store.meta(shard)[b"offset"])


@pytest.fixture
def learnt_clicks(on_server: Settings) -> Settings:
    learnt(on_server, clicks(300, users=40, items=30))
    return on_server


def refused(settings: Settings, match: str, **options: Any) -> None:
    """It is refused, with --check and without, and nothing is left of it."""
    before = everything(settings)
    for check in (True, False):
        with pytest.raises(ConfigurationError, match=match) as error:
            grow(settings, **options, check=check)
        assert error.value.exit_code == 78
    assert everything(settings) == before


def everything(settings: Settings) -> dict[bytes, Any]:
    client = redis.Redis.from_url(settings.redis.url)
    names = list(client.scan_iter("sr:*", count=1000))
    # the order of a hash's fields is not kept where one was added and is gone again
    hashes = {n: client.hgetall(n) for n in names if client.type(n) == b"hash"}
    return {n: client.dump(n) for n in names} | hashes


def test_what_is_refused(learnt_clicks: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    settings = learnt_clicks
    client = redis.Redis.from_url(settings.redis.url)
    refused(settings, "--events 3: there are 4 partitions, and Kafka takes none away", events=3)
    refused(settings, "there are 4 partitions of events, 4 of updates and 4 of items already")
    grow(settings, events=8, check=True)
    assert "it can be done: events 4 -> 8" in capsys.readouterr().out
    with pytest.raises(ConfigurationError, match="nothing to abandon"):
        grow(settings, abandon=True)
    client.hset("sr:{u1}:forgotten", "u3", b"{}")
    refused(settings, "1 users are being forgotten: let `streamrec learn` run", events=6)
    client.delete("sr:{u1}:forgotten")
    client.hset("sr:{i1}:colours", "x", "y")
    with pytest.raises(ConfigurationError, match="does not know how to move"):
        grow(settings, events=6)
    client.delete("sr:{i1}:colours")
    with learning(settings) as running:
        running.until(lambda: all(stage.assigned for stage in running.stages))
        refused(settings, "stop all processes first; still there: learn: 1", events=6)
    sent(settings, clicks(300, users=40, items=30)[:3])
    refused(settings, "not all is learnt .*streamrec audit", events=6)
    refused(settings, "not all is learnt", updates=6)


def test_a_scorer_that_lives_is_seen(learnt_clicks: Settings) -> None:
    settings = learnt_clicks
    client = redis.Redis.from_url(settings.redis.url)
    at = int(time.time() * 1000)
    stop = threading.Event()

    def publish() -> None:
        while not stop.wait(0.3):
            client.set("rec:~popular", json.dumps({"at": int(time.time() * 1000)}))

    client.set("rec:~popular", json.dumps({"at": at}))
    grow(settings, events=6, check=True)  # it was there, and is no more
    threading.Thread(target=publish, daemon=True).start()
    refused(settings, "score: it publishes rec:~popular", events=6)
    stop.set()


def test_rows_that_lie_elsewhere_are_refused_or_put_where_the_id_says(
    learnt_clicks: Settings,
) -> None:
    settings, log = learnt_clicks, clicks(300, users=40, items=30)
    with closing(Store(settings.redis)) as store:
        user, row = next(iter(store.scan("u2", "users")))
        store.run([("HSET", key("u3", "users"), user, row), ("HSET", key("u3", "users"), "x", row)])
    refused(settings, f"2 of {len({c.user for c in log}) + 2} user rows .*--despite-keys", events=6)
    grow(settings, events=6, despite_keys=True)
    with closing(Store(settings.redis)) as store:
        for name in (user, b"x"):
            homes = [n for n in range(6) if store.rows(f"u{n}", "users", [name]) != [None]]
            assert homes == [partition_of(name, 6)]
    events = stored(settings).users[user.decode()].events
    assert events == 2 * recounted(log).users[user.decode()].events


def test_partitions_that_were_added_already(on_server: Settings) -> None:
    """Messages in the new partitions, and new ones in the former, are learnt after the growth."""
    settings, log = on_server, clicks(500, users=40, items=30)
    learnt(settings, log[:300])
    with admin_client(settings.kafka) as admin:
        admin.create_partitions({settings.kafka.events_topic: 6})
    wait_until(
        lambda: (
            set(read_topic(settings.kafka.brokers, settings.kafka.events_topic)) == set(range(6))
        ),
        60,
        "producers know of 6 partitions",
    )
    sent(settings, log[300:])
    with pytest.raises(ConfigurationError, match="grow to 6 first"):
        grow(settings, events=8)
    with pytest.raises(ConfigurationError, match="streamrec grow` --events 6"):
        Learning(settings)
    grow(settings, events=6)
    assert recounted(log[:300]).difference(stored(settings)) == []
    with learning(settings) as running:
        running.until(lambda: running.value("events_accepted_total", type="click") == 200)
        caught_up(running)
    assert recounted(log).difference(stored(settings)) == []
    assert audited(settings) == 2


def test_late_messages_of_users_who_move_are_told(learnt_clicks: Settings) -> None:
    settings = learnt_clicks
    users = {c.user for c in clicks(300, users=40, items=30)}
    moves = next(u for u in sorted(users) if partition_of(u.encode(), 6) >= BEFORE)
    sent(settings, [Click(moves, "i1"), Click(moves, "i2")])
    with admin_client(settings.kafka) as admin:
        admin.create_partitions({settings.kafka.events_topic: 6})
    refused(settings, f"2 unlearnt messages of 1 users .one is '{moves}'", events=6)
    grow(settings, events=6, despite_keys=True)


@pytest.mark.parametrize(
    ("where", "fault", "says"),
    [
        (item_rows, "lost", "rows before"),
        (user_rows, "lost", "rows before"),
        (item_rows, "astray", "not theirs"),
        (user_rows, "astray", "not theirs"),
        (item_rows, "changed", "say something else"),
        (user_rows, "changed", "say something else"),
    ],
)
def test_the_recount_stops_what_was_dealt_wrongly(
    learnt_clicks: Settings, monkeypatch: pytest.MonkeyPatch, where: Any, fault: str, says: str
) -> None:
    settings, real = learnt_clicks, where.deal
    before, done = everything(settings), []  # type: Any, list[str]

    def deal(*arguments: Any) -> Any:
        dealt = real(*arguments)
        if len(dealt) < 2 or done or max(map(len, dealt.values())) < 2:
            return dealt
        done.append(fault)
        first, second = sorted(dealt, key=lambda number: -len(dealt[number]))[:2]
        name, row = dealt[first].popitem()
        if fault == "astray":
            dealt[second][name] = row
        elif fault == "changed":
            dealt[first][name] = next(iter(dealt[second].values()))
        return dealt

    monkeypatch.setattr(where, "deal", deal)
    with pytest.raises(DamagedState, match=says):
        grow(settings, events=6, updates=6)
    after = {n: v for n, v in everything(settings).items() if not n.endswith(b":meta")}
    assert after == {n: v for n, v in before.items() if not n.endswith(b":meta")}
    done.clear()
    monkeypatch.setattr(dealing.Dealing, "_recount_users", lambda self: [])
    monkeypatch.setattr(dealing.Dealing, "_recount_items", lambda self, kinds: [])
    grow(settings, events=6, updates=6)  # nobody notices without it
    if fault != "astray":
        log = clicks(300, users=40, items=30)
        assert recounted(log).difference(stored(settings))


def test_messages_that_come_meanwhile_leave_all_as_it_was(
    learnt_clicks: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings, log = learnt_clicks, clicks(301, users=40, items=30)
    real = dealing.Dealing.users

    def users(self: Any, say: Any) -> Any:
        sent(settings, log[300:])
        return real(self, say)

    monkeypatch.setattr(dealing.Dealing, "users", users)
    with pytest.raises(ConfigurationError, match="not all is learnt"):
        grow(settings, events=6)
    with learning(settings) as running:  # nothing is in its way
        running.until(lambda: running.value("events_accepted_total", type="click") == 1)
        caught_up(running)
    assert recounted(log).difference(stored(settings)) == []


def test_what_was_cut_off_goes_on_or_is_abandoned(
    learnt_clicks: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    settings, log = learnt_clicks, clicks(300, users=40, items=30)

    def cut(*arguments: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(dealing.Dealing, "items", cut)
        with pytest.raises(KeyboardInterrupt):
            grow(settings, events=6, updates=5)
    with pytest.raises(ConfigurationError, match="run `streamrec grow --events 6 --updates 5"):
        grow(settings, events=8)
    for nobody in (lambda: Learning(settings), lambda: Stored(settings.redis)):
        with pytest.raises(ConfigurationError, match="--events 6 --updates 5 --items 4` again"):
            nobody()
    grow(settings, abandon=True)
    assert "all is as it was" in capsys.readouterr().out
    assert recounted(log).difference(stored(settings)) == []
    assert not [name for name in everything(settings) if b"grow" in name]
    with monkeypatch.context() as patch:
        patch.setattr(Growing, "finish", cut)
        with pytest.raises(KeyboardInterrupt):
            grow(settings, events=6, updates=5)
    with pytest.raises(ConfigurationError, match="the way is on"):
        grow(settings, abandon=True)
    grow(settings)  # the target is known
    assert recounted(log).difference(stored(settings)) == []


def test_the_rights_of_the_docs_are_enough(
    learnt_clicks: Settings, clean_redis: RedisServer
) -> None:
    admin = clean_redis.client()
    rights = "+@read +@write +eval -@dangerous ~sr:* ~rec:*".split()
    admin.execute_command("ACL", "SETUSER", "grower", "reset", "on", ">secret", *rights)
    url = clean_redis.url.replace("//", "//grower:secret@")
    own = msgspec.structs.replace(learnt_clicks, redis=RedisSettings(url=url))
    grow(own, events=6, updates=5)
    admin.execute_command("ACL", "DELUSER", "grower")
    log = clicks(300, users=40, items=30)
    assert recounted(log).difference(stored(learnt_clicks)) == []


def test_processes_that_live_on_notice(on_server: Settings) -> None:
    """`score`, `train` and `serve` look again and again; `learn` does at every look at its log."""
    with closing(Store(on_server.redis)) as store:
        shards = store.declare(4, 4, 4, on_server.factors.size)
        known, fresh = declared.Unchanged(store.shards, shards), declared.Unchanged(store.shards)
        for one in (known, fresh):
            one.look(time.monotonic())
        store.run([("SET", GROWING, msgspec.json.encode(new_plan(shards, (6, 4, 4), "e")))])
        for one in (known, fresh):
            with pytest.raises(ConfigurationError, match="streamrec grow"):
                one.look(time.monotonic())
        grown = msgspec.structs.replace(shards, users=6, growth=1)
        store.run([("DEL", GROWING), ("SET", SHARDS, msgspec.json.encode(grown))])
        for one in (known, fresh):
            with pytest.raises(ConfigurationError, match="start it again"):
                one.look(time.monotonic())
        with pytest.raises(ConfigurationError, match="start it again"):
            learn_role._check(on_server, shards)
