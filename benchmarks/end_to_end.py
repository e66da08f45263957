"""Two learn processes and one scorer on two cores, with a real broker and a real Redis.

A round has three phases: a backlog that never ends (the rate learnt is the sustained one), 5,000
events a second, and 500 events a second. Users are mixed: no sittings, as in live traffic.
"""

import os
import statistics
import time
from contextlib import ExitStack

import msgspec
import redis

from benchmarks.figures import Sample
from benchmarks.servers import start_kafka, start_redis, version_of
from benchmarks.watching import ListWatch, Producer, cpu_seconds
from streamrec.local.machine import Local
from streamrec.monitoring.numbers import Samples, quantile, scrape
from streamrec.replay.progress import LearntEvents
from streamrec.settings.sections import Settings

PARTITIONS = 4
PHASE_SECONDS = 20.0
SETTLE_SECONDS = 4.0
PRIME_EVENTS = 40_000
BACKLOG_EVENTS = 40_000
CHUNK_EVENTS = 20_000
MOST_EVENTS_A_SECOND = 22_000
FAST, SLOW = 5_000, 500
WATCH_EVERY = 7
DRAIN_SECONDS = 120.0
LEARNT, LISTED = "streamrec_click_to_learnt_seconds", "streamrec_click_to_list_seconds"


