"""Game day: each cause is provoked, the right alert fires, and no page that should not be there.

Run by make test-long, with the rules' times shortened (game.FASTER); prints the table of
docs/operations.md.
"""

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import NamedTuple

import clicks
import pytest
from game import Site, calm
from screen import red
from test_alerts import ALERTS
from waiting import wait_until

SECONDS = 60.0
STANDS = {"StreamrecLearningStands", "StreamrecListsStand", "StreamrecFreshnessBurn"}
"""What follows where learning or scoring cannot go on."""


class Cause(NamedTuple):
    """What is done to the site; `may`: pages besides the alert that are right."""

    name: str
    does: Callable[[Site], AbstractContextManager[None]]
    alert: str
    may: frozenset[str] = frozenset()
    seconds: float = SECONDS


@contextmanager
def killed(site: Site, *names: str) -> Iterator[None]:
    for name in names:
        site.children[name].kill()
    yield
    for name in names:
        site.children[name].start()


@contextmanager
def no_redis(site: Site) -> Iterator[None]:
    site.redis.kill()
    yield
    site.redis.start()


@contextmanager
def full_redis(site: Site) -> Iterator[None]:
    client = site.redis.client()
    client.config_set("maxmemory", int(client.info("memory")["used_memory"] * 0.9))
    yield
    client.config_set("maxmemory", "256mb")


@contextmanager
def nearly_full_redis(site: Site) -> Iterator[None]:
    client = site.redis.client()
    client.config_set("maxmemory", int(client.info("memory")["used_memory"] * 1.08))
    yield
    client.config_set("maxmemory", "256mb")


def frozen_broker(site: Site) -> AbstractContextManager[None]:
    return site.frozen(site.kafka.pid)


@contextmanager
def slow_scorer(site: Site) -> Iterator[None]:
    """Let the scorer run for half a second of every five: half of the lists come 2 s late."""
    over, child = threading.Event(), site.children["score"]

    def stutter() -> None:
        while not over.is_set():
            child.pause()
            over.wait(4.5)
            child.resume()
            over.wait(0.5)

    thread = threading.Thread(target=stutter, daemon=True)
    thread.start()
    yield
    over.set()
    thread.join()


@contextmanager
def sending(site: Site, extra: clicks.Extra) -> Iterator[None]:
    before, site.clicks.extra = site.clicks.extra, extra
    yield
    site.clicks.extra = before


@contextmanager
def other_catalogue(site: Site) -> Iterator[None]:
    site.clicks.item = site.clicks.of_new_ids  # type: ignore[method-assign]
    yield
    site.clicks.item = site.clicks.of_taste  # type: ignore[method-assign]


@contextmanager
def lost_update(site: Site) -> Iterator[None]:
    site.lose_an_update()
    yield


CAUSES = [
    Cause(
        "all score processes killed",
        lambda site: killed(site, "score"),
        "StreamrecScoreDown",
        frozenset(STANDS),
    ),
    Cause(
        "all learn processes killed",
        lambda site: killed(site, "learn-1", "learn-2"),
        "StreamrecLearnDown",
        frozenset(STANDS | {"StreamrecPartitionsUnowned", "StreamrecNoEvents"}),
    ),
    Cause("all serve processes killed", lambda site: killed(site, "serve"), "StreamrecServeDown"),
    Cause(
        "Redis killed",
        no_redis,
        "StreamrecRedisErrors",
        frozenset(STANDS | {"StreamrecCommitsFail", "StreamrecServeFails"}),
    ),
    Cause(
        "Redis frozen",
        lambda site: site.frozen(site.redis.pid),
        "StreamrecServeFails",
        frozenset(STANDS | {"StreamrecCommitsFail", "StreamrecRedisErrors", "StreamrecLoopStands"}),
    ),
    Cause(
        "Redis full",
        full_redis,
        "StreamrecCommitsFail",
        frozenset(STANDS | {"StreamrecRedisErrors"}),
    ),
    Cause("Redis nearly full", nearly_full_redis, "StreamrecRedisMemory"),
    Cause(
        "broker frozen",
        frozen_broker,
        "StreamrecNoEvents",
        frozenset(
            STANDS
            | {
                "StreamrecKafkaErrors",
                "StreamrecLoopStands",  # inside a call to the broker
                "StreamrecPartitionsUnowned",
                "StreamrecServeFails",
            }
        ),
    ),
    Cause("garbage", lambda site: sending(site, clicks.garbage), "StreamrecRejects"),
    Cause("another schema", lambda site: sending(site, clicks.unknown_type), "StreamrecRejects"),
    Cause("sent twice", lambda site: sending(site, clicks.duplicates), "StreamrecDuplicates"),
    Cause("one user floods", lambda site: sending(site, clicks.flood), "StreamrecFlood"),
    Cause(  # while it is frozen it does not answer Prometheus either
        "score stutters",
        slow_scorer,
        "StreamrecFreshnessBurn",
        frozenset({"StreamrecListsStand", "StreamrecScoreDown"}),
        seconds=120.0,  # the alert waits until a seventh of an hour's lists were late
    ),
    Cause("catalogue under new ids", other_catalogue, "StreamrecRecallFell", seconds=400.0),
]
LAST = Cause(
    "an update is missing",
    lost_update,
    "StreamrecShardsStopped",
    frozenset(STANDS | {"StreamrecLearnDown", "StreamrecPartitionsUnowned"}),
)
BUSY = {"StreamrecFreshnessBurn"}
"""Right at any time: with windows so short, a second of a busy machine burns the budget."""
PAGES = {name for name, rule in ALERTS.items() if rule["labels"]["severity"] == "page"}


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_every_cause_has_its_alert(tmp_path_factory: pytest.TempPathFactory) -> None:
    site = Site(tmp_path_factory.mktemp("game"))
    table: list[str] = []
    screens: list[str] = []
    wrong: list[str] = []
    loads: list[float] = []
    with ExitStack() as stack:
        stack.callback(site.close)
        stack.callback(lambda: print("\n".join((*table, *screens)), f"loads: {loads}", sep="\n"))
        site.start()
        calm(site)
        for cause in (*CAUSES, LAST):
            waited, pages, seen = provoke(site, cause)
            runbook = f"[{cause.alert}](runbooks.md#{cause.alert.lower()})"
            also = ", ".join(sorted(pages - {cause.alert})) or "none"
            table.append(f"| {cause.name} | {runbook} | {waited:.0f} | {also} |")
            screens.append(f"| {cause.name} | {'; '.join(seen)} |")
            print(table[-1], screens[-1], sep="\n", flush=True)
            loads.append(round(os.getloadavg()[0], 1))
            wrong += [f"{cause.name}: {page}" for page in pages - cause.may - BUSY - {cause.alert}]
            if cause is not LAST:
                calm(site, cause.alert)
    assert not wrong


def provoke(site: Site, cause: Cause) -> tuple[float, set[str], list[str]]:
    """Return after how many seconds the alert fired, which pages did until then, what is seen."""
    pages: set[str] = set()

    def fired() -> bool:
        firing = site.prometheus.firing()
        pages.update(firing & PAGES)
        return cause.alert in firing

    with cause.does(site):
        started = time.monotonic()
        wait_until(fired, cause.seconds, lambda: f"{cause.name}: {site.prometheus.firing()}")
        waited = time.monotonic() - started
        shown = f"Alerts: {', '.join(sorted(site.prometheus.firing()))}"
        return waited, pages, [shown, *red(site.prometheus)]
