"""The servers that the tests use: Apache Kafka where it can be had, a Redis, a Kafka of lists."""

import sys
from importlib import import_module
from pathlib import Path
from typing import Any

TESTS = Path(__file__).resolve().parents[1] / "tests"


def start_kafka(kind: str | None = None) -> Any:
    """Start the best broker this machine can run; see tests/servers.py."""
    return _of_tests("servers").start_kafka(kind)


def start_redis(*, appendonly: bool) -> Any:
    """Start a Redis on a free port."""
    return _of_tests("servers").start_redis(appendonly)


def memory_kafka(**partitions: int) -> tuple[Any, Any]:
    """Return (broker, Log) of a Kafka of lists; see tests/memory_log.py."""
    module = _of_tests("memory_log")
    broker = module.MemoryBroker(**partitions)
    return broker, module.MemoryLog(broker)


def version_of(server: Any) -> str:
    """Return the name and version of a running Redis."""
    found = server.client().info("server")
    name = found.get("server_name", "redis")
    return f"{name} {found.get('valkey_version', found['redis_version'])}"


def _of_tests(module: str) -> Any:
    if str(TESTS) not in sys.path:
        sys.path.append(str(TESTS))
    return import_module(module)