class EndToEnd:
    """The whole system; `once` is one round on the state that the rounds before left."""

    def __init__(self, client: str, broker: str | None, repeats: int) -> None:
        self.repeats = repeats
        self._open = ExitStack()
        self._cpu: list[dict[str, dict[str, float]]] = []
        try:
            self._start(client, broker)
        except BaseException:
            self.close()
            raise

    def _start(self, client: str, broker: str | None) -> None:
        self._kafka = start_kafka(broker)
        self._open.callback(self._kafka.close)
        self._redis = start_redis(appendonly=True)
        self._open.callback(self._redis.stop)
        settings = Settings()
        kafka = msgspec.structs.replace(settings.kafka, client=client)
        self._local = Local(msgspec.structs.replace(settings, kafka=kafka))
        self._open.callback(self._local.close)
        self._local.start_servers(self._kafka.address, self._redis.url, PARTITIONS)
        settings = self._local.settings
        self._producer = Producer(self._kafka.address, settings.kafka.events_topic)
        self._open.callback(self._producer.close)
        self._local.start_roles(learn=2, score=1)
        self._learnt = LearntEvents(settings.redis)
        self._client = redis.Redis.from_url(self._redis.url)
        self._sent = 0
        self._producer.prepare(PRIME_EVENTS)
        self._send(PRIME_EVENTS)
        self._drain()

    def once(self) -> Sample:
        """Run the three phases."""
        self._cpu.append({})
        return {**self._backlog(), **self._fast(), **self._slow()}

    def _backlog(self) -> Sample:
        """Keep a backlog of 40,000 events and measure the rate learnt over 20 s."""
        most = int(MOST_EVENTS_A_SECOND * (PHASE_SECONDS + SETTLE_SECONDS)) + BACKLOG_EVENTS
        self._prepared(most)
        lowest = 0
        with _Phase(self, "backlog"):
            start, counts = time.monotonic(), [(0.0, self._learnt.count())]
            while counts[-1][0] < PHASE_SECONDS + SETTLE_SECONDS:
                waiting = self._sent - counts[-1][1]
                if waiting < BACKLOG_EVENTS:
                    self._send(CHUNK_EVENTS)
                time.sleep(0.2)
                counts.append((time.monotonic() - start, self._learnt.count()))
                if counts[-1][0] > SETTLE_SECONDS:
                    lowest = min(lowest or waiting, waiting)
            first = next(c for c in counts if c[0] >= SETTLE_SECONDS)
            rate = (counts[-1][1] - first[1]) / (counts[-1][0] - first[0])
        self._drain()
        return {"end_to_end_events_per_second": rate, "lowest_backlog": float(lowest)}

    def _fast(self) -> Sample:
        """Send 5,000 events a second; p99 of click to learnt of the last 20 s of 24."""
        seconds = PHASE_SECONDS + SETTLE_SECONDS
        self._prepared(int(FAST * seconds))
        self._producer.send(int(FAST * seconds), FAST)
        self._sent += int(FAST * seconds)
        time.sleep(SETTLE_SECONDS)
        before, learnt, start = self._scrape(), self._learnt.count(), time.monotonic()
        with _Phase(self, "fast"):
            time.sleep(PHASE_SECONDS - 0.5)
        rate = (self._learnt.count() - learnt) / (time.monotonic() - start)
        span = grown(before, self._scrape())
        self._producer.wait()
        left = self._sent - self._learnt.count()
        self._drain()
        return {
            "learnt_ms_p99": 1000 * quantile(span, 0.99, LEARNT, stage="item"),
            "learnt_ms_p50": 1000 * quantile(span, 0.5, LEARNT, stage="item"),
            "fast_learnt_events_per_second": rate,
            "fast_events_left_at_end": float(left),
            "fast_list_ms_p99": 1000 * quantile(span, 0.99, LISTED),
        }

    def _slow(self) -> Sample:
        """Send 500 events a second; watch the lists of every seventh click appear."""
        seconds = PHASE_SECONDS + SETTLE_SECONDS
        self._prepared(int(SLOW * seconds))
        self._producer.send(int(SLOW * seconds), SLOW, WATCH_EVERY)
        self._sent += int(SLOW * seconds)
        watch = ListWatch(self._client, self._producer.watched)
        watch.watch(time.monotonic() + SETTLE_SECONDS)
        watch.milliseconds.clear()
        before = self._scrape()
        with _Phase(self, "slow"):
            watch.watch(time.monotonic() + PHASE_SECONDS - 0.5)
        # to the end without a break: a click that nobody looks for counts as late
        watch.watch(time.monotonic() + 1.5)
        left = watch.poll()
        span = grown(before, self._scrape())
        self._producer.wait()
        cuts = statistics.quantiles(watch.milliseconds, n=100, method="inclusive")
        self._drain()
        return {
            "list_ms_p50": cuts[49],
            "list_ms_p99": cuts[98],
            "list_metric_ms_p50": 1000 * quantile(span, 0.5, LISTED),
            "list_metric_ms_p99": 1000 * quantile(span, 0.99, LISTED),
            "slow_learnt_ms_p50": 1000 * quantile(span, 0.5, LEARNT, stage="item"),
            "watched_clicks": float(len(watch.milliseconds)),
            "watched_clicks_without_list": float(left),
        }

    def _prepared(self, events: int) -> None:
        self._producer.prepare(events)

    def _send(self, events: int) -> None:
        """Send as fast as it goes."""
        self._producer.send(events)
        self._sent += self._producer.wait()["sent"]

    def _drain(self) -> None:
        """Wait until all that was sent is learnt and no user waits for a list."""
        deadline = time.monotonic() + DRAIN_SECONDS
        due = [f"sr:{{u{n}}}:due" for n in range(PARTITIONS)]
        while self._learnt.count() < self._sent or sum(map(self._client.zcard, due)):
            self._local.check()
            if time.monotonic() > deadline:
                raise TimeoutError(f"{self._sent - self._learnt.count()} events not learnt")
            time.sleep(0.2)

    def _scrape(self) -> Samples:
        found = scrape(self._local.metrics_addresses())
        assert found is not None, "a process does not answer on its metrics port"
        return found

    def cpu(self) -> dict[str, float]:
        """Return the CPU seconds of every process so far."""
        children = self._local.children
        pids: dict[str, int | None] = dict(children.pids()) if children else {}
        servers = {"kafka": self._kafka.pid, "redis": self._redis.pid}
        return cpu_seconds(
            {**pids, **servers, "producer": self._producer.pid, "watcher": os.getpid()}
        )

    def note_cpu(self, phase: str, cores: dict[str, float]) -> None:
        """Keep the cores that each process used in a phase."""
        self._cpu[-1][phase] = cores

    def notes(self) -> dict[str, object]:
        """Return which servers ran and who used the cores."""
        settings = self._local.settings
        return {
            "broker": str(self._kafka.kind),
            "redis": version_of(self._redis),
            "client": settings.kafka.client,
            "producer": self._producer.name,
            "processes": "2 learn, 1 score",
            "partitions": PARTITIONS,
            "phase_seconds": PHASE_SECONDS,
            "list_ms": "from the produce call until the list in Redis has the offset, polled",
            "cores_used": self._cpu,
        }

    def close(self) -> None:
        """End everything that was started."""
        self._open.close()


def grown(before: Samples, after: Samples) -> Samples:
    """Return by how much each counter grew between two scrapes."""
    return {sample: value - before.get(sample, 0.0) for sample, value in after.items()}


class _Phase:
    """Notes which process used how many cores while the block ran."""

    def __init__(self, bench: EndToEnd, name: str) -> None:
        self._bench, self._name = bench, name

    def __enter__(self) -> None:
        self._start, self._before = time.monotonic(), self._bench.cpu()

    def __exit__(self, *_: object) -> None:
        seconds = time.monotonic() - self._start
        used = {
            name: round((after - self._before.get(name, 0.0)) / seconds, 3)
            for name, after in self._bench.cpu().items()
        }
        self._bench.note_cpu(self._name, used)
