"""A child process and Ctrl-C: what was started is known, so that it can be ended."""

import os
import signal
import subprocess
import sys
from typing import Any

import pytest

from streamrec.local import child
from streamrec.local.child import ChildProcess, free_port


def test_ctrl_c_during_a_start_comes_when_the_child_is_known(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    watch, known = child._watch, []

    def interrupted(*arguments: Any) -> Any:
        os.kill(os.getpid(), signal.SIGINT)
        known.append(arguments[0])
        return watch(*arguments)

    monkeypatch.setattr(child, "_watch", interrupted)
    process = ChildProcess(["sleep", "60"], is_ready=lambda: True)
    # tests may run in the background of a shell, where Ctrl-C is ignored
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            process.start()
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, before)
    assert process.pid == known[0]
    process.stop()
    assert not process.running


def test_no_two_processes_are_told_the_same_port(monkeypatch: pytest.MonkeyPatch) -> None:
    first = 10_000 + 8 * (os.getpid() % 120)  # none of those that other tests are told
    ports = range(first, first + 8)
    monkeypatch.setattr(child, "SERVER_PORTS", ports)
    mine = {free_port() for _ in ports[1:]}
    code = (
        f"from streamrec.local import child; child.SERVER_PORTS = {ports}; print(child.free_port())"
    )
    theirs = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    assert mine | {int(theirs.stdout)} == set(ports)
