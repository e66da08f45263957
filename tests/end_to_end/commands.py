"""Runs streamrec's commands as a person does, and counts what is left of them."""

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path


class Command:
    """A running command; every process that it starts carries a mark in its environment."""

    def __init__(
        self,
        folder: Path,
        *arguments: str,
        program: Sequence[str] = (sys.executable, "-m", "streamrec.cli"),
    ) -> None:
        self.output = folder / "output.txt"
        self._mark = f"STREAMREC_TEST_MARK={folder.name}-{os.getpid()}"
        name, _, value = self._mark.partition("=")
        with self.output.open("wb") as output:
            self.process = subprocess.Popen(
                [*program, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                cwd=folder,
                env={**os.environ, name: value, "COLUMNS": "100", "TMPDIR": str(folder)},
            )

    def alive(self) -> dict[int, str]:
        """Return process ids and command lines of all that descends from the command."""
        found = {}
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                if self._mark.encode() in (folder / "environ").read_bytes().split(b"\0"):
                    line = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()
                    found[int(folder.name)] = line
            except OSError:
                continue
        return found

    def wait_for(self, text: str, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while text not in self.output.read_text():
            assert self.process.poll() is None, self.output.read_text()
            assert time.monotonic() < deadline, self.output.read_text()
            time.sleep(0.05)

    def all_gone(self, seconds: float) -> bool:
        deadline = time.monotonic() + seconds
        while self.alive() and time.monotonic() < deadline:
            time.sleep(0.05)
        return not self.alive()

    def kill(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()


def shell(line: str) -> str:
    """Run a line in the shell and return what it printed."""
    return subprocess.run(line, shell=True, check=True, capture_output=True, text=True).stdout
