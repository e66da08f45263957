"""Fixtures: one Kafka and one Redis a session, and names of its own for each test."""

import logging
import os
import uuid
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest
from needs import needs_server
from servers import KafkaServer, RedisServer, start_kafka, start_redis

from streamrec.monitoring.log_lines import NOISY
from streamrec.settings.sections import KafkaSettings
from streamrec.transport.kafka.topics import create_topics

# how long an example takes is the machine's matter
hypothesis.settings.register_profile(
    "any machine", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("any machine")

_used: dict[str, str] = {}


@pytest.fixture(scope="session")
def kafka() -> Iterator[KafkaServer]:
    """The session's broker. A test that stops it starts it again."""
    server = needs_server(start_kafka)
    _used["Kafka"] = str(server)
    yield server
    server.close()


@pytest.fixture(scope="session")
def redis_server() -> Iterator[RedisServer]:
    """The session's Redis, append-only; `clean_redis` is the same one, emptied."""
    server = needs_server(start_redis)
    found = server.client().info("server")
    name = found.get("server_name", "redis")
    version = found.get("valkey_version", found["redis_version"])
    _used["Redis"] = f"{name} {version} at {server.url}"
    yield server
    server.stop()


@pytest.fixture
def clean_redis(redis_server: RedisServer) -> RedisServer:
    """The session's Redis, running and empty."""
    redis_server.start()
    redis_server.client().flushall()
    return redis_server


@pytest.fixture
def prefix() -> str:
    """A name that no other test has used, for topics and groups."""
    return f"t{uuid.uuid4().hex[:10]}"


@pytest.fixture
def kafka_settings(kafka: KafkaServer, prefix: str) -> KafkaSettings:
    """Settings with topic and group names of this test's own; the topics are not made yet."""
    return KafkaSettings(
        brokers=kafka.address,
        events_topic=f"{prefix}.events",
        items_topic=f"{prefix}.items",
        updates_topic=f"{prefix}.updates",
        dead_letters_topic=f"{prefix}.dead-letters",
        samples_topic=f"{prefix}.samples",
        group=prefix,
        session_timeout_seconds=2.0,
        fetch_wait_seconds=0.02,
    )


@pytest.fixture
def topics(kafka_settings: KafkaSettings) -> KafkaSettings:
    """The same settings with the topics made, of 4 partitions each."""
    create_topics(kafka_settings, 4)
    return kafka_settings


PROCESSES = ("end_to_end", "operations", "recovery")
"""Folders whose tests start streamrec's processes."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what starts processes, so that `make test` can run it beside the others."""
    here = Path(__file__).parent
    for item in items:
        if item.path.relative_to(here).parts[0] in PROCESSES:
            item.add_marker("processes")


def pytest_report_header() -> str:
    wanted = os.environ.get("STREAMREC_TEST_KAFKA", "container, jars or embedded: the first here")
    return f"streamrec: Kafka wanted: {wanted}"


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    for name, server in _used.items():
        terminalreporter.write_line(f"{name} of this run: {server}")


@pytest.fixture(autouse=True)
def logging_kept() -> Iterator[None]:
    """Put the loggers back after every test: a command run in the process sets them up."""
    root = logging.getLogger()
    before = root.handlers[:], root.level
    levels = {name: logging.getLogger(name).level for name in ("streamrec", *NOISY)}
    yield
    root.handlers[:], root.level = before
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)


@pytest.fixture
def nothing_configured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run in an empty folder without settings in the environment."""
    monkeypatch.chdir(tmp_path)
    for name in list(os.environ):
        if name.startswith("STREAMREC_"):
            monkeypatch.delenv(name)
