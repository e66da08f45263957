"""The site of the game day: broker, Redis, two learn, one score, one serve, traffic, Prometheus."""

import json
import os
import re
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
from asks import Asks
from clicks import Clicks
from kafka import KafkaProducer
from needs import needs_server
from prometheus import Prometheus
from recovery.drive import Child
from servers import RedisServer, start_kafka
from waiting import wait_until

from streamrec.local.child import free_port
from streamrec.settings.ports import setting_for
from streamrec.settings.sections import KafkaSettings
from streamrec.state import updates
from streamrec.transport.kafka.topics import create_topics

RULES = Path(__file__).resolve().parents[2] / "deploy" / "prometheus" / "streamrec.rules.yml"
FASTER = 30
"""All windows and waits of the rules are shorter by so much, but windows at least 4 s."""
AGES_FASTER = 6
"""The bounds on ages are lower by so much: 60 s become 10 s."""
WHOLE = (
    'sum(up{job=~"streamrec-.*"}) == 4 and sum(streamrec_partitions_assigned) == 12'
    " and max(streamrec_oldest_unlearnt_seconds) < 2"
    ' unless on () count(ALERTS{severity="page"})'
)
"""Each process answers, each partition has an owner, all is learnt, nothing is about to page."""
SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


def faster(rules: str) -> str:
    """Return the rules with shorter times, so that an hour's wait is two minutes."""

    def window(found: re.Match[str]) -> str:
        return f"[{max(4, int(found[1]) * SECONDS[found[2]] // FASTER)}s]"

    def wait(found: re.Match[str]) -> str:
        return f"{found[1]} {max(1, int(found[2]) * SECONDS[found[3]] // FASTER)}s"

    rules = re.sub(r"\[(\d+)([smhd])\]", window, rules)
    rules = re.sub(r"(for:|interval:|offset) (\d+)([smhd])", wait, rules)
    clicks = 1000 // FASTER  # in an hour, of which two minutes are left
    rules = rules.replace("increase1h > 1000", f"increase1h > {clicks}")
    return re.sub(
        r"(_seconds\)) ([<>]) (\d+)", lambda m: f"{m[1]} {m[2]} {int(m[3]) // AGES_FASTER}", rules
    )


class Site:
    """Everything, in `folder`; processes are started anew by hand, as a supervisor would."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        rules, targets = folder / "rules.yml", folder / "targets.json"
        rules.write_text(faster(RULES.read_text()))
        self.prometheus = needs_server(lambda: Prometheus(folder, targets, rules))
        self.kafka = needs_server(lambda: start_kafka("embedded"))
        self.redis = needs_server(lambda: RedisServer(maxmemory="256mb").start())
        self._settings = KafkaSettings(brokers=self.kafka.address, session_timeout_seconds=3.0)
        create_topics(self._settings, 4)
        ports = {name: free_port() for name in ("learn-1", "learn-2", "score", "serve")}
        self._serve_port = free_port()
        self.children = {name: self._child(name, port) for name, port in ports.items()}
        groups = [
            {
                "targets": [f"127.0.0.1:{port}"],
                "labels": {"job": f"streamrec-{name.partition('-')[0]}"},
            }
            for name, port in ports.items()
        ]
        targets.write_text(json.dumps(groups))

    def start(self) -> "Site":
        self.prometheus.start()
        for child in self.children.values():
            child.start()
        self.clicks = Clicks(self.kafka.address)
        self.asks = Asks(f"http://127.0.0.1:{self._serve_port}")
        self.wait_for("sum(streamrec_lists_published_total) > 100", 200)
        return self

    def close(self) -> None:
        if hasattr(self, "asks"):
            self.asks.stop()
        if hasattr(self, "clicks"):
            self.clicks.close()
        for child in self.children.values():
            child.kill()
            print(child.tail(8))
        self.prometheus.stop()
        self.redis.stop()
        self.kafka.close()

    def wait_for(self, expression: str, seconds: float) -> None:
        """Wait until a query has a result."""
        wait_until(lambda: bool(self.prometheus.query(expression)), seconds, expression)

    @contextmanager
    def frozen(self, pid: int | None) -> Iterator[None]:
        """Stop a process for the block: it keeps its sockets and answers nothing."""
        assert pid is not None
        os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(pid, signal.SIGCONT)

    def lose_an_update(self) -> None:
        """Send an update record whose predecessor never came."""
        header = updates.Header("u0", 0, 1_000_000_000, 1_000_000_001, 64)
        producer = KafkaProducer(bootstrap_servers=self.kafka.address)
        record = updates.encode(updates.make(header, {}))
        producer.send(self._settings.updates_topic, record, partition=1)
        producer.close()

    def _child(self, name: str, port: int) -> Child:
        role = name.partition("-")[0]
        kafka = {key: value for key, value in msgspec.to_builtins(self._settings).items() if value}
        sections = {
            "kafka": kafka,
            "redis": {"url": self.redis.url},
            "events": {"flood_per_minute": 600.0, "flood_burst": 40},
            "metrics": {"port": setting_for(role, port)},
            "serve": {"port": self._serve_port, "read_seconds": 0.5, "write_seconds": 1.0},
        }
        file = self._folder / f"{name}.toml"
        lines = []
        for section, values in sections.items():
            lines += [f"[{section}]", *(f"{k} = {json.dumps(v)}" for k, v in values.items())]
        file.write_text("\n".join(lines) + "\n")
        command = [sys.executable, "-m", "streamrec.cli", "--config", str(file), role]
        return Child(name, command, self._folder / f"{name}.log")


def calm(site: Site, alert: str = "", seconds: float = 240.0) -> None:
    """Wait until everything runs and is learnt, nothing pages, and an alert has ended.

    Tickets of a machine that is busy (slow answers of `serve`) are in no cause's way.
    """

    def over() -> bool:
        return alert not in site.prometheus.firing() and bool(site.prometheus.query(WHOLE))

    wait_until(over, seconds, lambda: (site.prometheus.firing(), site.prometheus.query(WHOLE)))
