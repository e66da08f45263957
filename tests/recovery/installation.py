"""One installation of streamrec for one test: topics, Redis, configuration file, processes."""

import json
import random
import time
from pathlib import Path
from typing import Any

import msgspec
from recovery.compare import read_dead_letters, read_export, recount_topic
from recovery.drive import Feeder, Fleet, State
from recovery.events import stream
from recovery.recount import Recount

from streamrec.settings.sections import KafkaSettings

PARTITIONS = 4
WARM_SECONDS = 120.0
DRAIN_SECONDS = 90.0


class Site:
    """One installation of streamrec for one test."""

    def __init__(
        self, kafka: KafkaSettings, redis_url: str, directory: Path, cluster: bool = False
    ) -> None:
        self.kafka, self.redis_url, self.directory = kafka, redis_url, directory
        self._cluster = cluster
        self.state = State(redis_url, cluster)
        self.fleet = Fleet(directory, self._write_config())
        self.random = random.Random(7)

    def feed(self, count: int, per_second: float, seed: int = 1) -> Feeder:
        """Begin to produce test events."""
        now_ms = int(time.time() * 1000)
        sent = stream(seed, count, now_ms)
        return Feeder(self.kafka.brokers, self.kafka.events_topic, sent, per_second)

    def warm(self) -> None:
        """Wait for the first commit: before it kernels are compiled and groups are joined."""
        self.fleet.wait_until(lambda: self.learnt() > 0, WARM_SECONDS, "the first commit")

    def learnt(self) -> int:
        """Return how many events the user shards have behind them."""
        return sum(max(0, self.state.offset(f"u{n}")) for n in range(PARTITIONS))

    def drain(self, ends: dict[int, int]) -> None:
        """Wait until both folds have learnt everything."""
        self.fleet.wait_until(
            lambda: not self.state.unlearnt(ends, PARTITIONS),
            DRAIN_SECONDS,
            lambda: self.state.unlearnt(ends, PARTITIONS),
        )

    def export(self) -> Recount:
        """Return what is stored, through `streamrec export`."""
        target = self.directory / "state"
        done = self.fleet.run("export", "--state", str(target))
        assert done.returncode == 0, done.stderr
        stored = read_export(target)
        stored.rejected = read_dead_letters(self.kafka.brokers, self.kafka.dead_letters_topic)
        return stored

    def difference(self, ends: dict[int, int]) -> list[str]:
        """Drain, then return all differences between the recount and what is stored."""
        self.drain(ends)
        counted = recount_topic(self.kafka.brokers, self.kafka.events_topic)
        assert {n: c["offset"] for n, c in counted.partitions.items() if c["offset"]} == ends
        return counted.difference(self.export())

    def check(self, ends: dict[int, int]) -> None:
        """Drain; the stored state must equal the recount, and a scorer then leaves no work."""
        difference = self.difference(ends)
        assert not difference, f"{len(difference)} differences: " + "\n".join(difference[:20])
        if not any(child.name.startswith("score") for child in self.fleet.children):
            assert self.fleet.run("audit").returncode == 2  # users wait for lists
            self.fleet.add("score")
        audit = self.fleet.run("audit", "--wait", "30", seconds=90)
        assert audit.returncode == 0, audit.stdout + audit.stderr

    def _write_config(self) -> Path:
        sections: dict[str, dict[str, Any]] = {
            "kafka": msgspec.to_builtins(self.kafka),
            "redis": {"url": self.redis_url, "cluster": self._cluster},
            "users": {"cached_users": 150},  # of 300: rows are loaded again and again
            "batches": {"max_events": 200},
            "lists": {"lease_seconds": 2.0},
            "metrics": {"port": 0},
        }
        sections["kafka"].pop("client_settings")
        lines = []
        for name, values in sections.items():
            lines += [f"[{name}]", *(f"{key} = {json.dumps(v)}" for key, v in values.items())]
        path = self.directory / "streamrec.toml"
        path.write_text("\n".join(lines) + "\n")
        return path
