"""How the whole is doing, from the roles' metrics: rates, freshness, lag, and live recall."""

import logging
import socket
import threading
import time
from collections import deque
from collections.abc import Sequence
from itertools import chain
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import msgspec

from streamrec.http.console.words import meaning
from streamrec.monitoring.exposure import is_loopback
from streamrec.monitoring.numbers import BLEND, Samples, quantile, recall, scrape, total
from streamrec.settings.ports import ports_of, reachable
from streamrec.settings.sections import Settings

logger = logging.getLogger(__name__)

LOOK_SECONDS = 2.0
WINDOW_SECONDS = 30.0
POINTS = 240
POINT_EVENTS = 50
"""A point of the recall is of at least so many events, and of those of the POINTS_OF before it."""
POINTS_OF = 10
ROLES = ("learn", "score", "train")
EVENTS = "streamrec_prequential_events_total"
LISTED = "streamrec_click_to_list_seconds"
WAITING, STOPPED = "streamrec_due_users", "streamrec_shards_stopped"
NETWORK = "streamrec_network_version"
SAME = (WAITING, STOPPED, NETWORK)
"""What every process that has it says of the whole."""


class Look(NamedTuple):
    """All metrics at one moment."""

    at: float
    samples: Samples


class Line(msgspec.Struct):
    """Live recall@20 of a source: as a whole, and over time, oldest first."""

    source: str
    meaning: str
    recall: float
    points: list[float]


class Status(msgspec.Struct):
    """What the page shows; None: not known."""

    roles: dict[str, bool]  # by role, or by address where the role is not known: does it answer
    events: int | None = None
    events_per_second: float | None = None
    lists_per_second: float | None = None
    p50_ms: float | None = None  # from the event to the list
    p99_ms: float | None = None
    lag: int | None = None  # events that are not learnt yet
    waiting: int | None = None  # users who wait for a list
    stopped: int = 0  # shards that need a person
    network: int = 0  # version of the neural ranker that orders the lists, 0 for none
    recall: list[Line] = []  # of the blend, the best source, and the best popularity


class Watch:
    """Looks at the metrics every other second, from `start` to `close`. Bound: POINTS looks."""

    def __init__(self, settings: Settings) -> None:
        self._addresses = settings.serve.metrics_of or tuple(usual_addresses(settings))
        self._roles: dict[str, str] = {}
        self._answers: dict[str, bool] = {}
        self._looks: deque[Look] = deque(maxlen=round(WINDOW_SECONDS / LOOK_SECONDS) + 1)
        self._points: deque[dict[str, float]] = deque(maxlen=POINTS)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="status", daemon=True)

    def start(self) -> None:
        """Begin to look."""
        self._thread.start()

    def close(self) -> None:
        """Look no more."""
        self._stop.set()

    def look(self, now: float) -> None:
        """Read the metrics of all roles that answer."""
        samples: dict[Any, float] = {}
        for address in self._addresses:
            found = [scrape([host]) for host in each_of(address)]
            self._answers[address] = bool(found) and None not in found
            for name, value in chain.from_iterable(each.items() for each in found if each):
                before = samples.get(name, 0.0)
                samples[name] = max(before, value) if name[0] in SAME else before + value
                if name[0] == "streamrec_build_info":
                    self._roles[address] = dict(name[1])["role"]
        if not all(self._answers[address] for address in self._roles):
            return  # without one that was there before, sums cannot be compared
        if self._looks and total(samples, EVENTS) < total(self._looks[-1].samples, EVENTS):
            self._looks.clear()  # a process has started anew
            self._points.clear()
        if samples:
            self._looks.append(Look(now, samples))
            self._add_point(samples)

    def status(self) -> Status:
        """Return what was seen of late."""
        names = {address: self._roles.get(address, address) for address in self._addresses}
        answers = list(self._answers.items())
        told = Status({names[address]: there for address, there in answers})
        if self._looks:
            looks = list(self._looks)
            _fill(told, looks[0], looks[-1])
            told.recall = lines(looks[-1].samples, list(self._points))
        return told

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                self.look(time.monotonic())
            except Exception as error:  # what another process answers; the next look may be right
                logger.warning("metrics cannot be read", extra={"cause": repr(error)})
            self._stop.wait(LOOK_SECONDS)

    def _add_point(self, samples: Samples) -> None:
        events = total(samples, EVENTS)
        before = self._points[-1]["events"] if self._points else 0.0
        if events - before >= POINT_EVENTS or not self._points:
            hits = {name: share * events for name, share in recall(samples).items()}
            self._points.append({**hits, "events": events})


