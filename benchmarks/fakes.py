"""`python -m benchmarks.fakes`: how many lists fresh fake users reach.

A site of 400 honest users, each with tastes; then 1,000 fakes with two clicks each push one item,
or five: new ones, ones that hardly anybody takes, or from a place of popularity on. Counted are the
honest users who have one of them among their first 10, and whether strangers have one among their
20. The flow is the live one: lists are made from the state, and a quarter of them teaches the
blend. Nothing is random but by the seed.
"""

import argparse
import json
import os
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from streamrec.blend.learned import with_click
from streamrec.events.event import Event
from streamrec.flow import Flow, deliver, load, teach
from streamrec.settings.load import load as load_settings
from streamrec.settings.sections import Settings
from streamrec.state.user_rows import no_user
from streamrec.state.user_shard import UserShard

USERS, ITEMS, TASTES, FAKES = 400, 300, 12, 1000
START, EVERY_MS = 1_700_000_000_000, 20_000
BATCH, SAMPLED = 50, 0.25
LISTED, STRANGERS = 10, 20

Click = tuple[str, str]


class Attack(NamedTuple):
    """What each fake clicks, given one of the hits and one of the targets."""

    clicks: Callable[[int, str, str], list[str]]
    spread: bool = False  # over the honest users' second half, instead of at once after them
    hits: int = 1


ATTACKS = {
    "hit, target": Attack(lambda n, hit, target: [hit, target]),
    "target, hit": Attack(lambda n, hit, target: [target, hit]),
    "both orders": Attack(lambda n, hit, target: [hit, target][:: 1 if n % 2 else -1]),
    "target twice": Attack(lambda n, hit, target: [target, target]),
    "many hits": Attack(lambda n, hit, target: [hit, target], hits=20),
    "spread": Attack(lambda n, hit, target: [hit, target], spread=True),
    "spread, target, hit": Attack(lambda n, hit, target: [target, hit], spread=True),
}


class Outcome(NamedTuple):
    """What an attack reached."""

    lists: int  # of honest users, with a target among the first LISTED
    of: int
    strangers: bool  # a target among the first STRANGERS of who has no history


class Site:
    """The flow, learning clicks in batches; lists of a share of the clicks teach the blend."""

    def __init__(self, settings: Settings, seed: int, parts: int = 1) -> None:
        self.flow = Flow(settings, parts, parts)
        self._rng = np.random.default_rng(seed)
        self._now = START

    def learn(self, clicks: Sequence[Click]) -> None:
        """Learn clicks in their order."""
        for n in range(0, len(clicks), BATCH):
            self._learn(clicks[n : n + BATCH])

    def _learn(self, clicks: Sequence[Click]) -> None:
        flow = self.flow
        for number, shard in enumerate(flow.users):
            mine = [c for c in clicks if hash_of(c[0]) % len(flow.users) == number]
            decoded: list[Any] = []
            for user, item in mine:
                self._now += EVERY_MS
                event = Event(user, item, "click", self._now)
                decoded.append((shard.offset + len(decoded), self._now, event))
            load(shard, decoded, lambda users: [None] * len(users))
            taught = [self._sample(shard, event) for _, _, event in decoded]
            fold = shard.fold(decoded, shard.offset + len(decoded), flow.table)
            shard.users.committed()
            kept = [s for s, held in zip(taught, fold.held, strict=True) if s and not held]
            teach(fold.records, kept[:20])
            deliver(flow.items, fold.records)
        flow.follow()

    def _sample(self, shard: UserShard, event: Event) -> bytes:
        """Return what a click on the user's list teaches, or nothing."""
        lists = self.flow.prepared()
        if self._rng.random() >= SAMPLED or not lists.ready:
            return b""
        shopper = lists.shopper(shard.users.row(event.user), self.flow.table, event.user)
        [ranked] = lists.rank([shopper], self.flow.table)
        target = self.flow.table.row_of.get(event.item, -1)
        [at] = np.nonzero(ranked.candidates == target)
        return with_click(ranked.features.sample(), int(at[0]), 1.0) if len(at) else b""

    def lists(self, users: Sequence[str], length: int) -> list[list[str]]:
        """Return the first items of users' lists; "": a stranger's."""
        lists, table = self.flow.prepared(), self.flow.table
        people = []
        for user in users:
            shard = self.flow.users[hash_of(user) % len(self.flow.users)]
            row = shard.users.row(user) if user else no_user()
            people.append(lists.shopper(row, table, user))
        return [[i.item for i in made.items[:length]] for made in lists.make(people, table)]


def hash_of(user: str) -> int:
    """Return a number that names the user's shard."""
    return sum(user.encode())


def honest(seed: int, users: int = USERS) -> list[Click]:
    """Return the clicks of honest users: 10 to 40 each, by two tastes and popularity."""
    rng = np.random.default_rng(seed)
    taste_of = rng.integers(0, TASTES, ITEMS)
    popularity = 1.0 / (1.0 + rng.permutation(ITEMS)) ** 0.9
    clicks: list[tuple[float, Click]] = []
    for user in range(users):
        mine = rng.choice(TASTES, 2, replace=False)
        weight = popularity * np.where(np.isin(taste_of, mine), 8.0, 1.0)
        count = int(rng.integers(10, 41))
        begins = rng.random() * 0.9  # users come all the time
        taken = rng.choice(ITEMS, count, replace=False, p=weight / weight.sum())
        at = np.sort(begins + rng.random(count) * (1.0 - begins))
        clicks += [(t, (f"u{user}", f"i{i}")) for t, i in zip(at, taken, strict=True)]
    return [click for _, click in sorted(clicks)]


