"""The real servers that the tests use: Apache Kafka where it can be had, and a Redis."""

import sys
from importlib import import_module
from pathlib import Path
from typing import Any

TESTS = Path(__file__).resolve().parents[1] / "tests"


def start_kafka(kind: str | None = None) -> Any:
    """Start the best broker this machine can run; see tests/servers.py."""
    return _servers().start_kafka(kind)


def start_redis(*, appendonly: bool) -> Any:
    """Start a Redis on a free port."""
    return _servers().start_redis(appendonly)


def version_of(server: Any) -> str:
    """Return the name and version of a running Redis."""
    found = server.client().info("server")
    name = found.get("server_name", "redis")
    return f"{name} {found.get('valkey_version', found['redis_version'])}"


def _servers() -> Any:
    if str(TESTS) not in sys.path:
        sys.path.append(str(TESTS))
    return import_module("servers")