def usual_addresses(settings: Settings) -> list[str]:
    """Return where the first process of each role on this machine tells its metrics."""
    host = reachable(settings.metrics.host)
    ports = [ports_of(settings.metrics, role) for role in ROLES]
    return [f"http://{host}:{tried[0]}/metrics" for tried in ports if tried]


def each_of(address: str) -> list[str]:
    """Return an address for each host that its name stands for: a service has several processes."""
    place = urlsplit(address)
    name = place.hostname or ""
    if place.scheme != "http" or place.port is None or is_loopback(name):
        return [address]
    try:
        found = socket.getaddrinfo(name, place.port, socket.AF_INET, socket.SOCK_STREAM)
    except OSError:
        return []
    hosts = sorted({str(address[0]) for *_, address in found})
    return [f"http://{host}:{place.port}{place.path}" for host in hosts]


def lines(samples: Samples, points: Sequence[dict[str, float]]) -> list[Line]:
    """Return the recall of the blend, of the source that is best, and of the best popularity."""
    whole = recall(samples)
    if BLEND not in whole:
        return []
    chosen = {BLEND: "the blend, which is served"}
    sources = [name for name in whole if name != BLEND]  # recall() has the best first
    for name in [n for n in sources if not n.startswith("popularity_")][:1]:
        chosen[name] = f"the best source, {meaning(name)}"
    for name in [n for n in sources if n.startswith("popularity_")][:1]:
        chosen[name] = "popularity alone"
    return [Line(n, text, round(whole[n], 4), _over_time(n, points)) for n, text in chosen.items()]


def _over_time(source: str, points: Sequence[dict[str, float]]) -> list[float]:
    """Return the recall within a window that ends at each point."""
    found = []
    for n in range(1, len(points)):
        first, last = points[max(0, n - POINTS_OF)], points[n]
        events = last["events"] - first["events"]
        found.append(round((last.get(source, 0.0) - first.get(source, 0.0)) / events, 4))
    return found


def _fill(told: Status, first: Look, last: Look) -> None:
    now, then = last.samples, first.samples
    seconds = last.at - first.at
    told.events = int(total(now, "streamrec_events_consumed_total"))
    if seconds > 0:
        told.events_per_second = _rate("streamrec_events_consumed_total", first, last)
        told.lists_per_second = _rate("streamrec_lists_published_total", first, last)
    fresh = {name: value - then.get(name, 0.0) for name, value in now.items() if LISTED in name[0]}
    seen = fresh if total(fresh, f"{LISTED}_count") > 0 else now
    if total(seen, f"{LISTED}_count") > 0:
        told.p50_ms = round(1000 * quantile(seen, 0.5, LISTED), 1)
        told.p99_ms = round(1000 * quantile(seen, 0.99, LISTED), 1)
    told.lag = int(total(now, "streamrec_lag_messages", topic="events"))
    told.waiting = int(total(now, WAITING))
    told.stopped = int(total(now, STOPPED))
    told.network = int(total(now, NETWORK))


def _rate(name: str, first: Look, last: Look) -> float:
    grown = total(last.samples, name) - total(first.samples, name)
    return round(grown / (last.at - first.at), 1)
