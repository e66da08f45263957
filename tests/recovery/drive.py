"""Drives real processes: starts, kills, stops and continues them, feeds them, waits for the end."""

import json
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import redis
from kafka import KafkaProducer
from recovery.events import Sent
from waiting import wait_until

from streamrec.local.child import ChildProcess


class Child(ChildProcess):
    """One process of streamrec; `start` after `kill` begins a new one with the same log file."""

    def __init__(self, name: str, command: Sequence[str], log: Path) -> None:
        super().__init__(command, is_ready=lambda: True, log=log)
        self.name, self._output = name, log

    def start(self, **environment: str) -> None:
        """Start it; its output is appended to the log file. It ends when the test run does."""
        self._environment = {"PYTHONUNBUFFERED": "1", **environment}
        super().start()

    @property
    def exit_code(self) -> int | None:
        """What it ended with by itself; None while it runs."""
        return None if self._process is None else self._process.poll()

    def pause(self) -> None:
        """Stop it with SIGSTOP: it keeps its sockets and knows nothing of the time that goes by."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let a paused process go on."""
        self._signal(signal.SIGCONT)

    def output(self) -> str:
        """Return all that it has printed so far."""
        return self._output.read_text("utf-8", "replace") if self._output.exists() else ""

    def tail(self, lines: int = 25) -> str:
        """Return the end of its output."""
        return "\n".join([f"--- {self.name}", *self.output().splitlines()[-lines:]])

    def _signal(self, number: int) -> None:
        assert self._process is not None
        self._process.send_signal(number)


class Feeder(threading.Thread):
    """Produces messages at a steady pace; `ends` has the end offset of each partition."""

    def __init__(self, brokers: str, topic: str, sent: Iterable[Sent], per_second: float) -> None:
        super().__init__(daemon=True)
        self._brokers, self._topic = brokers, topic
        self._sent, self._per_second = list(sent), per_second
        self._failure: BaseException | None = None
        self.ends: dict[int, int] = {}
        self.start()

    def run(self) -> None:
        """Produce everything, then wait for all acknowledgements."""
        try:
            self._produce()
        except BaseException as failure:
            self._failure = failure

    def _produce(self) -> None:
        producer = KafkaProducer(
            bootstrap_servers=self._brokers,
            acks="all",
            linger_ms=2,
            reconnect_backoff_max_ms=500,  # not 30 s: brokers are restarted in these tests
        )
        futures = []
        for one in self._sent:
            futures.append(producer.send(self._topic, one.value, key=one.key))
            time.sleep(1 / self._per_second)
        for future in futures:
            found = future.get(timeout=60)
            self.ends[found.partition] = max(self.ends.get(found.partition, 0), found.offset + 1)
        producer.close()

    def hurry(self) -> None:
        """Send the rest as fast as it goes."""
        self._per_second = 10_000.0

    def finish(self) -> dict[int, int]:
        """Wait for the end of the feed and return `ends`."""
        self.join()
        if self._failure is not None:
            raise self._failure
        return self.ends


class State:
    """Looks at what Redis has; sees nothing while Redis is down."""

    def __init__(self, url: str, cluster: bool) -> None:
        kind: Any = redis.RedisCluster if cluster else redis.Redis
        self._redis = kind.from_url(url, socket_timeout=5)

    def offset(self, shard: str) -> int:
        """Return the next offset that the shard will read; -1 while it does not exist."""
        return int(self._field(shard, "offset") or -1)

    def marks(self, shard: str) -> dict[str, int]:
        """Return how far an item shard has each source's updates."""
        marks: dict[str, int] = json.loads(self._field(shard, "marks") or "{}")
        return marks

    def due(self, users: int) -> int:
        """Return how many users of all user shards wait for a new list."""
        return sum(int(self._redis.zcard(f"sr:{{u{n}}}:due")) for n in range(users))

    def unlearnt(self, ends: dict[int, int], items: int) -> list[str]:
        """Return what has not reached `ends`: user shards, and then each of the item shards."""
        left = []
        for number, end in sorted(ends.items()):
            reached = {f"u{number}": self.offset(f"u{number}")}
            for item_shard in range(items):
                name = f"i{item_shard}"
                reached[f"{name} of u{number}"] = self.marks(name).get(f"u{number}", -1)
            left += [f"{name} is at {at} of {end}" for name, at in reached.items() if at < end]
        return left

    def _field(self, shard: str, name: str) -> bytes | None:
        try:
            found: bytes | None = self._redis.hget(f"sr:{{{shard}}}:meta", name)
        except redis.RedisError:
            return None
        return found


class Fleet:
    """The processes of one test; leaving it kills them all and prints the ends of their logs."""

    def __init__(self, directory: Path, config: Path) -> None:
        self._directory, self._config = directory, config
        self.children: list[Child] = []

    def __enter__(self) -> "Fleet":
        return self

    def __exit__(self, *_: object) -> None:
        for child in self.children:
            child.kill()
        print("\n".join(child.tail() for child in self.children))

    def add(self, role: str, script: Path | None = None, **environment: str) -> Child:
        """Start one more process of a role; `script` stands in for the command line."""
        name = f"{role}-{len(self.children)}"
        child = Child(name, self._command(role, script=script), self._directory / f"{name}.log")
        self.children.append(child)
        child.start(**environment)
        return child

    def run(self, *arguments: str, seconds: float = 120.0) -> subprocess.CompletedProcess[str]:
        """Run a command of streamrec to its end."""
        command = self._command(*arguments)
        return subprocess.run(command, capture_output=True, text=True, timeout=seconds)

    def check(self) -> None:
        """Raise AssertionError if a process has ended by itself."""
        ended = [child.name for child in self.children if not child.running]
        assert not ended, f"ended by themselves: {', '.join(ended)}"

    def wait_until(
        self, happened: Callable[[], bool], seconds: float, what: str | Callable[[], object]
    ) -> None:
        """Wait until `happened()`; no process may end by itself meanwhile."""

        def checked() -> bool:
            self.check()
            return happened()

        wait_until(checked, seconds, what)

    def wait_for_more(self, count: Callable[[], int], seconds: float = 120.0) -> None:
        """Wait until a count has grown."""
        before = count()
        self.wait_until(lambda: count() > before, seconds, f"more than {before}")

    def _command(self, *arguments: str, script: Path | None = None) -> list[str]:
        program = [str(script)] if script else ["-m", "streamrec.cli"]
        return [sys.executable, *program, "--config", str(self._config), *arguments]


def kill_at_random(
    fleet: Fleet,
    victims: Sequence[Child],
    kills: int,
    events: int,
    learnt: Callable[[], int],
    rng: random.Random,
) -> None:
    """Kill -9 one of `victims` and start it anew, `kills` times, spread over `events`.

    Each kill waits for its share of the events to be `learnt`, so that the processes have done
    something since the one before; the pause after that is random, so that kills hit all steps.
    """
    for number in range(kills):
        share = events * (number + 1) // (kills + 1)
        fleet.wait_until(lambda share=share: learnt() >= share, 60, f"{share} events learnt")  # type: ignore[misc]
        time.sleep(rng.uniform(0, 0.4))
        victim = rng.choice(list(victims))
        victim.kill()
        victim.start()
