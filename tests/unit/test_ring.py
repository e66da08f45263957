"""The ring of latest keys against a list, and against itself after a restore from its chunks."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamrec.state import ring
from streamrec.state.ring import Ring

BATCHES = st.lists(st.lists(st.integers(1, 2**64 - 1), max_size=9), max_size=8)


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ring, "CHUNK", 4)


def restored(old: Ring, stored: dict[bytes, bytes], capacity: int | None = None) -> Ring:
    """Return the ring as Redis would give it back, beside the chunks of another ring."""
    beside = {b"other:0": bytes(32), b"other:1": b"\xff" * 32}
    place = (len(old.keys), old.total)
    return Ring.restore(
        "ids", len(old.keys) if capacity is None else capacity, place, stored | beside
    )


@given(BATCHES, st.integers(1, 11))
def test_the_ring_is_the_tail_of_what_was_pushed(batches: list[list[int]], capacity: int) -> None:
    mine, one_by_one = Ring("ids", capacity), Ring("ids", capacity)
    pushed: list[int] = []
    for batch in batches:
        mine.push(batch)
        for key in batch:
            full = len(pushed) >= capacity
            assert one_by_one.push_one(key) == (pushed[-capacity] if full else None)
            pushed.append(key)
        assert mine.latest().tolist() == pushed[-capacity:]
        assert mine.keys.tobytes() == one_by_one.keys.tobytes()
        assert (mine.total, mine.size) == (len(pushed), min(len(pushed), capacity))


@given(BATCHES, BATCHES, st.integers(1, 11))
def test_a_restored_ring_equals_and_goes_on_as_if_nothing_were(
    before: list[list[int]], after: list[list[int]], capacity: int
) -> None:
    mine = Ring("ids", capacity)
    stored: dict[bytes, bytes] = {}
    for batch in before:  # a commit after each
        mine.push(batch)
        stored |= mine.changed_chunks()
    again = restored(mine, stored)
    for batch in after:
        mine.push(batch)
        again.push(batch)
        assert again.changed_chunks() == mine.changed_chunks()
        assert again.keys.tobytes() == mine.keys.tobytes()
    assert again.latest().tolist() == mine.latest().tolist()


def test_a_commit_stores_only_the_chunks_it_touched() -> None:
    mine = Ring("ids", 10)
    mine.push([1, 2, 3])
    assert mine.changed_chunks().keys() == {b"ids:0"}
    assert mine.changed_chunks() == {}
    mine.push([4, 5])
    assert mine.changed_chunks().keys() == {b"ids:0", b"ids:1"}
    mine.push([6, 7, 8, 9, 10, 11])  # around the end
    assert mine.changed_chunks().keys() == {b"ids:0", b"ids:1", b"ids:2"}
    mine.push(range(100))
    assert mine.changed_chunks().keys() == {b"ids:0", b"ids:1", b"ids:2"}


@given(BATCHES, BATCHES, st.integers(1, 11), st.integers(1, 11))
def test_another_capacity_keeps_the_latest(
    before: list[list[int]], after: list[list[int]], capacity: int, wanted: int
) -> None:
    mine = Ring("ids", capacity)
    stored: dict[bytes, bytes] = {}
    for batch in before:
        mine.push(batch)
        stored |= mine.changed_chunks()
    pushed = mine.latest().tolist()
    resized = restored(mine, stored, wanted)
    assert resized.latest().tolist() == pushed[-wanted:]
    stored |= resized.changed_chunks()  # old chunks stay in Redis beside the new ones
    assert restored(resized, stored).latest().tolist() == pushed[-wanted:]
    for batch in after:
        resized.push(batch)
        pushed += batch
        stored |= resized.changed_chunks()
        assert restored(resized, stored).latest().tolist() == pushed[-wanted:]


def test_an_empty_ring_takes_nothing() -> None:
    none = Ring("ids", 0)
    none.push([1, 2, 3])
    assert (none.size, none.changed_chunks()) == (0, {})
    assert Ring("ids", 0).latest().tolist() == []


def test_a_window_may_be_switched_off_later() -> None:
    mine = Ring("ids", 10)
    mine.push([1, 2, 3])
    assert restored(mine, mine.changed_chunks(), 0).latest().tolist() == []
