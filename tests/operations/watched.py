"""`streamrec up --learn 2 --score 2` under load, with a real Prometheus that watches it."""

import json
import random
import threading
import time
from pathlib import Path
from typing import Any

from end_to_end.commands import Command
from kafka import KafkaProducer
from needs import needs_server
from prometheus import Prometheus
from servers import RedisServer

ROOT = Path(__file__).resolve().parents[2]
USERS, ITEMS, A_SECOND = 200, 120, 150
READY_SECONDS = 200.0
FLOOD = ("--set", "events.flood_per_minute=600", "--set", "events.flood_burst=40")


class Watched:
    """An installation with an own Redis, a producer of clicks of all kinds, and Prometheus."""

    def __init__(self, folder: Path, rules: Path | None, *settings: str) -> None:
        self.redis = needs_server(lambda: RedisServer(maxmemory="512mb").start())
        targets = folder / "targets.json"
        self.prometheus = needs_server(lambda: Prometheus(folder, targets, rules))
        many = ("--learn", "2", "--score", "2", "--targets", str(targets))
        self.up = Command(folder, "--redis", self.redis.url, *FLOOD, *settings, "up", *many)
        self.up.wait_for("streamrec is up", READY_SECONDS)
        self.prometheus.start()
        self.broker = self.up.output.read_text().split("Kafka")[1].split()[0]
        self.producer = KafkaProducer(bootstrap_servers=self.broker, acks="all", linger_ms=5)
        self.sent = 0
        self._stop = threading.Event()
        self._load = threading.Thread(target=self._click, daemon=True)
        self._load.start()

    def close(self) -> None:
        self._stop.set()
        self._load.join()
        self.producer.close()
        self.up.process.terminate()
        self.up.process.wait(30)
        self.prometheus.stop()
        self.redis.start()  # where a test has left it dead
        self.redis.stop()

    def send(self, user: str, value: Any, topic: str = "streamrec.events") -> None:
        raw = value if isinstance(value, bytes) else json.dumps(value).encode()
        self.producer.send(topic, raw, key=user.encode())

    def pause(self) -> None:
        """End the load, and wait until all that was sent is learnt and listed."""
        self._stop.set()
        self._load.join()
        self.producer.flush()
        self.wait("sum(streamrec_lag_messages) + max(streamrec_due_users) == 0")

    def wait(self, expression: str, seconds: float = 60.0) -> float:
        """Wait until a query has a result; return how long that took."""
        started = time.monotonic()
        while not self.prometheus.query(expression):
            waited = time.monotonic() - started
            assert waited < seconds, f"not within {seconds} s: {expression}"
            time.sleep(0.2)
        return time.monotonic() - started

    def _click(self) -> None:
        dice, n = random.Random(1), 0
        for item in range(ITEMS):
            title = {"item": f"i{item}", "title": f"Thing {item}", "categories": [f"c{item % 7}"]}
            self.send(f"i{item}", title, "streamrec.items")
        while not self._stop.wait(0.1):
            for _ in range(A_SECOND // 10):
                n += 1
                user = dice.randrange(USERS)
                item = (user % 7 + 7 * int(dice.paretovariate(1.0))) % ITEMS
                kind = dice.choice(("view", "click", "click", "cart", "purchase"))
                event = {"user": f"u{user}", "item": f"i{item}", "type": kind, "id": f"e{n}"}
                self.send(f"u{user}", {**event, "ts": int(time.time() * 1000)})
                self.sent += 1
            self._send_bad(n)

    def _send_bad(self, n: int) -> None:
        """Send what must be refused, dropped or suppressed."""
        now = int(time.time() * 1000)
        bad: list[tuple[str, Any]] = [
            ("x", b"{"),
            ("x", {"user": "x", "item": "i1", "type": "unheard-of", "ts": now}),
            ("u1", {"user": "u1", "item": "i1", "type": "click", "ts": now, "id": "e1"}),
            ("flood", {"user": "flood", "item": "i2", "type": "view", "ts": now, "id": f"f{n}"}),
        ]
        for user, value in bad * 2:
            self.send(user, value)
            self.sent += 1