def attacked(
    settings: Settings, seed: int, attacks: dict[str, Attack], targets: int, place: int = 0,
    parts: int = 1,
) -> dict[str, Outcome]:  # fmt: skip
    """Return what each attack reaches on the same site; place: as in `pushed`."""
    clicks = honest(seed)
    half = len(clicks) // 2
    begun = Site(settings, seed, parts)
    begun.learn(clicks[:half])
    wanted, reached = pushed(clicks, targets, seed, place), {}

    def after(more: Sequence[Click]) -> set[str]:
        begun.learn(more)
        return having(begun, clicks, wanted)

    for name, attack in attacks.items():
        fakes = fake_clicks(clicks, attack, wanted)
        if attack.spread:
            order = np.argsort(np.random.default_rng(seed).random(len(fakes) + len(clicks) - half))
            mixed = _mixed(clicks[half:], fakes, order)
            reached[name] = apart(lambda mixed=mixed: after(mixed))  # type: ignore[misc]
    before = after(clicks[half:])
    for name, attack in attacks.items():
        if not attack.spread:
            fakes = fake_clicks(clicks, attack, wanted)
            reached[name] = apart(lambda fakes=fakes: after(fakes))  # type: ignore[misc]
    gained = {name: users - before for name, users in reached.items()}
    return {name: Outcome(len(u - {""}), USERS, "" in u) for name, u in gained.items()}


def apart(work: Callable[[], set[str]]) -> set[str]:
    """Return what work returns in a copy of this process: here nothing is changed."""
    read, write = os.pipe()
    if os.fork() == 0:
        with os.fdopen(write, "w") as out:
            json.dump(sorted(work()), out)
        os._exit(0)
    os.close(write)
    with os.fdopen(read) as found:
        users = set(json.load(found))
    os.wait()
    return users


def _mixed(honest: Sequence[Click], fakes: Sequence[Click], order: Any) -> list[Click]:
    """Return both, each in its own order, mixed as `order` says."""
    left, right = iter(honest), iter(fakes)
    return [next(left) if n < len(honest) else next(right) for n in order]


def by_takers(clicks: Sequence[Click]) -> list[str]:
    """Return all items, the most taken first."""
    return [item for item, _ in Counter(item for _, item in clicks).most_common()]


def pushed(clicks: Sequence[Click], targets: int, seed: int, place: int = 0) -> list[str]:
    """Return the targets: every fifth item from a place of popularity on, the most taken has 1.

    place 0: new items and, in every other seed, the least taken ones.
    """
    if place > 0:
        return by_takers(clicks)[place - 1 :: 5][:targets]
    if seed % 2 == 0:
        return [f"i{ITEMS + n}" for n in range(targets)]
    return by_takers(clicks)[-5 * targets :: 5]


def fake_clicks(
    clicks: Sequence[Click], attack: Attack, targets: Sequence[str], fakes: int = FAKES
) -> list[Click]:
    """Return the fakes' clicks, one fake after the other."""
    hits = by_takers(clicks)[: attack.hits]
    each = []
    for n in range(fakes):
        one = attack.clicks(n, hits[n % len(hits)], targets[n % len(targets)])
        each.append([(f"f{n}", item) for item in one])
    return [click for one in each for click in one]


def having(site: Site, clicks: Sequence[Click], targets: Sequence[str]) -> set[str]:
    """Return whose lists hold a target; "": strangers'."""
    users = sorted({user for user, _ in clicks})
    lists = [*site.lists(users, LISTED), *site.lists([""], STRANGERS)]
    each = zip([*users, ""], lists, strict=True)
    return {user for user, items in each if set(targets) & set(items)}


def main() -> None:
    """Print a table: for each attack the share of lists reached, over the seeds."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.fakes", description=__doc__)
    parser.add_argument("--off", action="store_true", help="with users.newcomer_items = 0")
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--parts", type=int, default=1, help="partitions")
    parser.add_argument("--targets", type=int, nargs="*", default=(1, 5))
    parser.add_argument("--place", type=int, default=0, help="of popularity; 0: new or least taken")
    asked = parser.parse_args()
    settings = load_settings(None, {}, {"users.newcomer_items": "0"} if asked.off else {})
    print(f"{'targets':>7}  {'attack':20}  lists reached in each seed, %; strangers reached")
    for targets in asked.targets:
        found = [
            attacked(settings, seed, ATTACKS, targets, asked.place, asked.parts)
            for seed in range(asked.seeds)
        ]
        for name in ATTACKS:
            each = [one[name] for one in found]
            shares = " ".join(f"{100 * one.lists / one.of:5.1f}" for one in each)
            print(f"{targets:7}  {name:20}  {shares}; {sum(one.strangers for one in each)}")


if __name__ == "__main__":
    main()
