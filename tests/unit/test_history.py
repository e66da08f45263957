"""A user's history against a plain Python list that is sorted after every event."""

import math
from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamrec.state import history

H, S = 4, 3
HOUR, GAP = 3_600_000, 2 * 3_600_000
KEYS, TIMES = st.integers(1, 8), st.integers(0, 6).map(lambda hours: hours * HOUR)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("take"), KEYS, TIMES),
        st.tuples(st.just("drop"), KEYS, st.just(0)),
        st.tuples(st.just("mark"), KEYS, st.just(0)),
        st.tuples(st.just("forget"), KEYS, st.just(0)),
    ),
    max_size=60,
)


@dataclass
class Model:
    """What a user's row must hold: entries [ts, key, type, takes, held, gap], and the seen keys."""

    entries: list[list[int]] = field(default_factory=list)
    seen: set[int] = field(default_factory=set)

    def take(self, key: int, ts: int, type_: int) -> int | None:
        """Return the key that fell out."""
        takes, gap = 1, 0
        for entry in self.entries:
            if entry[1] == key:
                takes = min(255, entry[3] + 1)
                if entry[0] > ts:
                    entry[3] = takes
                    return None
                gap = usual(entry[5], ts - entry[0])
                self.entries.remove(entry)
                break
        self.entries.append([ts, key, type_, takes, type_ % 2, gap])
        self.entries.sort(key=lambda entry: entry[0])  # stable: equal times in order of arrival
        return self.entries.pop(0)[1] if len(self.entries) > H else None


def usual(before: int, elapsed: int) -> int:
    """Return the code of the usual gap after one more."""
    if elapsed <= GAP:
        return before
    code = 1 + round(22 * math.log(1 + elapsed / HOUR))
    return code if before == 0 else round(before + (code - before) / 3)


class Row:
    """One user's arrays, as the kernels see them."""

    def __init__(self) -> None:
        self.columns = tuple(np.zeros(H, dtype) for dtype in ("<u8", "<i8", "u1", "u1", "u1", "u1"))
        self.seen = np.zeros(S, np.uint32)
        self.size = self.seen_size = self.seen_next = 0

    def take(self, key: int, ts: int, type_: int) -> int | None:
        event = np.uint64(key), ts, type_, type_ % 2
        self.size, fell, out = history.take(self.columns, self.size, *event, GAP)
        return int(fell) if out else None

    def drop(self, key: int) -> None:
        at = history.index_of(self.columns[0], self.size, np.uint64(key))
        if at >= 0:
            self.size = history.drop(self.columns, self.size, at)

    def mark(self, key: int) -> None:
        self.seen_size, self.seen_next = history.mark_seen(
            self.seen, self.seen_size, self.seen_next, np.uint64(key)
        )

    def forget(self, key: int) -> None:
        if self.is_seen(key):
            self.seen_size, self.seen_next = history.forget_seen(
                self.seen, self.seen_size, self.seen_next, np.uint64(key)
            )

    def is_seen(self, key: int) -> bool:
        return bool(history.is_seen(self.seen, self.seen_size, np.uint64(key)))

    def entries(self) -> list[list[int]]:
        keys, ts, *others = self.columns
        return [[int(c[n]) for c in (ts, keys, *others)] for n in range(self.size)]


@settings(max_examples=200)
@given(STEPS)
def test_a_row_is_the_sorted_list(steps: list[tuple[str, int, int]]) -> None:
    row, model = Row(), Model()
    for n, (what, key, ts) in enumerate(steps):
        if what == "take":
            assert row.take(key, ts, n) == model.take(key, ts, n)
        elif what == "drop":
            row.drop(key)
            model.entries = [entry for entry in model.entries if entry[1] != key]
        elif what == "mark":
            row.mark(key)
            model.seen.add(key)
            assert row.is_seen(key)
        else:
            row.forget(key)
            model.seen.discard(key)
            assert not row.is_seen(key)
        assert row.entries() == model.entries
        held = {k for k in range(1, 9) if row.is_seen(k)}
        assert held <= model.seen and len(held) == min(len(held), S)
        model.seen = held if len(model.seen) > S else model.seen
        assert held == model.seen


@given(st.lists(KEYS, max_size=40))
def test_the_seen_ring_forgets_the_oldest(marked: list[int]) -> None:
    row = Row()
    model: list[int] = []
    for key in marked:
        row.mark(key)
        if key not in model:
            model = [*model, key][-S:]
        assert {k for k in range(1, 9) if row.is_seen(k)} == set(model)


def test_the_seen_ring_forgets_the_oldest_after_a_removal() -> None:
    row = Row()
    for key in (1, 2, 3, 4, 5):  # 1 and 2 are overwritten; 3 is the oldest
        row.mark(key)
    row.forget(5)
    row.mark(6)
    row.mark(7)
    assert [k for k in range(1, 9) if row.is_seen(k)] == [4, 6, 7]


def test_the_usual_gap_goes_by_the_latest_ones() -> None:
    row = Row()
    weeks = [0, 1, 2, 3, 5, 7, 9, 11, 13]
    for week in weeks:
        row.take(1, week * 168 * HOUR, 0)
        row.take(1, week * 168 * HOUR + GAP, 0)  # the same visit
    [[*_, takes, _, gap]] = row.entries()
    assert takes == 2 * len(weeks)
    assert math.exp((gap - 1) / 22) == pytest.approx(2 * 168, rel=0.1)
    row.take(1, 99 * 365 * 24 * HOUR, 0)
    assert row.entries()[0][5] <= 255


def test_takes_stop_at_255() -> None:
    row = Row()
    for n in range(300):
        row.take(1, n, 0)
    assert row.entries() == [[299, 1, 0, 255, 0, 0]]


@given(st.lists(TIMES, max_size=H).map(sorted), TIMES)
def test_position_is_after_all_that_are_not_newer(times: list[int], ts: int) -> None:
    row = np.zeros(H, np.int64)
    row[: len(times)] = times
    assert history.position(row, len(times), ts) == sum(t <= ts for t in times)


@given(st.lists(st.integers(0, 40), max_size=H).map(sorted), st.integers(0, 10))
def test_excluded_from_starts_at_the_session(times: list[int], gap: int) -> None:
    row = np.zeros(H, np.int64)
    row[: len(times)] = times
    size, now = len(times), 45
    assert history.excluded_from(row, size, now, history.EXCLUDE["user"], gap) == 0
    assert history.excluded_from(row, size, now, history.EXCLUDE["none"], gap) == size
    first = size
    for n in range(size - 1, -1, -1):
        if (times + [now])[n + 1] - times[n] > gap:
            break
        first = n
    assert history.excluded_from(row, size, now, history.EXCLUDE["session"], gap) == first


def test_without_room_nothing_is_remembered() -> None:
    none = np.zeros(0, np.uint32)
    assert history.mark_seen(none, 0, 0, np.uint64(7)) == (0, 0)
    assert not history.is_seen(none, 0, np.uint64(7))
