"""The play of the demonstration: the replay with its progress line, and the click at its end."""

import math
import time
from collections.abc import Callable
from typing import Any

from rich.console import Console
from rich.markup import escape

from streamrec.demo.network import Network
from streamrec.demo.reaction import CLICK_MS, Reaction, best_reaction, is_popular, read_lists
from streamrec.demo.words import show
from streamrec.files.event_table import EventTable
from streamrec.local.machine import Local
from streamrec.local.shell_lines import how_to, where_to_look
from streamrec.monitoring.numbers import BLEND, Samples, quantile, recall, scrape, total
from streamrec.replay.pace import KeepUpPace
from streamrec.replay.progress import LearntEvents
from streamrec.replay.replay import TARGET_SECONDS, Replay, ReplayThread, outcome
from streamrec.transport.kafka.open_log import open_kafka
from streamrec.transport.redis.store import Store

LEARNT_CLICKS = 2000
"""The click is shown once the blend has learnt from so many: before, its lists are a guess."""
PATIENCE_SECONDS = 120.0
QUIET_SECONDS = 30.0
LOOK_SECONDS = 0.05
SCRAPE_SECONDS = 1.0
PLAIN_SECONDS = 5.0
FIRST_EVENTS = 2000
LISTS = "streamrec_lists_published_total"
CLICKS = "streamrec_blend_samples_total"
LISTED = "streamrec_click_to_list_seconds"


