"""The role `score`: takes due users, makes their lists, publishes them. Any number may run."""

import logging
import random
import secrets
import threading
import time
from collections.abc import Mapping, Sequence

import msgspec

from streamrec.errors import StoreError
from streamrec.flow import times_shown_now
from streamrec.monitoring.health import serve_health
from streamrec.monitoring.metrics import Metrics
from streamrec.monitoring.starting import starting
from streamrec.ranking.lists import ListMaker, UserList
from streamrec.ranking.published import PublishedList
from streamrec.roles.leave import stop_on_signals
from streamrec.roles.reports.list_metrics import ListMetrics
from streamrec.roles.reports.state_report import StateReport
from streamrec.roles.scoring.batch import BatchLists, Due, DueUser, read_due
from streamrec.roles.scoring.hidden_items import HiddenItems
from streamrec.roles.scoring.item_lists import ItemLists
from streamrec.roles.scoring.kept_readings import KeptReadings
from streamrec.roles.scoring.place_lists import PlaceLists
from streamrec.roles.scoring.short_lists import ShortLists
from streamrec.roles.scoring.swap import Swap
from streamrec.roles.trace import Trace
from streamrec.roles.warm import warm_up
from streamrec.settings.sections import Settings
from streamrec.state.item_table import ItemTable
from streamrec.state.served import encode_shown
from streamrec.state.user_rows import no_user
from streamrec.transport.redis.declared import Unchanged, wait_for_shards
from streamrec.transport.redis.forgetting import delete_lists
from streamrec.transport.redis.item_feed import ItemFeed
from streamrec.transport.redis.keys import POPULAR, Shards, item_shards, user_shards
from streamrec.transport.redis.publishing import Encoded, publish
from streamrec.transport.redis.store import Store
from streamrec.transport.redis.versions import Versions

logger = logging.getLogger(__name__)
IDLE_SECONDS = 0.01
POPULAR_SECONDS = 1.0
REPORT_SECONDS = 1.0


