"""The role `score`: takes due users, makes their lists, publishes them. Any number may run."""

import logging
import random
import secrets
import threading
import time
from collections.abc import Mapping, Sequence

import msgspec

from streamrec.errors import StoreError
from streamrec.monitoring.health import serve_health
from streamrec.monitoring.metrics import Metrics
from streamrec.ranking.lists import NOBODY, ListMaker, Made, PublishedList
from streamrec.roles.learn import stop_on_signals
from streamrec.roles.warm import warm_up
from streamrec.settings.sections import Settings
from streamrec.state.item_table import ItemTable
from streamrec.state.rows import decode_user
from streamrec.state.served import encode_shown, times_shown
from streamrec.transport.item_feed import ItemFeed
from streamrec.transport.redis_keys import POPULAR, Shards, item_shards, user_shards
from streamrec.transport.redis_store import Store

logger = logging.getLogger(__name__)
IDLE_SECONDS = 0.01
POPULAR_SECONDS = 1.0
Taken = Mapping[str, Sequence[tuple[str, float]]]


class Scorer:
    """One loop: refresh the item table, take due users, score, publish, take them off."""

    def __init__(self, settings: Settings, store: Store, shards: Shards, metrics: Metrics) -> None:
        self._settings = settings
        self._store = store
        self._model = f"online-{shards.epoch}"
        self._users = user_shards(shards)
        self._metrics = metrics
        self._lists = ListMaker(settings)
        self._feed = ItemFeed(
            store,
            item_shards(shards),
            lambda: ItemTable(settings, with_lists=True),
            settings.items.refresh_seconds,
        )
        self._popular_at = 0.0
        self.ready = False

    def run(self, stop: threading.Event) -> None:
        """Score until `stop`; a Redis that does not answer makes lists older, never wrong."""
        failures = 0
        while not stop.is_set():
            try:
                busy = self.step(time.monotonic())
                failures = 0
            except StoreError as error:
                failures += 1
                self._metrics.redis_errors.labels("score").inc()
                logger.warning("waiting for Redis", extra={"cause": str(error)})
                stop.wait(min(2.0, 0.05 * 2**failures))
                continue
            if not busy:
                stop.wait(IDLE_SECONDS)

    def step(self, now: float) -> bool:
        """Do one turn; say whether there may be more due users."""
        if self._feed.refresh(now, self._metrics):
            self._lists.prepare(self._feed.table)
            self.ready = True
        lists = self._settings.lists
        clock = time.time() * 1000.0
        # the fraction makes the leases of two scorers differ
        lease = float(int(clock + lists.lease_seconds * 1000)) + secrets.randbelow(1024) / 1024
        if not self._lists.ready:  # no item is known yet: they stay due
            return False
        taken = self._store.take_due(self._users, clock, lease, lists.due_batch)
        if taken:
            try:
                with self._metrics.score_seconds.time():
                    self._serve(taken)
            except StoreError:  # their lease ends, and they are due again
                self._metrics.lists_failed.inc(sum(map(len, taken.values())))
                raise
            self._store.done({s: [u for u, _ in users] for s, users in taken.items()}, lease)
        if now - self._popular_at >= POPULAR_SECONDS:
            self._popular_at = now
            self._serve_popular()
            self._report()
        return any(len(users) >= lists.due_batch for users in taken.values())

    def _serve(self, taken: Taken) -> None:
        """Make and publish the lists of the taken users."""
        names: list[str] = []
        since: list[float] = []
        for users in taken.values():
            names += [user for user, _ in users]
            since += [at for _, at in users]
        found = self._store.many_rows(
            [(shard, "users", [user for user, _ in users]) for shard, users in taken.items()]
        )
        blobs = [blob for rows in found for blob in rows]
        there = [n for n, blob in enumerate(blobs) if blob is not None]
        rows = [decode_user(blob) for blob in blobs if blob is not None]
        people = [names[n] for n in there]
        before = self._shown_before(people)
        made = self._lists.make(rows, self._feed.table, people, before)
        at = int(time.time() * 1000)
        out = []
        for k, (n, row, one) in enumerate(zip(there, rows, made, strict=True)):
            blob = PublishedList(names[n], at, self._model, row.offset, one.items)
            out.append(
                (
                    names[n],
                    row.offset,
                    msgspec.json.encode(blob),
                    self._shown(at, one, before[k : k + 1]),
                )
            )
        published = self._store.publish(out, self._model, self._settings.lists.ttl_seconds)
        done = time.time() * 1000.0
        for n, ok in zip(there, published, strict=True):
            if ok:
                self._metrics.lists_published.inc()
                fresh = max(0.0, done - since[n]) / 1000.0
                self._metrics.click_to_list_seconds.observe(fresh)
            else:
                self._metrics.lists_stale_refused.inc()

    def _serve_popular(self) -> None:
        """Publish the list for strangers."""
        made = self._lists.make([NOBODY], self._feed.table)[0]
        at = int(time.time() * 1000)
        blob = msgspec.json.encode(PublishedList(POPULAR, at, self._model, at, made.items))
        shown = self._shown(at, made)
        ttl = self._settings.lists.ttl_seconds
        self._store.publish([(POPULAR, at, blob, shown)], self._model, ttl)

    def _shown_before(self, users: Sequence[str]) -> list[dict[int, int]]:
        """Return what each user was shown last, and how often in a row; [] unless it is needed."""
        if not self._settings.lists.rotation:
            return []
        return [times_shown(blob) for blob in self._store.shown(users)]

    def _shown(self, at: int, made: Made, before: Sequence[Mapping[int, int]] = ()) -> bytes:
        """Return the row for the learners; a share of them says what the blend can learn from."""
        blend = self._settings.blend
        chosen = blend.kind == "learned" and random.random() < blend.sample
        sample = made.ranked.features.sample() if chosen and made.ranked else b""
        times = {}
        if self._settings.lists.rotation:
            last = before[0] if before else {}
            times = {key: 1 + last.get(key, 0) for key in made.shown[0].tolist() if key}
        return encode_shown(at, made.shown, times, made.candidates, sample)

    def _report(self) -> None:
        self._metrics.due_users.set(self._store.due_count(self._users))
        self._metrics.item_table_age_seconds.set(time.monotonic() - self._feed.refreshed)
        self._metrics.item_table_rows.set(len(self._feed.table))


def run(settings: Settings, stop: threading.Event | None = None) -> int:
    """Score until SIGTERM or `stop`; return the exit code."""
    stop = stop or stop_on_signals()
    metrics = Metrics()
    warm_up(settings)
    store = Store(settings.redis)
    shards = _wait_for_shards(store, stop)
    if shards is not None:
        scorer = Scorer(settings, store, shards, metrics)
        health = serve_health(
            settings.metrics,
            metrics,
            live=lambda: [],
            ready=lambda: [] if scorer.ready else ["the item table is not loaded yet"],
        )
        scorer.run(stop)
        health.close()
    store.close()
    return 0


def _wait_for_shards(store: Store, stop: threading.Event) -> Shards | None:
    """Return how the state is partitioned, once a learn process has said so."""
    waited = 0
    while not stop.is_set():
        shards = store.shards()
        if shards is not None:
            return shards
        if waited % 50 == 0:
            logger.info("waiting for a learn process to declare the shards in Redis")
        waited += 1
        stop.wait(0.1)
    return None
