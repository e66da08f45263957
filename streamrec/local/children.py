"""The roles' processes of `up` and `demo`: started, watched and ended together."""

import os
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from streamrec.errors import ChildFailed
from streamrec.local.child import ChildProcess

LAST_LINES = 15


class Children:
    """Processes of this program, each with a log file in `folder`.

    They live in sessions of their own, so that the terminal's Ctrl-C reaches only the parent, and
    they end with the parent even when that is killed.
    """

    def __init__(self, folder: Path, environment: Mapping[str, str]) -> None:
        self._folder = folder
        self._environment = dict(environment)
        self._processes: dict[str, ChildProcess] = {}

    def start(self, name: str, arguments: Sequence[str], **environment: str) -> None:
        """Start `python ARGUMENTS`, logging to NAME.log."""
        self._processes[name] = child = ChildProcess(
            [sys.executable, *arguments],
            is_ready=lambda: True,
            environment={**self._environment, **environment},
            log=self.log(name),
        )
        child.start()

    def drop(self, name: str) -> None:
        """Forget a child that was to end, and has."""
        self._processes.pop(name).stop()

    def log(self, name: str) -> Path:
        """Return the path of a child's log."""
        return self._folder / f"{name}.log"

    def pids(self) -> dict[str, int]:
        """Return the process ids of the children that run, by name."""
        pids = {name: child.pid for name, child in self._processes.items()}
        return {name: pid for name, pid in pids.items() if pid is not None}

    def check(self) -> None:
        """Raise ChildFailed when a child has ended."""
        for name, child in self._processes.items():
            if not child.running:
                lines = "\n  ".join(last_lines(self.log(name))) or "(it logged nothing)"
                raise ChildFailed(
                    f"The process {name} ended by itself. The end of its log:\n  {lines}"
                )

    def stop(self, seconds: float) -> None:
        """Ask all children to end at once, wait up to `seconds`, kill the rest."""
        for pid in self.pids().values():
            os.kill(pid, signal.SIGTERM)
        deadline = time.monotonic() + seconds
        while self.pids() and time.monotonic() < deadline:
            time.sleep(0.02)
        for child in self._processes.values():
            child.kill()
        self._processes.clear()


def last_lines(file: Path) -> list[str]:
    """Return the end of a text file, of its last 64 KiB; nothing when there is no such file."""
    try:
        with file.open("rb") as log:
            log.seek(max(0, log.seek(0, os.SEEK_END) - 65_536))
            return log.read().decode("utf-8", "replace").splitlines()[-LAST_LINES:]
    except OSError:
        return []
