"""What `up` and `demo` run on one machine: broker, Redis, the roles, the console."""

import http.client
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import msgspec

from streamrec.errors import ChildFailed, StreamrecError
from streamrec.local.child import free_port, is_for_us
from streamrec.local.children import Children, last_lines
from streamrec.local.servers import EmbeddedBroker, EmbeddedRedis
from streamrec.settings.load import all_settings, variable_of
from streamrec.settings.neural import TRAINS_WITH
from streamrec.settings.ports import ports_of, reachable, setting_for
from streamrec.settings.sections import Settings
from streamrec.settings.serve import has_console
from streamrec.settings.types import changed
from streamrec.transport.kafka.topics import create_topics

COMPILING = "compiling"
COMPILE_SECONDS = 80.0
"""On two cores with nothing else to do."""
WARM = f"""
from numba.core import event
from streamrec.settings.sections import Settings
from streamrec.roles.warm import warm_up

class FirstKernel(event.Listener):
    def on_start(self, event):  # not for kernels that are in the cache
        print({COMPILING!r}, flush=True)

    def on_end(self, event):
        pass

event.register("numba:compile", FirstKernel())
warm_up(Settings())
"""
READY_SECONDS = 120.0
WAIT_SECONDS = 0.05
DRAIN_SECONDS = 10.0
LOST_ANYWAY_SECONDS = 2.0
"""How long processes may drain when broker and Redis, and with them all state, end as well."""
EMBEDDED = {"session_timeout_seconds": 3.0, "fetch_wait_seconds": 0.02}


