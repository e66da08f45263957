"""A file of history becomes the state of an empty Redis, and the log is learnt on from there."""

import json
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from kafka import KafkaProducer
from laws.live import learning
from logs import Click, clicks, paired, written
from needs import needs
from recovery.recount import Raw, Recount, exported_user
from servers import KafkaServer, RedisServer
from typer.testing import CliRunner, Result

from streamrec.cli import app
from streamrec.errors import ConfigurationError, StoreError
from streamrec.evaluation.evaluate import evaluate
from streamrec.inspection.lists_now import StateReader, list_of
from streamrec.inspection.stored_state import Stored, lines_of
from streamrec.neural.version import unpack
from streamrec.ranking.lists import ListMaker
from streamrec.settings.load import load
from streamrec.settings.sections import KafkaSettings, RedisSettings, Settings
from streamrec.state.user_rows import NOBODY
from streamrec.transport.kafka.log import partition_of
from streamrec.transport.redis import first_commit
from streamrec.transport.redis.first_commit import FirstCommit
from streamrec.transport.redis.store import Store
from streamrec.transport.redis.versions import Versions

PARTITIONS = 4


@pytest.fixture(autouse=True)
def empty_folder(nothing_configured: None) -> None:
    """Files lie in a folder of the test's own."""


@pytest.fixture
def settings(topics: KafkaSettings, clean_redis: RedisServer) -> Settings:
    replace = msgspec.structs.replace
    base = load(None, {}, {"text.model": "hashed", "blend.kind": "learned"})
    return replace(base, kafka=topics, redis=RedisSettings(url=clean_redis.url))


def bootstrap(settings: Settings, *options: str, file: str = "log.csv", **more: str) -> Result:
    kafka = settings.kafka
    given = {
        "kafka.brokers": kafka.brokers, "kafka.events_topic": kafka.events_topic,
        "kafka.items_topic": kafka.items_topic, "kafka.updates_topic": kafka.updates_topic,
        "kafka.dead_letters_topic": kafka.dead_letters_topic, "kafka.group": kafka.group,
        "kafka.samples_topic": kafka.samples_topic, "redis.url": settings.redis.url,
        "kafka.fetch_wait_seconds": "0.02", "text.model": "hashed",
        **{name.replace("__", "."): value for name, value in more.items()},
    }  # fmt: skip
    before = [word for name, value in given.items() for word in ("--set", f"{name}={value}")]
    if "--neural" not in options:
        options = (*options, "--neural", "off")
    return CliRunner().invoke(app, [*before, "bootstrap", file, *options])


def message(click: Click) -> bytes:
    return json.dumps(
        {"user": click.user, "item": click.item, "type": click.type, "ts": click.ts}
    ).encode()


def recounted(log: list[Click]) -> Recount:
    """Count again, partition by partition, what the clicks come to."""
    count = Recount()
    for number in range(PARTITIONS):
        mine = [c for c in log if partition_of(c.user.encode(), PARTITIONS) == number]
        count.partition(number, [Raw(n, c.ts, message(c)) for n, c in enumerate(mine)])
    count.partitions.clear()
    return count


def stored(settings: Settings) -> Recount:
    """Read what Redis holds, as `export` does; each user and item once."""
    found = Recount()
    with closing(Stored(settings.redis)) as state:
        for name, lines in lines_of(state, settings):
            for line in lines:
                if name == "users":
                    assert line["user"] not in found.users
                    found.users[line["user"]] = exported_user(line)
                elif name == "items":
                    assert line["item"] not in found.item_events
                    found.item_events[line["item"]] += line["events"]
                    found.item_pairs[line["item"]] += line["pairs"]
                elif name == "pairs":
                    found.pairs[line["item"], line["neighbour"]] += line["count"]
    return found


def sent(settings: Settings, log: list[Click]) -> None:
    """Produce clicks as a shop's own program does: keyed by user."""
    producer = KafkaProducer(bootstrap_servers=settings.kafka.brokers)
    for click in log:
        producer.send(settings.kafka.events_topic, message(click), click.user.encode())
    producer.flush()
    producer.close()


def test_history_from_a_file_and_the_log_after_it_make_one_state(settings: Settings) -> None:
    log = clicks(900, users=30, items=60)
    written(log[:600])
    done = bootstrap(settings)
    assert done.exit_code == 0, done.output
    assert "600 events of 30 users are learnt and stored" in done.output
    assert recounted(log[:600]).difference(stored(settings)) == []
    sent(settings, log[600:])
    with learning(settings) as running:
        running.until(lambda: running.value("events_accepted_total", type="click") == 300)
        running.until(lambda: not recounted(log).difference(stored(settings)))
        with closing(Stored(settings.redis)) as state:
            metas = state.metas("u")
            assert sum(meta.counters["consumed"] for meta in metas.values()) == 300
            for owner in state.metas("i").values():
                assert set(owner.marks) >= {f"u{n}" for n in range(PARTITIONS)}