class Play:
    """The replay, what is known of it, and the click at its end; the clock starts with this."""

    def __init__(self, local: Local, table: EventTable, console: Console) -> None:
        self._local, self._table, self._console = local, table, console
        self._store = Store(local.settings.redis)
        self._log = open_kafka(local.settings.kafka)
        self._learnt = LearntEvents(local.settings.redis)
        pace = KeepUpPace(TARGET_SECONDS)
        self._replay = Replay(table, self._log, local.settings.kafka, pace, self._learnt)
        self._thread = ReplayThread(self._replay)
        self._samples: Samples = {}
        self._network = Network()
        self._first_list_seconds: float | None = None
        self._scraped = self._printed = 0.0
        self._started = time.monotonic()
        self._seconds = 0.0

    def replay(self, seconds: float) -> None:
        """Replay for `seconds`, longer if the blend knows too little, or to the file's end."""
        sending = self._thread.is_alive
        self._thread.start()
        self._watch(lambda: sending() and self._now() < seconds)
        if sending() and self._clicks() < LEARNT_CLICKS:
            self._say(
                f"the blend has learnt from {self._clicks():,.0f} clicks: the replay goes on until "
                f"they are {LEARNT_CLICKS:,}, at most {PATIENCE_SECONDS:.0f} s"
            )
            end = self._now() + PATIENCE_SECONDS
            self._watch(lambda: sending() and self._now() < end and self._clicks() < LEARNT_CLICKS)
        self._thread.stop()
        self._thread.check()
        end = self._now() + QUIET_SECONDS
        self._watch(lambda: not self._is_quiet() and self._now() < end)
        self._seconds = self._now()
        self._look()
        self._sum_up()

    def click(self) -> Reaction:
        """Show one user's list before and after a click."""
        settings, sent = self._local.settings, self._replay.sent
        reaction = best_reaction(settings, self._table, sent, self._log, self._store)
        show(self._console, self._table, reaction)
        return reaction

    @property
    def refused(self) -> int:
        """How many rows of the file, and events, were refused."""
        return self._replay.refused

    def figures(self, reaction: Reaction) -> dict[str, Any]:
        """Return what --json writes."""
        return {
            "first_personal_list_seconds": self._first_list_seconds,
            "events": self._replay.learnt,
            "events_per_second": round(self._replay.learnt / self._seconds, 1),
            "freshness_ms": {"p50": self._freshness_ms(0.5), "p99": self._freshness_ms(0.99)},
            "recall@20": {source: round(r, 5) for source, r in recall(self._samples).items()},
            "network": self._network.figures(),
            "reaction": {
                "user": reaction.user,
                "clicked": reaction.clicked,
                "before": [item.item for item in reaction.before.items],
                "after": [item.item for item in reaction.after.items],
                "milliseconds": round(reaction.milliseconds, 1),
            },
        }

    def keep(self, reaction: Reaction) -> None:
        """Print how to produce events and read lists, and stay until Ctrl-C."""
        self._console.print("\n[bold]Everything is still running[/]; Ctrl-C ends it.")
        ts = self._replay.clock + 2 * CLICK_MS
        lines = how_to(self._local.settings, reaction.user, reaction.after.items[0].item, ts)
        if self._local.page is not None:
            lines = where_to_look(self._local.settings, self._local.page) + lines
        self._console.print(lines, soft_wrap=True, markup=False)
        if ts < (time.time() - 86_400) * 1000:
            self._console.print(
                "The events are old, so a new one has a time just after them: to a click of today, "
                "all that was learnt would be long ago and forgotten.",
                style="dim",
            )
        while True:
            self._local.check()
            time.sleep(0.5)

    def close(self) -> None:
        """Stop the replay and close the connections."""
        if self._thread.is_alive():
            self._thread.stop()
        self._log.close()
        self._learnt.close()
        self._store.close()

    def _now(self) -> float:
        return time.monotonic() - self._started

    def _say(self, text: str) -> None:
        self._console.print(f"[dim]{self._now():5.1f} s[/]  {text}", soft_wrap=True)

    def _clicks(self) -> float:
        return total(self._samples, CLICKS)

    def _watch(self, goes_on: Callable[[], bool]) -> None:
        """Show how far things are: in a line that changes, or in plain ones without a terminal."""
        with self._console.status("replaying") as status:
            while goes_on():
                time.sleep(LOOK_SECONDS)
                if self._first_list_seconds is None:
                    self._find_first_list()
                if self._now() - self._scraped >= SCRAPE_SECONDS:
                    self._look()
                    status.update(f"{self._now():3.0f} s  {self._progress()}")
                if not self._console.is_terminal and self._now() - self._printed >= PLAIN_SECONDS:
                    self._printed = self._now()
                    self._say(self._progress())

    def _look(self) -> None:
        """Read the processes' metrics; the old ones stay when one is too busy to answer."""
        self._scraped = self._now()
        self._local.check()
        # apart from the others: it starts later, and may be busy for long
        trained = scrape(self._local.metrics_addresses("train"))
        self._samples = scrape(self._local.metrics_addresses("learn", "score")) or self._samples
        for words in self._network.news(trained, self._samples):
            self._say(words)

    def _is_quiet(self) -> bool:
        """Whether all that was sent is learnt and nobody waits for a list."""
        self._replay.look(time.monotonic())
        return self._replay.taken_in >= self._replay.sent and self._learnt.due_users() == 0

    def _find_first_list(self) -> None:
        codes = dict.fromkeys(self._table.users[: min(self._replay.sent, FIRST_EVENTS)].tolist())
        for published in read_lists(self._store, [self._table.user_names[c] for c in codes]):
            if not all(is_popular(item) for item in published.items):
                self._first_list_seconds = round(self._now(), 2)
                who = f"{self._table.user_word} {escape(published.user)}"
                self._say(f"the first personal list is served, to {who}")
                return

    def _progress(self) -> str:
        """Return how far the replay is, in less than 72 characters."""
        learnt, lists = self._replay.learnt, total(self._samples, LISTS)
        return (
            f"{learnt:,} events, {learnt / self._now():,.0f}/s, {lists:,.0f} lists, "
            f"blend knows {self._clicks():,.0f} clicks"
        )

    def _freshness_ms(self, q: float) -> float | None:
        """Return a quantile of the time from an event to its user's list; None: no list yet."""
        seconds = quantile(self._samples, q, LISTED)
        return None if math.isnan(seconds) else round(1000 * seconds, 1)

    def _sum_up(self) -> None:
        """Print what the replay has shown."""
        self._say(self._progress())
        if self.refused:
            self._console.print(f"{outcome(self._replay).capitalize()}.", soft_wrap=True)
        found, p50, p99 = recall(self._samples), self._freshness_ms(0.5), self._freshness_ms(0.99)
        if not found or p50 is None:
            return
        popular = max(value for name, value in found.items() if name.startswith("popularity_"))
        self._console.print(
            f"\nFrom an event to the new list, under this load: half within [bold]{p50:,.0f} ms[/]"
            f", 99 % within {p99:,.0f} ms.\nLive recall@20: [bold]{100 * found[BLEND]:.1f} %[/] of "
            "the events took an item of the list being served just before; "
            f"{100 * popular:.1f} % one of the most popular items."
        )
        if (words := self._network.summary()) is not None:
            self._console.print(words)
