"""`streamrec up --learn 2 --score 2` under load, with a real Prometheus that watches it."""

import re
from pathlib import Path

from asks import Asks
from clicks import Clicks, of_every_kind
from end_to_end.commands import Command
from needs import needs_server
from prometheus import Prometheus
from servers import RedisServer
from waiting import wait_until

ROOT = Path(__file__).resolve().parents[2]
READY_SECONDS = 400.0
SAMPLES = ("--set", "neural.sample_bytes_per_second=1000000", "--set", "neural.refresh_samples=500")
"""So many that `train`, where torch is, has refreshed several times within the load."""
PLACE = ("--set", "places.deals={length = 10}")
FLOOD = ("--set", "events.flood_per_minute=600", "--set", "events.flood_burst=40")


class Watched:
    """An installation with a Redis of its own, traffic of all kinds, and Prometheus."""

    def __init__(self, folder: Path, rules: Path) -> None:
        targets = folder / "targets.json"
        self.prometheus = needs_server(lambda: Prometheus(folder, targets, rules))
        self.redis = needs_server(lambda: RedisServer(maxmemory="512mb").start())
        many = ("--learn", "2", "--score", "2", "--targets", str(targets))
        self.up = Command(folder, "--redis", self.redis.url, *FLOOD, *SAMPLES, *PLACE, "up", *many)
        try:
            self.up.wait_for("streamrec is up", READY_SECONDS)
        except AssertionError:
            self.up.kill()
            raise
        self.prometheus.start()
        told = self.up.output.read_text()
        self.brokers = told.split("Kafka")[1].split()[0]
        self.clicks = Clicks(self.brokers)
        self.clicks.extra = of_every_kind
        page = re.search(r"(http://[\d.]+:\d+)/console", told)
        self.asks = Asks(page[1]) if page else None  # without starlette there is no serve

    def sent(self) -> int:
        """Return how many events were sent, over Kafka and over HTTP."""
        return self.clicks.sent + (self.asks.accepted if self.asks else 0)

    def close(self) -> None:
        self._stop()
        self.clicks.close()
        self.up.process.terminate()
        self.up.process.wait(30)
        self.prometheus.stop()
        self.redis.stop()

    def rest(self) -> None:
        """End the traffic, and wait until all that was sent is learnt and listed."""
        self._stop()
        self.wait("sum(streamrec_lag_messages) + max(streamrec_due_users) == 0")
        # gauges are set once a second, and each process is asked once a second: twice, to be sure
        asked = self.prometheus.number("min(timestamp(streamrec_build_info))")
        self.wait(f"min(timestamp(streamrec_build_info)) > {asked} + 4")

    def wait(self, expression: str, seconds: float = 60.0) -> None:
        """Wait until a query has a result."""
        wait_until(lambda: bool(self.prometheus.query(expression)), seconds, expression)

    def _stop(self) -> None:
        if self.asks:
            self.asks.stop()
        self.clicks.stop()
