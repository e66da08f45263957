"""The doctor finds what is wrong and says what to do."""

import json
from contextlib import closing
from threading import Barrier

import msgspec
import pytest
import typer
from make import context
from servers import RedisServer

from streamrec.commands.doctor import doctor
from streamrec.errors import StoreError
from streamrec.settings.places import PlaceSettings
from streamrec.settings.sections import KafkaSettings, RedisSettings, Settings
from streamrec.settings.types import changed
from streamrec.transport.redis.first_commit import FirstCommit
from streamrec.transport.redis.places import name_places
from streamrec.transport.redis.store import Store


def code(settings: Settings) -> int:
    with pytest.raises(typer.Exit) as end:
        doctor(context(settings))
    return end.value.exit_code


@pytest.fixture
def settings(topics: KafkaSettings, clean_redis: RedisServer) -> Settings:
    return Settings(kafka=topics, redis=RedisSettings(url=clean_redis.url))


def test_a_sound_installation_passes(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    Store(settings.redis).declare(4, 4, 4, 64)
    assert code(settings) == 0
    lines = capsys.readouterr().out.splitlines()
    assert all(line.startswith("ok ") for line in lines)
    assert any("crc32c" in line for line in lines)
    assert any("append-only file on" in line for line in lines)


def test_missing_topics_and_wrong_partition_counts_fail(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    Store(settings.redis).declare(4, 3, 4, 32)
    assert code(settings) == 1
    out = capsys.readouterr().out
    updates = settings.kafka.updates_topic
    assert (
        f"FAIL  state: topic {updates} has 4 partitions, the state in Redis was made with 3" in out
    )
    assert "FAIL  state: learnt with factors.size = 32, now 64" in out
    assert code(changed(settings, kafka={"updates_topic": "no.such.topic"})) == 1
    assert "has no topic no.such.topic. Run: streamrec topics create" in capsys.readouterr().out


def test_an_evicting_redis_fails(
    settings: Settings, clean_redis: RedisServer, capsys: pytest.CaptureFixture[str]
) -> None:
    client = clean_redis.client()
    client.config_set("maxmemory", "200mb")
    client.config_set("maxmemory-policy", "allkeys-lru")
    try:
        assert code(settings) == 1
        assert "set maxmemory-policy noeviction" in capsys.readouterr().out
        client.config_set("maxmemory-policy", "volatile-ttl")
        assert code(settings) == 0
    finally:
        client.config_set("maxmemory", "0")
        client.config_set("maxmemory-policy", "noeviction")


def test_servers_that_are_away_fail(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    # what nobody listens at is not asked: a client would try for CONNECT_SECONDS
    monkeypatch.setattr("streamrec.inspection.findings.check_topics", pytest.fail)
    away = Settings(
        kafka=KafkaSettings(brokers="127.0.0.1:1"),
        redis=RedisSettings(url="redis://user:secret@127.0.0.1:1/0"),
    )
    assert code(away) == 1
    out = capsys.readouterr().out
    assert "FAIL  Kafka: No Kafka broker answers at 127.0.0.1:1" in out
    assert "STREAMREC_REDIS" in out
    assert "secret" not in out


def test_a_bootstrap_that_was_cut_off_is_told(
    settings: Settings, clean_redis: RedisServer, capsys: pytest.CaptureFixture[str]
) -> None:
    with closing(Store(settings.redis)) as store:
        first = FirstCommit(store, {"u0": ("users",)})
        assert code(settings) == 1
        out = capsys.readouterr().out
        assert "FAIL  state: a bootstrap is filling this Redis, or was cut off" in out
        assert "`streamrec bootstrap` with --again" in out
        first.abandon()
    assert code(settings) == 0
    assert "nothing learnt yet" in capsys.readouterr().out


def test_a_place_that_the_settings_lack_is_told(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    with closing(Store(settings.redis)) as store:
        name_places(store, ["deals"])
    assert code(settings) == 0
    assert "place deals: lists of it were stored" in capsys.readouterr().out
    having = msgspec.structs.replace(settings, places={"deals": PlaceSettings()})
    assert code(having) == 0
    assert "place deals" not in capsys.readouterr().out


def test_the_checks_go_on_side_by_side(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    both = Barrier(2, timeout=30)

    def met(*arguments: object) -> None:
        both.wait()
        raise StoreError("met")

    monkeypatch.setattr("streamrec.inspection.findings.check_listening", met)
    monkeypatch.setattr("streamrec.inspection.findings.Store", met)
    assert code(settings) == 1
    out = capsys.readouterr().out
    assert "FAIL  Kafka: met" in out and "FAIL  Redis: met" in out


def test_as_json_for_machines(settings: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    Store(settings.redis).declare(4, 4, 4, 32)
    with pytest.raises(typer.Exit) as end:
        doctor(context(settings), as_json=True)
    found = json.loads(capsys.readouterr().out)
    assert end.value.exit_code == 1
    assert {one["state"] for one in found} == {"ok", "FAIL"}
    [wrong] = [one for one in found if one["state"] == "FAIL"]
    assert wrong["subject"] == "state" and "factors.size = 32" in wrong["text"]
