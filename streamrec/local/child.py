"""A server process that runs for its parent: it ends when the parent ends, even by kill -9."""

import os
import secrets
import signal
import socket
import subprocess
import tempfile
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from streamrec.errors import ChildFailed

READY_SECONDS = 30.0
STOP_SECONDS = 5.0
LAST_LINES = 5
SERVER_PORTS = range(11_000, 21_000)
"""Also 10,000 further up, where nodes of a Redis Cluster meet, no client gets a port."""
KEPT_PORTS = 64
"""Of the latest ports that this process was told, no other is told one."""
_kept: deque[socket.socket] = deque()


class ChildProcess:
    """One server process in a session of its own, so the terminal's Ctrl-C does not reach it.

    A shell beside it waits for the end of a pipe whose other end only the parent holds, then
    kills it and deletes the folder `scratch`: this works on Linux and macOS, and whichever of the
    parent's threads started it. The output goes to the end of the file `log`, or of an unlinked
    one; a start that fails shows its last lines.
    """

    def __init__(
        self,
        command: Sequence[str],
        is_ready: Callable[[], bool],
        environment: Mapping[str, str] | None = None,
        ready_seconds: float = READY_SECONDS,
        scratch: str = "",
        log: Path | None = None,
    ) -> None:
        self._command = list(command)
        self._is_ready = is_ready
        self._environment = dict(environment or {})
        self._ready_seconds = ready_seconds
        self._scratch = scratch
        self._log = log
        self._process: subprocess.Popen[bytes] | None = None
        self._watcher: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        """The process id, or None while it does not run."""
        return self._process.pid if self.running and self._process else None

    @property
    def running(self) -> bool:
        """Whether the process is alive."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Start the process and wait until it is ready; raises ChildFailed."""
        if self.running:
            return
        self._forget()
        with self._log.open("a+b") if self._log else tempfile.TemporaryFile() as output:
            with _interrupts_later():
                self._process = subprocess.Popen(
                    self._command,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                    env={**os.environ, **self._environment},
                )
                self._watcher = _watch(self._process.pid, self._scratch)
            reason = self._wait_until_ready()
            if reason:
                self.kill()
                output.seek(0)
                raise ChildFailed(f"{reason}: {_last_lines(output.read()) or 'it printed nothing'}")

    def stop(self) -> None:
        """Ask the process to end (SIGTERM), kill it after 5 s."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End the process at once (SIGKILL)."""
        self._end(signal.SIGKILL)

    def _wait_until_ready(self) -> str:
        assert self._process is not None
        deadline = time.monotonic() + self._ready_seconds
        while not self._is_ready():
            if self._process.poll() is not None:
                return f"{self._command[0]} ended with status {self._process.returncode}"
            if time.monotonic() > deadline:
                return f"{self._command[0]} was not ready after {self._ready_seconds:g} s"
            time.sleep(0.01)
        # something else may answer on the port while our process has failed to bind it
        return "" if self.running else f"{self._command[0]} ended at its start"

    def _end(self, signal_number: int) -> None:
        process = self._process
        if process is not None and process.poll() is None:
            process.send_signal(signal_number)
            process.send_signal(signal.SIGCONT)  # a paused process would not see SIGTERM
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self._forget()

    def _forget(self) -> None:
        if self._watcher is not None:
            self._watcher.kill()
            self._watcher.wait()
            assert self._watcher.stdin is not None
            self._watcher.stdin.close()
        self._process = self._watcher = None


def free_port() -> int:
    """Return a TCP port of the loopback address that nothing listens on.

    It is none that the system gives to clients (Linux: from 32768, macOS: from 49152), which would
    otherwise take it before the server does, or while that is started again. Nor is it one that
    another process was just told: each keeps the UDP port of the same number.
    """
    while True:
        port = secrets.choice(SERVER_PORTS)
        if is_for_us(port):
            return port


def is_for_us(port: int) -> bool:
    """Return whether nothing listens on the port and no other process was just told it."""
    return is_free(port) and _keep(port)


def _keep(port: int) -> bool:
    """Take the UDP port of this number, which nothing here uses; say whether nobody had it."""
    mark = socket.socket(type=socket.SOCK_DGRAM)
    try:
        mark.bind(("127.0.0.1", port))
    except OSError:
        mark.close()
        return False
    _kept.append(mark)
    if len(_kept) > KEPT_PORTS:
        _kept.popleft().close()
    return True


def is_free(port: int) -> bool:
    """Return whether one may listen on the port of the loopback address."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def accepts(port: int) -> bool:
    """Return whether something accepts connections on the port of the loopback address."""
    try:
        socket.create_connection(("127.0.0.1", port), timeout=0.5).close()
    except OSError:
        return False
    return True


def _watch(pid: int, scratch: str) -> subprocess.Popen[bytes]:
    script = 'read -r _; kill -9 "$0"; if [ -n "$1" ]; then sleep 0.1; rm -rf "$1"; fi'
    return subprocess.Popen(
        ["/bin/sh", "-c", script, str(pid), scratch],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def _last_lines(output: bytes) -> str:
    text = output.decode("utf-8", "replace").strip().splitlines()
    return " | ".join(text[-LAST_LINES:])


@contextmanager
def _interrupts_later() -> Iterator[None]:
    """Hold Ctrl-C back in the block: a process that is started but not noted would outlive us."""
    if threading.current_thread() is not threading.main_thread():  # which alone is interrupted
        yield
        return
    came: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, _: came.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before or signal.SIG_DFL)
        if came:
            signal.raise_signal(signal.SIGINT)
