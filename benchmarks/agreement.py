"""Live against offline: one stream through real Kafka and Redis, and through `evaluate`.

In ml-1m one person rates fifty films in a minute, and a replay is much faster than life: lists
would be looked up before they could be made. So the events of each user are spread evenly over the
stream; the next one comes after the list that the last one made, as it does where people take
seconds to choose. Both sides get the same stream; where torch is, both have the network, without
texts, live trained by a process of its own.
"""

import argparse
import json
import threading
import time
from contextlib import closing
from dataclasses import replace

import numpy as np
from rich.console import Console

from benchmarks.quality import ROOT
from benchmarks.streams import DATA
from streamrec.demo.demo import with_fast_client
from streamrec.evaluation.evaluate import evaluate
from streamrec.evaluation.plan import Asked, planned
from streamrec.files.event_table import EventTable
from streamrec.files.events import read_events
from streamrec.local.machine import Local
from streamrec.monitoring.numbers import quantile, recall, scrape
from streamrec.replay.pace import SteadyPace
from streamrec.replay.progress import LearntEvents
from streamrec.replay.replay import Replay
from streamrec.settings.load import load
from streamrec.transport.kafka.open_log import open_kafka

OUT = ROOT / "build" / "agreement.json"
STEP_MS = 1000
SETTLE_SECONDS = 120.0


def main() -> int:
    """Print recall@20 of both sides and their ratio; 1 when the blend's differ by over 3 %."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.agreement", description=__doc__)
    parser.add_argument("--events", type=int, default=100_000)
    parser.add_argument("--speed", type=float, default=300.0, help="events a second")
    asked = parser.parse_args()
    console = Console()
    table = interleaved(read_events(DATA / "ml-1m" / "events.parquet"), asked.events)
    flags = {
        "profile": "catalogue", "blend.sample": "1", "events.weights.rating": "1",
        "neural.sample_bytes_per_second": "5e6",  # every click is a sample, as offline
    }  # fmt: skip
    settings = with_fast_client(load(None, {}, flags))
    plan = planned(Asked(warm_up=0.0, neural=None), table, {}, lambda _: settings)
    offline = evaluate(plan, time.monotonic).figures
    live, ages = run_live(settings, table, asked.speed)
    rows = {
        name: (live[name], figures["recall@20"])
        for name, figures in offline["sources"].items()
        if name in live  # not the blend without the network: live, that is no list
    }
    for name, (real, simulated) in rows.items():
        ratio = real / simulated if simulated else float("nan")
        console.print(f"{name:20} live {real:.4f}  offline {simulated:.4f}  ratio {ratio:.3f}")
    console.print(f"click to list: p50 {ages[0]:.0f} ms, p99 {ages[1]:.0f} ms")
    OUT.parent.mkdir(exist_ok=True)
    OUT.write_text(json.dumps({"recall@20": rows, "click_to_list_ms": ages}, indent=1) + "\n")
    real, simulated = rows["blend"]
    return int(abs(real / simulated - 1.0) > 0.03)


def interleaved(table: EventTable, count: int) -> EventTable:
    """Return the first `count` events, those of each user spread evenly over the whole stream."""
    users = table.users[:count]
    events = np.bincount(users)
    place, seen = np.zeros(len(users)), np.zeros(len(events), np.int64)
    for n, user in enumerate(users.tolist()):
        place[n] = (seen[user] + (user * 0.618034) % 1.0) / events[user]
        seen[user] += 1
    order = np.argsort(place, kind="stable")
    ts = table.ts[0] + STEP_MS * np.arange(len(order), dtype=np.int64)
    return replace(
        table, users=users[order], items=table.items[:count][order],
        types=table.types[:count][order], ts=ts, values=None,
    )  # fmt: skip


def run_live(settings, table: EventTable, speed: float):  # type: ignore[no-untyped-def]
    """Return live recall@20 by source, and p50 and p99 of click to list in ms."""
    local = Local(settings)
    with closing(local):
        local.start_servers(None, None, 4)
        local.start_roles(1, 1, train=True)
        learnt = LearntEvents(local.settings.redis)
        log = open_kafka(local.settings.kafka)
        replay = Replay(table, log, local.settings.kafka, SteadyPace(speed), learnt)
        replay.run(threading.Event())
        end = time.monotonic() + SETTLE_SECONDS
        while learnt.count() < len(table) and time.monotonic() < end:
            time.sleep(0.2)
        samples = scrape(local.metrics_addresses())
        log.close()
        learnt.close()
        assert samples is not None, "a process does not answer on its metrics port"
        histogram = "streamrec_click_to_list_seconds"
        return recall(samples), [1000.0 * quantile(samples, q, histogram) for q in (0.5, 0.99)]


if __name__ == "__main__":
    raise SystemExit(main())
