"""`python -m benchmarks.soak`: an hour at a steady rate; what grows, and how fast.

Starts Kafka, Redis, two learn processes and one scorer, sends clicks, and looks every ten seconds
at the resident memory, descriptors and threads of each process and at Redis. A slope is the
least-squares line through the second half: in the first, caches and tables fill.
"""

import argparse
import json
import os
import signal
import threading
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import redis

from benchmarks.servers import start_kafka, start_redis, version_of
from benchmarks.watching import Producer
from streamrec.local.machine import Local
from streamrec.monitoring.numbers import quantile, scrape, total
from streamrec.replay.progress import LearntEvents
from streamrec.settings.sections import Settings

OUT = Path(__file__).resolve().parents[1] / "build" / "soak.json"
LOOK_SECONDS = 10.0
CHUNK_SECONDS = 60
PARTITIONS = 4
DRAIN_SECONDS = 120.0
MEBI = 1 << 20
Series = Mapping[str, Sequence[float]]


def main() -> None:
    """Run it, print the table, and write build/soak.json."""
    options = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    options.add_argument("--seconds", type=int, default=3600)
    options.add_argument("--rate", type=int, default=300, help="events a second")
    asked = options.parse_args()
    with ExitStack() as opened:
        found = soak(asked.seconds, asked.rate, opened)
    OUT.parent.mkdir(exist_ok=True)
    OUT.write_text(json.dumps(found, indent=1))
    for name, value in found["facts"].items():
        print(f"{name:32} {value}")
    print(f"{'':32} {'first':>9} {'half':>9} {'last':>9} {'an hour':>9}")
    for name, (first, half, last, slope) in found["table"].items():
        print(f"{name:32} {first:9.1f} {half:9.1f} {last:9.1f} {slope:+9.2f}")


def soak(seconds: int, rate: int, opened: ExitStack) -> dict[str, dict[str, Any]]:
    """Return what it was measured with, a row of `slopes` for each series, and these by name."""
    kafka, store = start_kafka(), start_redis(appendonly=True)
    opened.callback(kafka.close)
    opened.callback(store.stop)
    local = Local(Settings())
    opened.callback(local.close)
    local.start_servers(kafka.address, store.url, PARTITIONS)
    producer = Producer(kafka.address, local.settings.kafka.events_topic)
    opened.callback(producer.close)
    local.start_roles(learn=2, score=1)
    client, learnt = redis.Redis.from_url(store.url), LearntEvents(local.settings.redis)
    series: defaultdict[str, list[float]] = defaultdict(list)
    begun, sent, at, stop = time.monotonic(), 0, [], threading.Event()
    signal.signal(signal.SIGINT, lambda *_: stop.set())  # what is known by then is told
    for _ in range(0, seconds, CHUNK_SECONDS):
        if stop.is_set():
            break
        producer.prepare(rate * CHUNK_SECONDS)
        producer.send(rate * CHUNK_SECONDS, rate)
        until = time.monotonic() + CHUNK_SECONDS
        while time.monotonic() < until - LOOK_SECONDS / 2:
            time.sleep(min(LOOK_SECONDS, max(0.0, until - time.monotonic())))
            local.check()
            look(local, client, series)
            at.append(time.monotonic() - begun)
        sent += int(producer.wait()["sent"])
    took = time.monotonic() - begun
    deadline = time.monotonic() + DRAIN_SECONDS
    while learnt.count() < sent and time.monotonic() < deadline:
        time.sleep(0.5)
    samples = scrape(local.metrics_addresses()) or {}
    fresh = [1000 * quantile(samples, q, "streamrec_click_to_list_seconds") for q in (0.5, 0.99)]
    facts = {
        "servers": f"{kafka.kind}, {version_of(store)}",
        "seconds": round(took),
        "events sent": sent,
        "events learnt": learnt.count(),
        "lists published": int(total(samples, "streamrec_lists_published_total")),
        "lists failed": int(total(samples, "streamrec_lists_failed_total")),
        "click to list, ms, p50 and p99": " and ".join(f"{ms:.0f}" for ms in fresh),
        "load average at the end": os.getloadavg()[0],
    }
    learnt.close()
    return {"facts": facts, "table": slopes(at, series), "series": {"at": at, **series}}


def look(local: Local, client: "redis.Redis", series: dict[str, list[float]]) -> None:
    """Add one sample of each series."""
    for name, pid in (local.children.pids() if local.children else {}).items():
        status = Path(f"/proc/{pid}/status").read_text()
        series[f"{name}: MiB"].append(int(status.partition("VmRSS:")[2].split()[0]) / 1024)
        series[f"{name}: threads"].append(int(status.partition("Threads:")[2].split()[0]))
        series[f"{name}: descriptors"].append(len(os.listdir(f"/proc/{pid}/fd")))
    memory = client.info("memory")
    series["Redis: MiB"].append(memory["used_memory"] / MEBI)
    series["Redis: keys"].append(client.dbsize())


def slopes(at: Sequence[float], series: Series) -> dict[str, object]:
    """Return of each series its first, middle and last value, and the growth an hour.

    at: seconds of the samples; the growth is that of the second half.
    """
    out: dict[str, object] = {}
    for name, values in series.items():
        times, half = np.array(at[-len(values) :]), len(values) // 2
        line = np.polyfit(times[half:], np.array(values[half:]), 1) if half > 1 else (0.0, 0.0)
        out[name] = values[0], values[half], values[-1], float(line[0]) * 3600
    return out


if __name__ == "__main__":
    main()
