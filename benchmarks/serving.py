"""`streamrec serve` and a Redis on one core, and wrk, which asks for lists, on another."""

import json
import shutil
import subprocess
import sys
import urllib.request
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from benchmarks.figures import Missing, Sample
from benchmarks.machine import allowed_cores, on_cores
from benchmarks.servers import start_redis, version_of
from benchmarks.stored_lists import made_lists, store_lists
from streamrec.local.child import ChildProcess, accepts, free_port
from streamrec.settings.sections import RedisSettings

USERS, ITEMS = 1_000, 5_000
CONNECTIONS = 32
HALF_RATE = 1_500
REPLY_MS = 1
"""What a reply takes of the time between two requests of a connection, at half of the rate."""
WARM_SECONDS = 2
READY_SECONDS = 60.0
SCRIPT = Path(__file__).with_name("wrk.lua")
PACKAGE = "the benchmark `serve` asks with wrk: install the package wrk (apt, dnf or brew)"


class Serving:
    """Reads of one list each: as many as there can be, and 1,500 a second."""

    def __init__(self, users: int, seconds: int, repeats: int) -> None:
        """Raise Missing without wrk."""
        self.repeats, self._users, self._seconds = repeats, users, seconds
        found = shutil.which("wrk")
        if found is None:
            raise Missing(PACKAGE)
        self._wrk = found
        cores = allowed_cores()
        self._served_on, self._asked_on = cores[:1], cores[1:2] or cores[:1]
        self._open = ExitStack()
        try:
            with on_cores(self._served_on):
                self._start()
        except BaseException:
            self.close()
            raise
        self._asked(min(WARM_SECONDS, seconds))

    def _start(self) -> None:
        self._redis = start_redis(appendonly=False)
        self._open.callback(self._redis.stop)
        settings = RedisSettings(url=self._redis.url)
        lists = made_lists(self._users, ITEMS)
        self._list_bytes = store_lists(settings, lists, self._users, ITEMS)
        port, metrics = free_port(), free_port()
        command = [sys.executable, "-m", "streamrec.cli", "--redis", self._redis.url]
        for one in (f"serve.port={port}", f"metrics.port={metrics}"):
            command += ["--set", one]
        server = ChildProcess(
            [*command, "serve"], lambda: accepts(port), ready_seconds=READY_SECONDS
        )
        server.start()
        self._open.callback(server.stop)
        self._url = f"http://127.0.0.1:{port}"
        with urllib.request.urlopen(f"{self._url}/v1/users/u0/lists/home", timeout=10) as answer:
            one = json.load(answer)
        self._length = len(one["items"])
        assert one["personal"] and self._length == len(lists[0].items), one

    def once(self) -> Sample:
        """Return lists a second, and milliseconds at half of the rate that is asked for."""
        most = self._asked(self._seconds)
        half = self._asked(self._seconds, 1000 * CONNECTIONS // HALF_RATE - REPLY_MS)
        return {
            "served_lists_per_second": most["requests"] / most["seconds"],
            "served_ms_p99": half["p99_ms"],
            "served_without_list": float(
                sum(one[name] for one in (most, half) for name in ("refused", "lost"))
            ),
            "served_half_lists_per_second": half["requests"] / half["seconds"],
            "served_half_ms_p50": half["p50_ms"],
            "served_most_ms_p99": most["p99_ms"],
        }

    def _asked(self, seconds: int, mean_delay_ms: int = 0) -> dict[str, Any]:
        """Return what wrk says of so many seconds."""
        command = [self._wrk, "-t1", f"-c{CONNECTIONS}", f"-d{seconds}s", "--latency"]
        command += ["-s", str(SCRIPT), self._url, "--", str(self._users), str(mean_delay_ms)]
        with on_cores(self._asked_on):
            done = subprocess.run(command, capture_output=True, text=True, check=True)
        found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
        return found

    def notes(self) -> dict[str, object]:
        """Return what was asked for, and where it ran."""
        return {
            "redis": version_of(self._redis),
            "users": self._users,
            "items_a_list": self._length,
            "list_bytes_stored": self._list_bytes,
            "connections": CONNECTIONS,
            "seconds": self._seconds,
            "serve_and_redis_on": self._served_on,
            "wrk_on": self._asked_on,
            "at_half": "between two requests of a connection a time by chance",
        }

    def close(self) -> None:
        """End both."""
        self._open.close()
