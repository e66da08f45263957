"""What can be seen of running processes from outside: their CPU time, and lists that appear."""

import contextlib
import json
import queue
import re
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import redis

POLL_SECONDS = 0.003
OFFSET = re.compile(rb'"offset":(\d+)')
HEAD_BYTES = 300
TICKS = 100  # of /proc a second
ALL = "all programs"
MOST_AT_ONCE = 30  # oldest first, so that looking costs little when lists are late


class Producer:
    """The producer process, driven by commands."""

    def __init__(self, address: str, topic: str) -> None:
        command = [sys.executable, "-m", "benchmarks.producer", address, topic]
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).resolve().parents[1],
        )
        self.pid = self._process.pid
        self.replies: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
        self.watched: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
        threading.Thread(target=self._read, daemon=True).start()
        self.name = self.wait()["ready"]

    def prepare(self, events: int) -> None:
        """Encode the next events; returns when that is done."""
        self._tell(prepare=events)
        self.wait()

    def send(self, events: int, rate: float = 0.0, watch: int = 0) -> None:
        """Begin to send; `wait` returns when all are acknowledged."""
        self._tell(send=events, rate=rate, watch=watch)

    def wait(self) -> dict[str, Any]:
        """Return the next reply."""
        reply = self.replies.get(timeout=300)
        if not reply:
            raise RuntimeError("the producer ended; its error is above")
        return reply

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.wait()

    def _tell(self, **command: Any) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(command) + "\n")
        self._process.stdin.flush()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            reply = json.loads(line)
            (self.watched if "offset" in reply else self.replies).put(reply)
        self.replies.put({})


class ListWatch:
    """Milliseconds from a click's produce call until the user's list in Redis knows the click."""

    def __init__(self, client: "redis.Redis", watched: "queue.SimpleQueue[dict[str, Any]]") -> None:
        self._client = client
        self._watched = watched
        self._pending: list[dict[str, Any]] = []
        self.milliseconds: list[float] = []

    def poll(self) -> int:
        """Look once; return how many clicks still wait."""
        while not self._watched.empty():
            self._pending.append(self._watched.get())
        looked, later = self._pending[:MOST_AT_ONCE], self._pending[MOST_AT_ONCE:]
        if looked:
            pipe = self._client.pipeline(transaction=False)
            for click in looked:
                pipe.getrange(f"rec:{click['user']}", 0, HEAD_BYTES)
            heads = pipe.execute()
            now, waiting = time.time(), []
            for click, head in zip(looked, heads, strict=True):
                found = OFFSET.search(head)
                if found and int(found[1]) >= click["offset"]:
                    self.milliseconds.append((now - click["at"]) * 1000)
                else:
                    waiting.append(click)
            self._pending = waiting + later
        return len(self._pending)

    def watch(self, until: float) -> None:
        """Poll every 3 ms until that monotonic time."""
        while time.monotonic() < until:
            self.poll()
            time.sleep(POLL_SECONDS)


def cpu_seconds(pids: Mapping[str, int | None]) -> dict[str, float]:
    """Return the CPU seconds of processes so far, and of the whole machine; where /proc tells."""
    out = {}
    for name, pid in pids.items():
        try:
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        out[name] = (int(fields[11]) + int(fields[12])) / TICKS
    with contextlib.suppress(OSError):
        times = Path("/proc/stat").read_text().splitlines()[0].split()[1:]
        user, nice, system, _idle, _wait, irq, soft = map(int, times[:7])
        out[ALL] = (user + nice + system + irq + soft) / TICKS
    return out
