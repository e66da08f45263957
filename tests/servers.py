"""Real servers for the tests: a Kafka of one of four kinds, and a Redis.

STREAMREC_TEST_KAFKA is the address of a broker, or one of the words container, jars, embedded.
Without it the first kind that this machine can run is taken, in that order.
"""

import os
import shutil
import subprocess
import tempfile
import uuid
from base64 import urlsafe_b64encode
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import redis

from streamrec.errors import StreamrecError
from streamrec.local.child import ChildProcess, accepts, free_port
from streamrec.local.servers import EmbeddedBroker, EmbeddedRedis

KAFKA_VERSION = "4.3.1"
CACHE = Path.home() / ".cache" / "streamrec-test" / f"kafka-{KAFKA_VERSION}"
POM = f"""<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion>
<groupId>streamrec</groupId><artifactId>test-kafka</artifactId><version>1</version><dependencies>
<dependency><groupId>org.apache.kafka</groupId><artifactId>kafka_2.13</artifactId>
<version>{KAFKA_VERSION}</version></dependency>
<dependency><groupId>org.slf4j</groupId><artifactId>slf4j-simple</artifactId>
<version>1.7.36</version></dependency></dependencies></project>
"""
JAVA = ["java", "-Xmx512m", "-Xms256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"]
JAVA += ["-Dorg.slf4j.simpleLogger.defaultLogLevel=warn"]


class Unavailable(Exception):
    """This machine cannot run the server; the text says why."""


class Process(Protocol):
    """What a broker that the tests own can do."""

    pid: Any

    def start(self) -> Any: ...
    def stop(self) -> None: ...
    def kill(self) -> None: ...


class KafkaServer:
    """The broker of a test session: `kind` is address, container, apache-jars or embedded."""

    def __init__(
        self,
        kind: str,
        address: str,
        process: Process | None = None,
        close: Callable[[], None] = lambda: None,
    ) -> None:
        self.kind = kind
        self.address = address
        self._process = process
        self._close = close

    @property
    def can_restart(self) -> bool:
        """Whether start, stop, kill and restart work."""
        return self._process is not None

    @property
    def keeps_topics(self) -> bool:
        """Whether the topics survive a restart: the embedded broker has them in memory."""
        return self.kind != "embedded"

    @property
    def pid(self) -> int | None:
        """The broker's process, where the tests own it and it runs."""
        return self._process.pid if self._process else None

    def start(self) -> None:
        """Start the broker where it was stopped, on the same port."""
        self._owned().start()

    def stop(self) -> None:
        self._owned().stop()

    def kill(self) -> None:
        """End it with SIGKILL."""
        self._owned().kill()

    def restart(self) -> None:
        self.stop()
        self.start()

    def close(self) -> None:
        """Stop the broker and delete what it kept."""
        if self._process is not None:
            self._process.stop()
        self._close()

    def __str__(self) -> str:
        return f"{self.kind} at {self.address}"

    def _owned(self) -> Process:
        if self._process is None:
            raise Unavailable(f"the tests cannot restart a broker of the kind {self.kind}")
        return self._process


class RedisServer(EmbeddedRedis):
    """A Redis that keeps its rows when it is killed, with a client for the test."""

    def __init__(self, appendonly: bool = True, **options: str) -> None:
        named = {f"--{name.replace('_', '-')}": value for name, value in options.items()}
        if appendonly:
            # rows are rewritten often: at the default of 64 MB a small state makes Redis fork and
            # rewrite its log every 3 s at 500 events/s, which a list then waits for
            named |= {"--appendonly": "yes", "--auto-aof-rewrite-min-size": "1gb"}
        super().__init__(options=named)
        self._client: Any = None

    def client(self) -> Any:
        """Return a client; one is kept for the life of the server."""
        if self._client is None:
            self._client = redis.Redis.from_url(self.url)
        return self._client

    def stop(self) -> None:
        if self._client is not None:
            self._client.close()
            self._client = None
        super().stop()


def start_kafka(kind: str | None = None) -> KafkaServer:
    """Start (or name) a broker of the kind, or of the best kind that works here.

    Raises Unavailable with the reason when it, or all of them, cannot be had.
    """
    wanted = kind or os.environ.get("STREAMREC_TEST_KAFKA")
    starters = {"container": _container, "jars": _apache, "embedded": _embedded}
    if wanted and wanted not in starters:
        host, _, port = wanted.rpartition(":")
        if not host or not port.isdigit():
            known = ", ".join(starters)
            raise Unavailable(f"STREAMREC_TEST_KAFKA={wanted!r} is no host:port, nor {known}")
        return KafkaServer("address", wanted)
    reasons = []
    for name in [wanted] if wanted else list(starters):
        try:
            return starters[name]()
        except (Unavailable, StreamrecError) as reason:
            reasons.append(f"{name}: {reason}")
    raise Unavailable("no Kafka to test with: " + "; ".join(reasons))