def test_who_may_not_be_kept_is_not(settings: Settings) -> None:
    """Events that are not personal teach their items alone; who was forgotten is a stranger."""
    rows: list[dict[str, Any]] = []
    for n, click in enumerate(clicks(600, users=20, items=40)):
        rows.append(json.loads(message(click)))
        if click.user in ("u2", "u3"):  # of one only every second event, of the other none
            rows[-1] |= {"personal": click.user == "u2" and n % 2 == 0}
        if n in (300, 310):
            rows += [{"user": "u1", "type": "forget"}, {"user": "u3", "type": "forget"}]
    rows += [{"user": "u4", "type": "forget"}, {"user": "never", "type": "forget"}]
    Path("log.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    done = bootstrap(settings, file="log.jsonl")
    assert done.exit_code == 0, done.output
    count = Recount()
    for number in range(PARTITIONS):
        mine = [row for row in rows if partition_of(row["user"].encode(), PARTITIONS) == number]
        raw = [Raw(n, row.get("ts", 0), json.dumps(row).encode()) for n, row in enumerate(mine)]
        count.partition(number, raw)
    count.partitions.clear()
    assert count.difference(stored(settings)) == []
    with closing(Stored(settings.redis)) as state:
        kept = {user.decode() for user, _ in state.rows("u", "users")}
        assert not kept & {"u3", "u4", "never", NOBODY} and {"u1", "u2"} <= kept
        assert sum(int(state.store.meta(u)[b"users"]) for u in state.names("u")) == len(kept)


def test_visitors_who_are_merged_in_the_file_are_users(settings: Settings) -> None:
    log = clicks(300, users=6, items=40)
    rows = [json.loads(message(click)) for click in log]
    rows.insert(150, {"user": "new", "type": "merge", "from": "u1"})
    rows.append({"user": "u2", "type": "merge", "from": "u3"})
    Path("log.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    done = bootstrap(settings, file="log.jsonl")
    assert done.exit_code == 0, done.output
    found = stored(settings).users
    assert {"new", "u1", "u2"} <= found.keys() and "u3" not in found
    assert found["new"].events == sum(click.user == "u1" for click in log[:150])
    assert found["u2"].events == sum(click.user in ("u2", "u3") for click in log)
    assert found["u1"].events + found["new"].events == sum(click.user == "u1" for click in log)


def test_lists_and_blend_are_those_of_evaluate(settings: Settings) -> None:
    """What is restored from Redis says what the process that learnt it said."""
    log = clicks(1500, users=30, items=60)
    written(log)
    made: dict[str, Any] = {}

    def kept(*arguments: Any) -> Any:
        found = evaluate(*arguments)
        made["live"] = found.live
        return found

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("streamrec.evaluation.evaluate.evaluate", kept)
        assert bootstrap(settings).exit_code == 0
    flow = made["live"].flow
    lists = flow.prepared()
    with closing(Store(settings.redis)) as store:
        for user in ("u1", "u7", "u20"):
            shard = flow.users[partition_of(user.encode(), PARTITIONS)]
            shopper = lists.shopper(shard.users.row(user), flow.table, user, {})
            [ours] = lists.make([shopper], flow.table)
            found, personal = list_of(StateReader(settings, store).now(user))
            assert personal and [i.item for i in found] == [i.item for i in ours.items]
            told = [item.score for item in ours.items]
            # lists hold four decimals, and the last one may be rounded the other way
            assert [item.score for item in found] == pytest.approx(told, abs=1.5e-4)
        blend = StateReader(settings, store).now("u1").table.blend
        [owner] = [shard for shard in flow.items if shard.blend is not None]
        assert blend is not None and blend.to_bytes() == owner.blend.to_bytes()
        due = [store.client(f"sr:{{u{n}}}:due").zcard(f"sr:{{u{n}}}:later") for n in range(4)]
        assert sum(due) == 30


def test_titles_come_along_also_of_items_that_nobody_took(settings: Settings) -> None:
    written(clicks(200))
    rows = [{"item": f"i{n}", "title": f"Thing {n}"} for n in range(1, 40)]
    Path("items.jsonl").write_text("\n".join(map(json.dumps, rows)))
    assert bootstrap(settings, "--items", "items.jsonl").exit_code == 0
    with closing(Store(settings.redis)) as store:
        table = StateReader(settings, store).now("u1").table
    assert {f"i{n}" for n in range(1, 40)} <= set(table.ids)


def test_a_state_is_not_overwritten(settings: Settings) -> None:
    written(clicks(100))
    assert bootstrap(settings).exit_code == 0
    again = bootstrap(settings)
    assert again.exit_code == 78 and "holds a state already" in again.stderr


def test_a_log_with_messages_asks_where_to_go_on(settings: Settings) -> None:
    log = clicks(300)
    written(log[:200])
    sent(settings, log[:250])
    asked = bootstrap(settings)
    assert asked.exit_code == 78 and "has 250 messages. Say --then start" in asked.stderr
    assert bootstrap(settings, "--then", "end").exit_code == 0
    sent(settings, log[250:])
    with learning(settings) as running:
        running.until(lambda: not recounted(log[:200] + log[250:]).difference(stored(settings)))


def test_one_that_was_cut_off_is_begun_again(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = clicks(200)
    written(log)

    def killed(*arguments: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(FirstCommit, "end", killed)
        assert bootstrap(settings).exit_code == 130
    with closing(Store(settings.redis)) as store:
        with pytest.raises(ConfigurationError, match="`streamrec bootstrap` with --again"):
            store.declare(4, 4, 4, settings.factors.size)
    Path("log.csv").unlink()
    written(log[:120])
    asked = bootstrap(settings)
    assert asked.exit_code == 78 and "--again deletes" in asked.stderr
    assert bootstrap(settings, "--again").exit_code == 0
    assert recounted(log[:120]).difference(stored(settings)) == []


@pytest.mark.parametrize("fault", ["all is lost", "nothing is lost", "the answer is lost"])
def test_an_outage_while_it_is_written_loses_nothing(
    settings: Settings, clean_redis: RedisServer, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    log = clicks(200)
    written(log)
    end, named = FirstCommit.end, []

    def cut_off(self: FirstCommit, *arguments: Any) -> None:
        if fault != "nothing is lost" or named:
            end(self, *arguments)
        if not named:
            named.append(clean_redis.client().get("sr:shards"))
            if fault == "all is lost":
                clean_redis.client().flushall()
            clean_redis.stop()
            raise StoreError("Redis did not answer")

    monkeypatch.setattr(FirstCommit, "end", cut_off)
    waits = SimpleNamespace(sleep=lambda _: clean_redis.start())
    monkeypatch.setattr(first_commit, "time", waits)  # its own alone: all threads sleep
    done = bootstrap(settings)
    assert done.exit_code == 0, done.output
    assert "All of it is written again in 1 s" in done.stderr
    assert recounted(log).difference(stored(settings)) == []
    if fault == "the answer is lost":
        assert clean_redis.client().get("sr:shards") == named[0]
    with closing(Store(settings.redis)) as store:
        assert store.declare(4, 4, 4, settings.factors.size)  # no marker is left
        counted = [int(store.meta(f"u{n}")[b"users"]) for n in range(PARTITIONS)]
        assert counted == [len(store.all_rows(f"u{n}", "users")) for n in range(PARTITIONS)]
        rings = [store.all_rows(f"u{n}", "rings") for n in range(PARTITIONS)]
    assert any(rings)


def test_the_network_comes_along(settings: Settings) -> None:
    needs("torch")
    written(paired(2600))
    own = {"profile": "shop", "neural__refresh_samples": "500", "neural__passes": "2"}
    done = bootstrap(settings, "--neural", "on", **own)
    assert done.exit_code == 0, done.output
    shape = ListMaker(load(None, {}, {"profile": "shop", "text.model": "hashed"})).reader.shape
    with closing(Store(settings.redis)) as store:
        versions = Versions(store)
        first, latest = versions.numbers()
        assert versions.serving().number == first
        manifests = [unpack(versions.get(n), shape).manifest for n in (first, latest)]
    assert [m.refresh >= 3 and m.samples >= 1500 for m in manifests] == [True, True]


def test_partitions_are_those_of_the_producers(kafka: KafkaServer, settings: Settings) -> None:
    names = [f"u{n}" for n in range(50)] + ["ü", "日本", ""]
    producer = KafkaProducer(bootstrap_servers=settings.kafka.brokers)
    topic = settings.kafka.events_topic
    sends = [producer.send(topic, b"{}", name.encode()) for name in names]
    producer.flush()
    found = [one.get(5).partition for one in sends]
    producer.close()
    assert found == [partition_of(name.encode(), PARTITIONS) for name in names]
