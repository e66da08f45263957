"""How fast `streamrec evaluate` is: events learnt, looked up and scored, over 5,000 items.

Of a user's clicks on one item only the first is kept: under `catalogue` the others are learnt but
never scored, as in a log of films that people rate once.
"""

import time

import numpy as np

from benchmarks.clicks import Clicks
from benchmarks.figures import Sample
from streamrec.evaluation.evaluate import evaluate
from streamrec.evaluation.plan import Asked, planned
from streamrec.events.event import Item
from streamrec.files.event_table import EventTable
from streamrec.settings.load import load

PROFILE = "catalogue"
WORDS = 300


class Evaluation:
    """The evaluator after a warm-up in which every item was seen; titles let content take part."""

    def __init__(self, clicks: Clicks, items: int, warm: int, events: int, repeats: int) -> None:
        self.repeats = repeats
        names = [f"i{n}" for n in range(items)]
        known = dict(zip(names, range(items), strict=True))
        users = list(dict.fromkeys(clicks.users))
        people = dict(zip(users, range(len(users)), strict=True))
        pairs = zip(clicks.users, clicks.items, strict=True)
        first = {pair: n for n, pair in reversed(list(enumerate(pairs)))}
        chosen = sorted(first.values())[: warm + events]
        count = len(chosen)
        what = np.array([known[clicks.items[n]] for n in chosen], np.int32)
        unseen = np.setdiff1d(np.arange(items), what[:warm])
        what[: len(unseen)] = unseen
        table = EventTable(
            clicks.name,
            np.array([people[clicks.users[n]] for n in chosen], np.int32),
            what,
            np.zeros(count, np.int8),
            np.array([clicks.ts[n] for n in chosen], np.int64),
            users,
            names,
            ["click"],
        )
        words = np.random.default_rng(1).integers(0, WORDS, (items, 4)).tolist()
        titles = {n: Item(n, " ".join(map(str, w)), ()) for n, w in zip(names, words, strict=True)}
        settings = load(None, {}, {"profile": PROFILE})
        asked = Asked(warm_up=warm / (warm + events))
        self._plan = planned(asked, table, titles, lambda _: settings, lambda *_: None)
        self._last: dict[str, object] = {}

    def once(self) -> Sample:
        """Return scored events a second after the warm-up."""
        found = evaluate(self._plan, time.monotonic).figures
        self._last = {name: found[name] for name in ("events", "scored")}
        return {"evaluation_events_per_second": found["events_per_second"]}

    def notes(self) -> dict[str, object]:
        """Return the shape of the work."""
        return {"profile": PROFILE, "items": len(self._plan.items), **self._last}

    def close(self) -> None:
        """Nothing was started."""
