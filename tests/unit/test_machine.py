"""What `up` and `demo` say while they start."""

import json
import socket
import subprocess
import sys
from contextlib import closing
from pathlib import Path

from streamrec.local import machine
from streamrec.local.child import free_port
from streamrec.local.machine import COMPILING, WARM, Local
from streamrec.local.shell_lines import where_to_look
from streamrec.settings.sections import Settings
from streamrec.settings.serve import ServeSettings


def said(work: str) -> str:
    script = WARM.replace("warm_up(Settings())", work)
    return subprocess.run([sys.executable, "-c", script], capture_output=True, text=True).stdout


def test_compiling_is_said_only_when_a_kernel_is_not_in_the_cache() -> None:
    assert said("import numba; numba.njit(lambda: 1)()") == f"{COMPILING}\n"
    assert said("pass") == ""


def test_prometheus_is_told_what_runs_where(tmp_path: Path) -> None:
    file = tmp_path / "targets.json"
    local = Local(Settings())
    with closing(local):
        local.ports = {"learn-1": 9464, "learn-2": 9474, "score": 9465}
        local.write_targets(file)
        assert json.loads(file.read_text()) == [
            {
                "targets": ["127.0.0.1:9464", "127.0.0.1:9474"],
                "labels": {"job": "streamrec-learn"},
            },
            {"targets": ["127.0.0.1:9465"], "labels": {"job": "streamrec-score"}},
        ]
    assert not file.exists()


def test_a_port_tells_the_role_whatever_is_taken() -> None:
    with closing(Local(Settings())) as local, socket.socket() as taken:
        local._usual_ports = True
        first = local._metrics_port("score")
        # as is_free asks: connections to an earlier `up` may still be in TIME_WAIT
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind(("127.0.0.1", first))
        taken.listen()
        local.ports["learn"] = local._metrics_port("learn")
        ports = [first, local._metrics_port("score"), local._metrics_port("learn")]
        assert [port % 10 for port in ports] == [5, 5, 4]
        assert first < ports[1] and local.ports["learn"] < ports[2]


def test_a_usual_port_that_another_was_just_told_is_not_told_again() -> None:
    """Two that start at once: the other does not listen on it yet, and is to be the only one."""
    usual = free_port()
    assert machine._port(usual, wanted=True) != usual, "free_port told it, and keeps its mark"
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", usual))


def test_where_to_look() -> None:
    page = "http://127.0.0.1:8080/console"
    assert page in where_to_look(Settings(), page)
    assert "pip install 'streamrec[serve]'" in where_to_look(Settings(), None)
    off = Settings(serve=ServeSettings(console="off"))
    assert "serve.console is off" in where_to_look(off, None)
    with closing(Local(off)) as local:
        local.start_console()
        assert local.page is None and local.ports == {}