class Scorer:
    """One loop: refresh, take due, read, rank, encode, publish, done."""

    def __init__(self, settings: Settings, store: Store, shards: Shards, metrics: Metrics) -> None:
        self._settings = settings
        self._store = store
        self._users = user_shards(shards)
        self._metrics = metrics
        self._lists = ListMaker(settings)
        self._made_of = ListMetrics(self._lists, metrics)
        self._state = StateReport(store, shards, metrics)
        self._feed = ItemFeed(
            store,
            item_shards(shards),
            lambda: ItemTable(settings, with_lists=True),
            settings.items.refresh_seconds,
        )
        self._swap = Swap(settings, shards.state, Versions(store), self._lists, metrics)
        self._kept = KeptReadings(settings, store, self._lists, metrics)
        self._hidden = HiddenItems(store, metrics)
        self._item_lists = ItemLists(settings, store, metrics, self._lists)
        self._places = PlaceLists(settings, store, self._lists, metrics)
        self._short = ShortLists()
        self._trace = Trace(settings.logging)
        self._unchanged = Unchanged(store.shards, shards)
        self._popular_at = self._reported = 0.0
        self.ready = False
        self._turned = time.monotonic()
        metrics.begin(settings, self._lists.names)
        turns = metrics.turn_age_seconds.labels("score")
        turns.set_function(lambda: time.monotonic() - self._turned)

    def run(self, stop: threading.Event) -> None:
        """Score until `stop`; a Redis that does not answer makes lists older, never wrong."""
        failures = 0
        while not stop.is_set():
            try:
                busy = self.step(time.monotonic())
                self._turned = time.monotonic()
                failures = 0
            except StoreError as error:
                failures += 1
                self._turned = time.monotonic()
                self._metrics.redis_errors.labels("score").inc()
                logger.warning("waiting for Redis", extra={"cause": str(error)})
                stop.wait(min(2.0, 0.05 * 2**failures))
                continue
            if not busy:
                stop.wait(IDLE_SECONDS)

    def step(self, now: float) -> bool:
        """Do one turn; say whether there may be more due users."""
        self._unchanged.look(now)
        self._refresh(now)
        self._swap.look(now)
        if now - self._reported >= REPORT_SECONDS:
            self._reported = now
            self._report(now)
        self._hidden.look(self._feed.table, now)
        self._kept.look(now)
        if not self._lists.ready:  # no item is known yet: they stay due
            return False
        lease = self._new_lease()
        due = self._take_due(lease)
        if due:
            self._serve(due, lease)
        if now - self._popular_at >= POPULAR_SECONDS:
            self._popular_at = now
            self._serve_popular()
        self._item_lists.look(self._feed.table, self._swap.model, now)
        return any(len(users) >= self._settings.lists.due_batch for users in due.values())

    def _serve(self, due: Due, lease: float) -> None:
        """Make the lists of the taken users: read, rank, encode, publish, done."""
        try:
            with self._metrics.score_seconds.time():
                waiting, failed = self._read(due)
                made = self._rank(waiting)
                lists = self._encode(waiting, made.home)
                failed |= self._publish(waiting, lists, made)
                self._made_of.count(made.home)
        except StoreError:  # their lease ends, and they are due again
            self._metrics.lists_failed.inc(sum(map(len, due.values())))
            raise
        self._metrics.lists_failed.inc(len(failed))
        done = {s: [u for u, _ in users if u not in failed] for s, users in due.items()}
        gone = self._store.done({s: users for s, users in done.items() if users}, lease)
        self._take_back([one for one in lists if one.user in gone])
        self._note_short(done, gone, dict(zip((w.name for w in waiting), made.home, strict=True)))

    def _refresh(self, now: float) -> None:
        """Bring the item table up to date, if it is time."""
        if self._feed.refresh(now, self._metrics):
            self._lists.prepare(self._feed.table)
            self.ready = True
            self._store.make_due(self._short.take(self._lists.servable), time.time() * 1000.0)

    def _note_short(
        self, done: Mapping[str, Sequence[str]], gone: set[str], made: Mapping[str, UserList]
    ) -> None:
        """Note whose list is shorter than lists may be; `gone`: who has no row any more."""
        for shard, users in done.items():
            for user in users:
                if user in made:
                    full = user in gone or len(made[user].items) >= self._lists.rules.place.length
                    self._short.note(user, shard, self._lists.servable, full)

    def _new_lease(self) -> float:
        """Return until when users are taken, epoch ms; the fraction makes two scorers' differ."""
        end = int(time.time() * 1000.0 + self._settings.lists.lease_seconds * 1000)
        return float(end) + secrets.randbelow(1024) / 1024

    def _take_due(self, lease: float) -> Due:
        now, most = time.time() * 1000.0, self._settings.lists.due_batch
        return self._store.take_due(self._users, now, lease, most)

    def _read(self, due: Due) -> tuple[list[DueUser], set[str]]:
        """Read the taken users; also return whose row cannot be had: they stay due."""
        rotates = self._settings.lists.rotation > 0.0
        waiting, failed = read_due(self._store, due, rotates, self._places.types_of)
        for one in waiting:
            self._trace.due(one.name, one.row.offset, one.since)
        return waiting, failed

    def _rank(self, waiting: Sequence[DueUser]) -> BatchLists:
        table, shopper = self._feed.table, self._lists.shopper
        people = [shopper(w.row, table, w.name, w.before, w.types) for w in waiting]
        home = self._lists.make(people, table)
        return BatchLists(home, self._places.make(people, table, home))

    def _encode(self, waiting: Sequence[DueUser], made: Sequence[UserList]) -> list[Encoded]:
        at = int(time.time() * 1000)
        each = zip(waiting, made, strict=True)
        return [self._encoded(w.name, w.row.offset, at, one, w.before) for w, one in each]

    def _publish(
        self, waiting: Sequence[DueUser], lists: Sequence[Encoded], made: BatchLists
    ) -> set[str]:
        """Publish each user's lists; return the users whose list Redis refused."""
        ttl = self._settings.lists.ttl_seconds
        read_ttl = self._kept.ttl_seconds
        users, at = [(one.user, one.offset) for one in lists], int(time.time() * 1000)
        others = self._places.encoded(users, at, self._swap.model, made.others, self._feed.table)
        published = publish(self._store, lists, self._swap.state, ttl, read_ttl, others)
        self._places.count(sum(ok is True for ok in published))
        done = time.time() * 1000.0
        failed = _refused([user.name for user in waiting], published)
        for user, one, ok in zip(waiting, lists, published, strict=True):
            self._trace.published(user.name, user.row.offset, one.json, ok)
            if user.name in failed:
                continue
            if ok:
                self._metrics.lists_published.inc()
                if user.since >= 0.0:
                    fresh = max(0.0, done - user.since) / 1000.0
                    self._metrics.click_to_list_seconds.observe(fresh)
            else:
                self._metrics.lists_stale_refused.inc()
        return failed

    def _take_back(self, lists: Sequence[Encoded]) -> None:
        """Delete lists of users whose row is gone since it was read: they may be forgotten."""
        delete_lists(self._store, [(one.user, one.offset) for one in lists], self._swap.state)

    def _serve_popular(self) -> None:
        """Publish the list for strangers; the newest wins, so its time stands for an offset."""
        table, at = self._feed.table, int(time.time() * 1000)
        stranger = [self._lists.shopper(no_user(), table)]
        [made] = self._lists.make(stranger, table)
        others = self._places.make(stranger, table, [made])
        popular = self._encoded(POPULAR, at, at, made, {})
        at_places = self._places.encoded([(POPULAR, at)], at, self._swap.model, others, table)
        ttl, state = self._settings.lists.ttl_seconds, self._swap.state
        _refused([POPULAR], publish(self._store, [popular], state, ttl, others=at_places))

    def _encoded(
        self, user: str, offset: int, at: int, made: UserList, before: Mapping[int, int]
    ) -> Encoded:
        """Return a list's JSON, and its row for the learners: a share can teach the blend."""
        blend = self._settings.blend
        chosen = blend.kind == "learned" and random.random() < blend.sample
        sample = made.ranked.features.sample() if chosen and made.ranked else b""
        times = times_shown_now(made, before) if self._settings.lists.rotation else {}
        shown = encode_shown(at, made.shown, times, made.candidates, sample)
        public = PublishedList(user, at, self._swap.model, offset, made.items)
        reading = b"" if user == POPULAR else self._kept.of(made, self._feed.table, at)
        return Encoded(user, offset, msgspec.json.encode(public), shown, reading)

    def _report(self, now: float) -> None:
        self._state.report(now)
        self._made_of.report(self._feed.table.blend, self._lists.servable)
        self._metrics.item_table_age_seconds.set(time.monotonic() - self._feed.refreshed)
        self._metrics.item_table_rows.set(len(self._feed.table))


def _refused(users: Sequence[str], published: Sequence[bool | StoreError]) -> set[str]:
    """Return whose list Redis refused, and say of the first of them why."""
    errors = {u: ok for u, ok in zip(users, published, strict=True) if isinstance(ok, StoreError)}
    for user, error in list(errors.items())[:1]:
        cause = {"key": f"rec:{user}", "lists": len(errors), "cause": str(error)}
        logger.warning("lists cannot be stored; their users stay due", extra=cause)
    return set(errors)


def run(settings: Settings, stop: threading.Event | None = None) -> int:
    """Score until SIGTERM or `stop`; return the exit code."""
    starting(settings, "score")
    stop = stop or stop_on_signals()
    metrics = Metrics(role="score")
    warm_up(settings)
    store = Store(settings.redis)
    shards = wait_for_shards(store.shards, stop)
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
