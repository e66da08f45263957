"""Decayed counts against the sum that defines them; the order kept of them against a sort."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamrec.settings.sections import Settings
from streamrec.sources import popularity
from streamrec.sources.popularity import Popular
from streamrec.state.item_table import ItemTable

HALF_LIVES = np.array([900_000.0, 14_400_000.0, 604_800_000.0])
NOW = 1_700_000_000_000
EVENTS = st.lists(
    st.tuples(
        st.integers(0, 7 * 86_400_000),  # how long ago, ms
        st.sampled_from([0.3, 1.0, 2.0, 3.0, -1.0]),
    ),
    min_size=1,
    max_size=30,
)


def after(events: list[tuple[int, float]]) -> tuple[np.ndarray, int]:
    """Return the three counts and the clock of one row after the events, in that order."""
    counts, clocks = np.zeros((2, 3), np.float32), np.zeros(2, np.int64)
    for age, weight in events:
        popularity.add(counts, clocks, 1, weight, NOW - age, HALF_LIVES)
    assert not counts[0].any() and not clocks[0]
    return counts[1], int(clocks[1])


@given(EVENTS)
def test_counts_are_the_decayed_sum(events: list[tuple[int, float]]) -> None:
    counts, clock = after(events)
    newest = min(age for age, _ in events)
    assert clock == NOW - newest
    for h, half_life in enumerate(HALF_LIVES):
        expected = sum(weight * 2 ** (-(age - newest) / half_life) for age, weight in events)
        assert counts[h] == pytest.approx(expected, rel=1e-4, abs=1e-4)


@given(EVENTS, st.randoms(use_true_random=False))
def test_the_order_of_events_does_not_matter(events: list[tuple[int, float]], random) -> None:  # type: ignore[no-untyped-def]
    other = list(events)
    random.shuffle(other)
    (one, one_clock), (two, two_clock) = after(events), after(other)
    assert one_clock == two_clock
    assert one == pytest.approx(two, rel=1e-4, abs=1e-4)


def test_one_half_life_halves_and_a_late_event_arrives_halved() -> None:
    half_life = int(HALF_LIVES[0])
    assert after([(half_life, 8.0), (0, 1.0)])[0][0] == pytest.approx(5.0)
    assert after([(0, 1.0), (half_life, 8.0)])[0][0] == pytest.approx(5.0)


class Heats:
    """Decayed counts of a few items, and the heats and sums that are kept up to date from them."""

    def __init__(self, items: int, base: float = 0.0) -> None:
        self.counts, self.clocks = np.zeros((items, 3), np.float32), np.zeros(items, np.int64)
        self.heats, self.sums = np.full((items, 3), -np.inf), np.zeros(3)
        self.base = np.full(3, base) if base else NOW / HALF_LIVES

    def add(self, row: int, weight: float, ts: int) -> None:
        popularity.add(self.counts, self.clocks, row, weight, ts, HALF_LIVES)

    def refresh(self, *rows: int) -> None:
        of_items = self.counts, self.clocks, self.heats
        at = np.array(rows, np.int64)
        popularity.refresh_heats(at, of_items, HALF_LIVES, self.sums, self.base)

    def shares(self) -> np.ndarray:
        return np.exp2(self.heats - self.base) / self.sums


STEPS = st.lists(
    st.tuples(
        st.integers(0, 3),  # item
        st.sampled_from([0.3, 1.0, 2.0, 3.0]),
        st.integers(0, 7_200_000),  # how long ago, ms: some come late
    ),
    min_size=1,
    max_size=40,
)


def brute_force(events: list[tuple[int, float, int]], now: int) -> np.ndarray:
    """Return float[items, half-lives]: every event decayed to `now`, over their sum."""
    decayed = np.zeros((4, 3))
    for item, weight, ts in events:
        decayed[item] += weight * 2.0 ** (-(now - ts) / HALF_LIVES)
    return decayed / decayed.sum(axis=0)


@given(STEPS, st.integers(0, 86_400_000))
def test_shares_from_heats_are_the_decayed_shares_at_any_time(
    steps: list[tuple[int, float, int]], later: int
) -> None:
    heats, events = Heats(4), []
    for item, weight, ago in steps:
        events.append((item, weight, NOW - ago))
        heats.add(*events[-1])
        heats.refresh(item)
        assert heats.sums == pytest.approx(np.exp2(heats.heats - heats.base).sum(axis=0))
    # all decay alike, so that nothing needs to be brought up to date when time goes on
    assert heats.shares() == pytest.approx(brute_force(events, NOW + later), rel=1e-3, abs=1e-9)


def test_an_item_without_events_or_given_all_back_has_no_share() -> None:
    heats = Heats(3)
    heats.add(0, 2.0, NOW)
    heats.add(1, 1.0, NOW)
    heats.refresh(0, 1, 2)
    assert np.isneginf(heats.heats[2]).all()
    heats.add(1, -1.0, NOW)
    heats.refresh(1)
    assert np.isneginf(heats.heats[1]).all()
    assert heats.shares()[0] == pytest.approx([1.0] * 3)
    assert heats.sums == pytest.approx(np.exp2(heats.heats[0] - heats.base))


@settings(max_examples=50)
@given(
    st.lists(
        st.tuples(
            st.integers(0, 3),
            st.sampled_from([0.3, 1.0, 3.0]),
            st.sampled_from([0, 1, 60_000, 3_600_000, 40 * 900_000, 90 * 86_400_000]),
        ),
        min_size=1,
        max_size=30,
    )
)
def test_the_table_keeps_the_shares_when_its_base_must_move(
    steps: list[tuple[int, float, int]],
) -> None:
    """Forty half-lives pass at once: what is summed relative to an old base would overflow."""
    table, events, now = ItemTable(Settings(), with_lists=False), [], NOW
    rows = table.rows(np.arange(1, 5, dtype=np.uint64)).tolist()
    owned = table.schema.owned(4)
    counts, clocks = owned.popularity, owned.clock
    for item, weight, passed in steps:
        now += passed
        events.append((item, weight, now))
        popularity.add(counts, clocks, item, weight, now, HALF_LIVES)
        table.take("items", np.array([rows[item]]), owned, np.array([item]))
    heats = table.arrays.heats[rows]
    shares = np.exp2(heats - table.log2_totals())
    expected = brute_force(events, now)
    assert shares == pytest.approx(expected, rel=1e-3, abs=1e-9)
    for item in range(4):
        for h in range(3):
            log_share = popularity.log_share(heats[item, h], table.log2_totals()[h])
            wanted = math.log(expected[item, h]) if expected[item, h] > 0 else -math.inf
            assert log_share == pytest.approx(max(popularity.LOG_FLOOR, wanted), abs=1e-2)
    gone = [key for item, key in enumerate(range(1, 5)) if clocks[item]][:1]
    live = table.live().tolist()
    table.remove(np.array(gone, np.uint64))
    assert table.live().tolist() == [row for row in live if row != rows[gone[0] - 1]]
    left = [e for e in events if e[0] != gone[0] - 1]
    if left:
        shares = np.exp2(table.arrays.heats[rows] - table.log2_totals())
        newest = max(ts for _, _, ts in left)
        assert shares == pytest.approx(brute_force(left, newest), rel=1e-3, abs=1e-9)


def test_shares_of_nothing_are_at_the_floor() -> None:
    table = ItemTable(Settings(), with_lists=False)
    table.rows(np.array([1], np.uint64))
    for h in range(3):
        heat, total = table.arrays.heats[0, h], table.log2_totals()[h]
        assert popularity.log_share(heat, total) == popularity.LOG_FLOOR


ITEMS, MOST = 200, 6
FEW = 25  # of 200 items: more are no longer few, and all lists are made anew
CHANGES = st.lists(
    st.lists(
        st.tuples(
            st.integers(0, ITEMS - 1) | st.integers(0, 9),
            st.sampled_from(["more", "less", "none", "gone", "back", "touched"]),
            st.floats(0.0, 3.0),
        ),
        min_size=1,
        max_size=FEW,
    ),
    max_size=20,
)


class Catalogue:
    """Heats of some items, random at first, and the orders that are kept of them."""

    def __init__(self, items: int = ITEMS, most: int = MOST) -> None:
        rng = np.random.default_rng(1)
        self.heats = rng.normal(0.0, 1.0, (items, 3))
        self.servable = rng.random(items) < 0.9
        self.kept = Popular(most)

    def change(self, row: int, what: str, by: float) -> None:
        if what == "more":
            self.heats[row] = np.maximum(self.heats[row], -3.0) + by
        elif what == "less":
            self.heats[row] -= by
        elif what == "none":
            self.heats[row] = -np.inf
        elif what in ("gone", "back"):
            self.servable[row] = what == "back"

    def refresh(self, *changed: int) -> None:
        """Bring the orders up to date, and compare with full sorts; the lower row wins ties."""
        self.kept.refresh(self.heats, self.servable, np.array(changed, np.int64))
        for h, order in enumerate(self.kept.order):
            worth = np.where(self.servable, self.heats[:, h], -np.inf)
            expected = [row for row in np.argsort(-worth, kind="stable") if np.isfinite(worth[row])]
            rows = order[order >= 0]
            assert rows.tolist() == expected[: len(order)]
            assert (order[len(rows) :] == -1).all()


@settings(max_examples=200)
@given(CHANGES, st.sampled_from([1, MOST, 150, 300]), st.booleans())
def test_the_kept_order_is_that_of_a_full_sort(
    turns: list[list[tuple[int, str, float]]], most: int, level: bool
) -> None:
    """However often it was brought up to date, and where many items are as popular (level)."""
    catalogue = Catalogue(most=most)
    if level:
        catalogue.heats = np.round(catalogue.heats)
    catalogue.refresh(*range(ITEMS))
    for turn in turns:
        for row, what, by in turn:
            catalogue.change(row, what, float(round(by)) if level else by)
        catalogue.refresh(*{row for row, _, _ in turn})


@given(st.lists(st.tuples(st.integers(0, 30), st.floats(-2, 2)), max_size=60))
def test_items_that_come_one_by_one(steps: list[tuple[int, float]]) -> None:
    catalogue = Catalogue(0)
    for more, heat in steps:
        catalogue.heats = np.concatenate([catalogue.heats, np.full((more % 3, 3), -np.inf)])
        catalogue.servable = np.concatenate([catalogue.servable, np.zeros(more % 3, np.bool_)])
        if len(catalogue.heats):
            row = more % len(catalogue.heats)
            catalogue.heats[row], catalogue.servable[row] = heat, True
            catalogue.refresh(row)


def test_two_that_rise_at_once() -> None:
    """The first stops below the second while that has not moved yet."""
    catalogue = Catalogue()
    catalogue.servable[:] = True
    catalogue.heats[:3] = [[2.0] * 3, [5.0] * 3, [3.0] * 3]
    catalogue.heats[3:] = -9.0
    catalogue.refresh(*range(ITEMS))
    assert catalogue.kept.order[0, :3].tolist() == [1, 2, 0]
    catalogue.heats[:3] = [[7.0] * 3, [5.0] * 3, [10.0] * 3]
    catalogue.refresh(0, 2)
    assert catalogue.kept.order[0, :3].tolist() == [2, 0, 1]


def test_the_last_that_falls_makes_room() -> None:
    catalogue = Catalogue(most=3)
    catalogue.servable[:] = True
    catalogue.heats[:] = -np.arange(float(ITEMS))[:, None]
    catalogue.refresh(*range(ITEMS))
    catalogue.heats[2] = -50.0
    catalogue.refresh(2)
    assert catalogue.kept.order.tolist() == [[0, 1, 3]] * 3


def test_few_changes_do_not_sort_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    catalogue = Catalogue()
    catalogue.refresh(*range(ITEMS))
    monkeypatch.setattr(Popular, "_make_anew", None)
    rng = np.random.default_rng(2)
    for _ in range(300):
        rows = rng.permutation(ITEMS)[:3]
        catalogue.heats[rows] += rng.random((3, 1))
        catalogue.refresh(*rows.tolist())