class Local:
    """Servers and processes with their logs in a temporary folder; `close` ends and removes all.

    `settings` has the addresses in it once the servers have started.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.folder = Path(tempfile.mkdtemp(prefix="streamrec-"))
        self.ports: dict[str, int] = {}
        self.page: str | None = None  # the console's address
        self.keep_logs = False
        self._servers: list[EmbeddedBroker | EmbeddedRedis] = []
        self._usual_ports = False
        self._drain_seconds = LOST_ANYWAY_SECONDS
        self._open = ExitStack()
        self._open.callback(self._remove_logs)
        self.children: Children | None = None

    def start_servers(
        self, kafka: str | None, redis: str | None, partitions: int, usual_ports: bool = False
    ) -> None:
        """Start what has no address given, and create the topics.

        With `usual_ports` the embedded servers listen where the other commands look for them by
        default, if nothing else does.
        """
        self._usual_ports = usual_ports
        if kafka is not None or redis is not None:
            self._drain_seconds = DRAIN_SECONDS
        if kafka is None:
            broker = EmbeddedBroker(_port(9092, usual_ports))
            self._servers.append(broker)
            self._open.callback(broker.stop)
            kafka = broker.start().address
            self.settings = changed(self.settings, kafka=EMBEDDED)
        if redis is None:
            server = EmbeddedRedis(_port(6379, usual_ports))
            self._servers.append(server)
            self._open.callback(server.stop)
            redis = server.start().url
        self.settings = changed(self.settings, kafka={"brokers": kafka}, redis={"url": redis})
        create_topics(self.settings.kafka, partitions)

    def run(self, *arguments: str) -> int:
        """Run a command of streamrec under the settings, here on the terminal; return its code."""
        command = [sys.executable, "-m", "streamrec.cli", *arguments]
        environment = {**os.environ, **environment_of(self.settings)}
        return subprocess.run(command, env=environment, check=False).returncode

    def start_roles(
        self,
        learn: int,
        score: int,
        announce: Callable[[str], object] = lambda text: None,
        *,
        train: bool = False,
    ) -> None:
        """Start the processes and wait until they are ready; raises StreamrecError after 120 s.

        With `train`, one that trains, if torch is installed: nobody waits for it.

        One process compiles the kernels first, if they are not in numba's cache yet: otherwise
        every process would compile them, at the same time. `announce` is told so.
        """
        self.children = Children(self.folder, environment_of(self.settings))
        self._open.callback(self.children.stop, self._drain_seconds)
        self.children.start("warm", ["-c", WARM])
        told = False
        while "warm" in self.children.pids():
            if not told and COMPILING in last_lines(self.children.log("warm")):
                told = True
                announce(f"{COMPILING}, the first time only: about {COMPILE_SECONDS:.0f} s")
            time.sleep(WAIT_SECONDS)
        self.children.drop("warm")
        for role, count in (("learn", learn), ("score", score)):
            for n in range(1, count + 1):
                self._start_role(role, f"{role}-{n}" if count > 1 else role)
        self._wait_until_ready()
        if train and all(find_spec(name) for name in TRAINS_WITH):
            self._start_role("train", "train")

    def start_console(self) -> None:
        """Start the page once the roles run.

        Not where `serve.console` is off, or the packages that it needs are not installed.
        """
        serve = self.settings.serve
        if not (has_console(serve) and find_spec("starlette") and find_spec("uvicorn")):
            return
        port = _port(serve.port, wanted=True)
        own = {"port": port, "metrics_of": tuple(self.metrics_addresses())}
        self.settings = changed(self.settings, serve=own)
        names = ("serve.port", "serve.metrics_of")
        values = environment_of(self.settings)
        self._start_role("serve", "serve", **{n: values[n] for n in map(variable_of, names)})
        self._wait_until_ready()
        self.page = f"http://{reachable(serve.host)}:{port}/console"

    def _start_role(self, role: str, name: str, **environment: str) -> None:
        assert self.children is not None
        self.ports[name] = port = self._metrics_port(role)
        arguments = ["-m", "streamrec.cli", role]
        variable = str(setting_for(role, port))
        environment["STREAMREC_METRICS_PORT"] = variable
        self.children.start(name, arguments, **environment)

    def check(self) -> None:
        """Raise when a process, the broker or Redis has ended."""
        for server in self._servers:
            if server.pid is None:
                raise ChildFailed(f"The {type(server).__name__} ended by itself.")
        if self.children is not None:
            try:
                self.children.check()
            except ChildFailed as death:
                self.keep_logs = True
                raise ChildFailed(f"{death}\nAll logs are kept in {self.folder}.") from None

    def metrics_addresses(self, *roles: str) -> list[str]:
        """Return where the metrics of these roles' processes are; of all if none is named."""
        host = reachable(self.settings.metrics.host)
        ports = [
            p for name, p in self.ports.items() if not roles or name.partition("-")[0] in roles
        ]
        return [f"http://{host}:{port}/metrics" for port in ports]

    def write_targets(self, file: Path) -> None:
        """Write where Prometheus finds the processes, as its `file_sd_configs` reads it."""
        host = reachable(self.settings.metrics.host)
        jobs: dict[str, list[str]] = {}
        for name, port in self.ports.items():
            jobs.setdefault(f"streamrec-{name.partition('-')[0]}", []).append(f"{host}:{port}")
        groups = [{"targets": found, "labels": {"job": job}} for job, found in jobs.items()]
        written = file.with_name(f".{file.name}")  # Prometheus may read at any moment
        written.write_text(json.dumps(groups, indent=2) + "\n")
        written.replace(file)
        self._open.callback(file.unlink, missing_ok=True)

    def close(self) -> None:
        """End the processes, then the servers; the logs go too, unless a process had died."""
        self._open.close()

    def _metrics_port(self, role: str) -> int:
        """Return a free port: the next of the role's own where `usual_ports` asks for those."""
        usual = ports_of(self.settings.metrics, role) if self._usual_ports else ()
        mine = self.ports.values()
        return next((p for p in usual if p not in mine and is_for_us(p)), 0) or free_port()

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + READY_SECONDS
        host = reachable(self.settings.metrics.host)
        for name, port in self.ports.items():
            while reason := not_ready(host, port):
                self.check()
                if time.monotonic() > deadline:
                    raise StreamrecError(
                        f"The process {name} is not ready after {READY_SECONDS:.0f} s: {reason}. "
                        "Try again when the machine is less busy."
                    )
                time.sleep(WAIT_SECONDS)

    def _remove_logs(self) -> None:
        if not self.keep_logs:
            shutil.rmtree(self.folder, ignore_errors=True)


def environment_of(settings: Settings) -> dict[str, str]:
    """Return variables that give a child these very settings."""
    values = {}
    for name in all_settings():
        value: Any = settings
        for part in name.split("."):
            value = getattr(value, part)
        text = value if isinstance(value, str) else json.dumps(msgspec.to_builtins(value))
        values[variable_of(name)] = text
    return values


def not_ready(host: str, port: int) -> str:
    """Return why a process is not ready; "" when it is."""
    try:
        with urllib.request.urlopen(f"http://{host}:{port}/health/ready", timeout=1):
            return ""
    except urllib.error.HTTPError as error:
        with error:
            return ", ".join(json.loads(error.read())["reasons"])
    except (OSError, http.client.HTTPException, ValueError):
        return "it does not answer yet"


def _port(usual: int, wanted: bool) -> int:
    """Return the usual port where it is wanted and free, else any free one."""
    return usual if wanted and is_for_us(usual) else free_port()


@contextmanager
def ending_on_signals() -> Iterator[None]:
    """Make SIGTERM end the block as Ctrl-C does; a second signal ends this process at once.

    The children end with it: they watch a pipe that only this process holds.
    """

    def stop(number: int, _frame: object) -> None:
        for kind in (signal.SIGINT, signal.SIGTERM):
            signal.signal(kind, lambda *_: os._exit(128 + number))
        raise KeyboardInterrupt

    before = {kind: signal.signal(kind, stop) for kind in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for kind, old in before.items():
            signal.signal(kind, old)
