"""A process that was told to end does so, also when nobody reads its log any more."""

import signal
import subprocess
import sys
import time

ROLE = """
import logging, threading
from streamrec.roles import leave

leave.LEAVE_SECONDS = {seconds}
logging.basicConfig(level="INFO")
stop = leave.stop_on_signals()
print("begun", flush=True)
{work}
print("ended", flush=True)
"""


def end(work: str, seconds: float = 0.2) -> tuple[int, str, str]:
    """Send SIGTERM twice to a process that does this, and is given so many seconds to end.

    Returns its exit code and what it printed.
    """
    process = subprocess.Popen(
        [sys.executable, "-c", ROLE.format(work=work, seconds=seconds)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None and process.stdout.readline() == "begun\n"
    time.sleep(0.5)  # its pipe is full by then
    for _ in range(2):
        process.send_signal(signal.SIGTERM)
    code = process.wait(60)
    out, errors = process.communicate()
    return code, out, errors


def test_a_loop_that_ends_has_the_time() -> None:
    code, out, errors = end("stop.wait()", seconds=60.0)
    assert (code, out) == (0, "ended\n")
    assert errors.count("stopping") == 1 and "leaving" not in errors


def test_a_call_that_does_not_come_back_is_left() -> None:
    code, out, errors = end("threading.Event().wait()")
    assert (code, out) == (0, "")
    assert "stopping" in errors and "leaving" in errors


def test_a_log_that_nobody_reads_holds_nothing() -> None:
    code, out, _ = end("while True: logging.info('x' * 1000)")
    assert (code, out) == (0, "")