def start_redis(appendonly: bool = True) -> RedisServer:
    """Start a Redis on a free port; raises Unavailable."""
    try:
        return RedisServer(appendonly).start()
    except StreamrecError as reason:
        raise Unavailable(f"no Redis to test with: {reason}") from None


def _embedded() -> KafkaServer:
    broker = EmbeddedBroker().start()
    return KafkaServer("embedded", broker.address, broker)


def _container() -> KafkaServer:
    if not _docker_answers():
        raise Unavailable("no Docker engine answers")
    from testcontainers.community.kafka import KafkaContainer

    container = KafkaContainer().with_kraft().with_env("KAFKA_GROUP_MIN_SESSION_TIMEOUT_MS", "1000")
    for name in ("REPLICATION_FACTOR", "MIN_ISR"):  # it is one broker, and there are transactions
        container.with_env(f"KAFKA_TRANSACTION_STATE_LOG_{name}", "1")
    container.start()
    return KafkaServer("container", container.get_bootstrap_server(), close=container.stop)


def _docker_answers() -> bool:
    if not Path("/var/run/docker.sock").exists() and "DOCKER_HOST" not in os.environ:
        return False
    import docker

    try:
        client = docker.from_env(timeout=5)
    except docker.errors.DockerException:
        return False
    try:
        return bool(client.ping())
    except docker.errors.DockerException:
        return False
    finally:
        client.close()


def _apache() -> KafkaServer:
    return start_apache({})


def start_apache(more: dict[str, str], listener: str = "PLAINTEXT") -> KafkaServer:
    """Start Apache Kafka with more properties; `listener` names the one of its clients."""
    java = [*JAVA, "-cp", f"{apache_jars()}/*"]
    folder = Path(tempfile.mkdtemp(prefix="streamrec-kafka-"))
    port, controller = free_port(), free_port()
    properties = folder / "server.properties"
    text = _properties(folder / "log", port, controller).replace("PLAINTEXT://", f"{listener}://")
    properties.write_text(text + "".join(f"{key}={value}\n" for key, value in more.items()))
    # a leading minus sign would be read as a flag
    cluster = "A" + urlsafe_b64encode(uuid.uuid4().bytes).decode()[1:22]
    try:
        storage = [*java, "kafka.tools.StorageTool", "format", "-t", cluster]
        _run([*storage, "-c", str(properties)])
        broker = ChildProcess(
            [*java, "kafka.Kafka", str(properties)],
            lambda: accepts(port),
            ready_seconds=60,
            scratch=str(folder),
        )
        broker.start()
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    address = f"127.0.0.1:{port}"
    return KafkaServer(
        "apache-jars", address, broker, lambda: shutil.rmtree(folder, ignore_errors=True)
    )


def apache_jars() -> Path:
    """Return the folder with Kafka's jars; Maven fetches them once (44 MB, 4 to 9 s).

    Two processes may do so at once: each fills a folder of its own, the first rename wins.
    """
    for program in ("java", "mvn"):
        if not shutil.which(program):
            raise Unavailable(f"no {program} on PATH")
    if CACHE.is_dir():
        return CACHE
    CACHE.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=CACHE.parent, prefix="download-") as download:
        pom = Path(download) / "pom.xml"
        pom.write_text(POM)
        jars = Path(download) / "jars"
        command = ["mvn", "-q", "-B", "-f", str(pom), "dependency:copy-dependencies"]
        _run([*command, f"-DoutputDirectory={jars}", "-DincludeScope=runtime"])
        try:
            jars.rename(CACHE)
        except OSError:
            if not CACHE.is_dir():
                raise
    return CACHE


def _properties(log: Path, port: int, controller: int) -> str:
    lines = {
        "process.roles": "broker,controller",
        "node.id": "1",
        "controller.quorum.voters": f"1@127.0.0.1:{controller}",
        "listeners": f"PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}",
        "advertised.listeners": f"PLAINTEXT://127.0.0.1:{port}",
        "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "controller.listener.names": "CONTROLLER",
        "inter.broker.listener.name": "PLAINTEXT",
        "log.dirs": str(log),
        "auto.create.topics.enable": "false",
        "offsets.topic.replication.factor": "1",
        "offsets.topic.num.partitions": "4",
        "transaction.state.log.replication.factor": "1",
        "transaction.state.log.min.isr": "1",
        "share.coordinator.state.topic.replication.factor": "1",
        "share.coordinator.state.topic.min.isr": "1",
        # after a kill -9 the controller lets the broker in again when its session has ended
        "broker.session.timeout.ms": "2000",
        "broker.heartbeat.interval.ms": "500",
        "group.initial.rebalance.delay.ms": "0",
        "group.min.session.timeout.ms": "1000",
    }
    return "".join(f"{key}={value}\n" for key, value in lines.items())


def _run(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    if done.returncode:
        output = (done.stdout + done.stderr).strip().splitlines()[-5:]
        raise Unavailable(f"{command[0]} failed: {' | '.join(output)}")
