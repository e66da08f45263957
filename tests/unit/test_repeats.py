"""Repeats: what is learnt of items that are taken again, and what is read of it."""

import math
from collections import defaultdict
from typing import Any

import numpy as np
import pytest
from laws.world import event, raws, small
from oracle import USERS, Slow, check, maker_of, rank, settings, table

from streamrec.blend.learned import EXTRAS
from streamrec.blend.rules import blend_rules, extras_of
from streamrec.flow import Flow, decode, deliver
from streamrec.neural.reading import Reader
from streamrec.settings.sections import Settings
from streamrec.sources.registry import sources_of
from streamrec.sources.repeats import FACTS, gap_code, gap_hours, gap_ms
from streamrec.state.user_rows import decode_user

HOUR = 3_600_000
LISTED: dict[str, dict[str, Any]] = {
    "lists": {"exclude": "none", "session_seconds": 7200.0},
    "users": {"recent_items": 5, "seen_items": 4, "newcomer_items": 0},
}


def takes(count: int) -> list[dict[str, Any]]:
    """Return what three users take of five items, days apart or in one visit."""
    rng, now, log = np.random.default_rng(1), -400 * count * 900, []
    for _ in range(count):
        now += int(rng.choice([60, 90 * 3600]))
        log.append(event(f"u{rng.integers(3)}", f"i{rng.integers(5)}", ts=now))
    return log


def learnt(log: list[dict[str, Any]], config: Settings, batch: int = 7) -> Flow:
    flow, messages = Flow(config, 1, 2), raws(log)
    for first in range(0, len(log), batch):
        flow.learn(messages[first : first + batch])
    return flow


@pytest.mark.parametrize("batch", [1, 40])
def test_repeats_and_their_gaps_are_counted(batch: int) -> None:
    log = takes(300)
    flow = learnt(log, small(**LISTED), batch)
    last: dict[tuple[str, str], int] = {}
    counts: dict[str, int] = defaultdict(int)
    gaps: dict[str, float] = defaultdict(float)
    for one in log:
        at = one["user"], one["item"]
        elapsed = one["ts"] - last.get(at, one["ts"])
        if elapsed > 2 * HOUR:
            counts[one["item"]] += 1
            gaps[one["item"]] += math.log1p(elapsed / HOUR)
        last[at] = one["ts"]
    a = flow.table.arrays
    assert sum(counts.values()) > 50
    for item, row in flow.table.row_of.items():
        assert a.repeats[row] == counts[item]
        assert a.repeat_gaps[row] == pytest.approx(gaps[item], abs=0.024 * counts[item])
    rows = flow.users[0].users
    for user in rows.row_of:
        row = rows.row(user)
        assert row.gaps.any() and len(row.gaps) == len(row.keys)
        assert (row.takes[row.gaps > 0] > 1).all()


def test_what_comes_again_counts_once() -> None:
    config, messages = small(**LISTED), raws(takes(40))
    once, twice = Flow(config, 1, 2), Flow(config, 1, 2)
    once.learn(messages)
    for first, end in ((0, 15), (0, 15), (0, 40)):  # as after two crashes
        sender = Flow(config, 1, 2)
        fold = sender.fold(decode(sender.decoder, messages[first:end]))
        deliver(twice.items, fold.records)
    for one, other in zip(once.items, twice.items, strict=True):
        assert one.items.repeats.sum() > 0
        for name in ("repeats", "repeat_gaps"):
            assert (one.items.named(name) == other.items.named(name)).all()


def test_what_is_late_is_no_repeat() -> None:
    config = small(**LISTED)
    week = 168 * 3600
    log = [event("u", "i", ts=-n * week) for n in (5, 6, 4)]  # the second one is late
    flow = learnt(log, config)
    row = flow.table.row_of["i"]
    assert flow.table.arrays.repeats[row] == 1
    assert flow.users[0].users.row("u").takes.tolist() == [3]
    assert gap_hours(int(flow.users[0].users.row("u").gaps[0])) == pytest.approx(168, rel=0.05)


def test_elsewhere_nothing_is_kept() -> None:
    config = small()
    assert gap_ms(config) == 0 and extras_of(config) == EXTRAS
    flow = learnt(takes(60), config)
    assert "repeats" not in flow.table.arrays.names
    rows = flow.users[0].users
    assert {len(rows.row(user).gaps) for user in rows.row_of} == {0}
    assert not rows.arrays.gaps.any()


def test_the_blend_and_the_network_read_three_facts_more() -> None:
    for config, more in ((small(), 0), (small(**LISTED), len(FACTS))):
        sources = sources_of(config)
        assert blend_rules(config).extras == len(EXTRAS) + more
        assert Reader(config, sources).shape.facts == 3 * len(sources) + len(EXTRAS) + more + 3


@pytest.mark.parametrize("listed", [True, False])
def test_lists_may_begin_or_cease_to_repeat(listed: bool) -> None:
    here, there = (small(**LISTED), small(users=LISTED["users"]))[:: 1 if listed else -1]
    messages = raws(takes(80))
    first = Flow(there, 1, 1)
    first.learn(messages[:60])
    users = first.users[0].users
    stored = {user: users.packed(row) for user, row in users.row_of.items()}
    then = Flow(here, 1, 1)
    then.fold(decode(then.decoder, messages[60:]), 0, lambda names: [stored[n] for n in names])
    for user in stored:
        row = then.users[0].users.row(user)
        assert len(row.gaps) == (len(row.keys) if listed else 0)
        again = decode_user(then.users[0].users.packed(then.users[0].users.row_of[user]))
        assert again.gaps.tolist() == row.gaps.tolist()


@pytest.mark.parametrize("seed", range(3))
def test_facts_are_what_is_documented(seed: int) -> None:
    config = settings(lists={"exclude": "none", "length": 10})
    mine = table(30, seed, config)
    maker = maker_of(mine, config)
    for who in USERS:
        ranked = rank(maker, mine, who)
        check(ranked, Slow(mine, config, who))
        assert ranked.features.extras.shape[1] == len(extras_of(config)) == 9


def test_a_code_tells_gaps_apart() -> None:
    assert gap_code(HOUR, HOUR) == gap_code(9 * HOUR, 0) == gap_code(-HOUR, HOUR) == 0
    for hours in (2.0, 24.0, 168.0, 5000.0):
        assert gap_hours(int(gap_code(int(hours * HOUR), HOUR))) == pytest.approx(hours, rel=0.05)
    assert gap_code(10**15, HOUR) == 255
