"""Ranking metrics against values worked out by hand, and the rows of what users were shown."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamrec.blend.learned import BlendRules, E, Features, LearnedBlend
from streamrec.state import served
from streamrec.state.served import ranks_in, read_shown, sample_of, shown_at, times_shown

M = 3
READER = LearnedBlend(BlendRules((1.0,) * M, (False,) * M, (0.0,) * M))
RANKS = np.array([[0, 4, -1], [9, 10, 19], [20, 1, 2]])
NOW = 1_700_000_000_000


def lists(*rows: list[int]) -> np.ndarray:
    return np.array(rows, np.uint64)


NONE = np.zeros(0, np.uint64)


def encode_shown(at: int, keys: np.ndarray) -> bytes:
    """Return a row without a sample."""
    return served.encode_shown(at, keys, {}, NONE, b"")


def look(shown: list[bytes | None], keys: list[int], sources: int) -> list[list[int]]:
    which, wanted = np.arange(len(keys)), np.array(keys, np.uint64)
    return ranks_in(shown, which, wanted, sources).tolist()


def test_recall() -> None:
    assert served.hits(RANKS, 10).tolist() == [[1, 1, 0], [1, 0, 0], [0, 1, 1]]
    assert served.hits(RANKS, 20).tolist() == [[1, 1, 0], [1, 1, 1], [0, 1, 1]]


def test_ndcg() -> None:
    found = served.ndcg(RANKS, 20)
    # 1 / log2(1 + place), places counted from 1
    assert found[0] == pytest.approx([1.0, 0.386853, 0.0], abs=1e-6)
    assert found[1] == pytest.approx([0.289065, 0.278943, 0.227670], abs=1e-6)
    assert found[2] == pytest.approx([0.0, 0.630930, 0.5], abs=1e-6)
    assert served.ndcg(RANKS, 2)[2].tolist() == pytest.approx([0.0, 0.630930, 0.0], abs=1e-6)


def test_reciprocal_rank() -> None:
    found = served.reciprocal(RANKS, 20)
    expected = np.array([[1, 0.2, 0], [0.1, 1 / 11, 0.05], [0, 0.5, 1 / 3]])
    assert found == pytest.approx(expected)


def test_places_are_found_in_each_list() -> None:
    blob = encode_shown(NOW, lists([7, 8, 9], [9, 7, 0], [0, 0, 0]))
    assert shown_at(blob) == NOW
    assert look([blob, blob, blob], [9, 7, 5], 3) == [[2, 0, -1], [0, 1, -1], [-1, -1, -1]]


def test_several_events_share_a_row_and_rows_may_differ_in_length() -> None:
    short, long = encode_shown(NOW, lists([5])), encode_shown(NOW, lists([4, 3, 5]))
    which, keys = np.array([1, 0, 1, 1]), np.array([5, 5, 3, 9], np.uint64)
    assert ranks_in([short, long], which, keys, 1).tolist() == [[2], [0], [1], [-1]]


def test_no_list_is_a_miss() -> None:
    other = bytes((9,)) + encode_shown(NOW, lists([5]))[1:]
    fewer = encode_shown(NOW, lists([5]))
    assert look([None, b"", other], [5, 5, 5], 1) == [[-1], [-1], [-1]]
    assert look([fewer], [5], 2) == [[-1, -1]]
    assert ranks_in([], np.zeros(0, np.int64), np.zeros(0, np.uint64), 2).shape == (0, 2)


def test_sums_of_nothing_are_zero() -> None:
    none = np.zeros((0, 6), np.int64)
    assert served.hits(none, 10).sum() == served.ndcg(none, 20).sum() == 0


def test_a_list_may_be_longer_than_255() -> None:
    blob = encode_shown(NOW, lists(list(range(1, 301))))
    assert look([blob], [300], 1) == [[299]]


def test_a_damaged_row_is_a_miss() -> None:
    blob = encode_shown(NOW, lists([7, 8, 9]))
    for n in range(len(blob)):
        assert look([blob[:n]], [7], 1) == [[-1]]
    assert look([blob + b"\0"], [7], 1) == [[-1]]


@settings(max_examples=200)
@given(st.data())
def test_a_changed_byte_never_raises(data: st.DataObject) -> None:
    blob = bytearray(with_sample([9, 7, 2**64 - 1], {7: 3, 8: 1}))
    blob[data.draw(st.integers(0, len(blob) - 1))] = data.draw(st.integers(0, 255))
    look([bytes(blob)], [7], 2)
    times_shown(bytes(blob))
    sample = sample_of(bytes(blob), 7, 1.0)
    assert sample is None or READER.read_sample(sample) is None or len(sample) > 16


def test_a_row_of_the_version_before_says_nothing() -> None:
    """At an upgrade the rows of all users are such; they are replaced, or expire."""
    old = bytes((4, 1, 3, 0)) + NOW.to_bytes(8, "little") + lists([7, 8, 9]).tobytes() + bytes(3)
    assert (shown_at(old), look([old], [7], 1)) == (NOW, [[-1]])
    assert (times_shown(old), sample_of(old, 7, 1.0), read_shown(old)) == ({}, None, None)


@given(st.data())
def test_every_key_is_stored_once_and_every_list_comes_back(data: st.DataObject) -> None:
    """Of any sources and lengths, and of more items than a byte counts."""
    length = data.draw(st.sampled_from([1, 5, 20, 60]))
    items = np.random.default_rng(data.draw(st.integers(0, 9))).integers(1, 2**64, 400, np.uint64)
    rows = [
        data.draw(st.permutations(range(0, 400, data.draw(st.integers(1, 40)))))[:length]
        for _ in range(data.draw(st.integers(1, 12)))
    ]
    keys = np.zeros((len(rows), length), np.uint64)
    for mine, numbers in zip(keys, rows, strict=True):
        mine[: len(numbers)] = items[numbers]
    times = {int(key): 1 + n for n, key in enumerate(items[rows[0]])}
    blob = served.encode_shown(NOW, keys, times, NONE, b"")
    row = read_shown(blob)
    assert row is not None and times_shown(blob) == times
    again = [(row.shorts[places]).tolist() for places in row.lists]
    assert again == [[int(items[n]) % 2**24 for n in numbers] for numbers in rows]
    distinct, listed = len({n for r in rows for n in r}), sum(map(len, rows))
    assert len(row.shorts) == distinct
    width = 1 if distinct <= 256 else 2  # of those that are in an earlier list; else a bit
    places = -(-listed // 8) + width * (listed - distinct)
    assert len(blob) == 22 + 3 * distinct + len(rows) + places + 6 * len(rows[0])


def with_sample(candidates: list[int], times: dict[int, int] | None = None) -> bytes:
    values = np.arange(len(candidates) * M, dtype=np.float32).reshape(-1, M)
    extras = np.zeros((len(candidates), E), np.float32)
    features = Features(values, values.astype(np.uint8), extras, 3, np.zeros(M, np.float32))
    return served.encode_shown(
        NOW,
        lists([7, 8], [9, 0]),
        times or {},
        np.array(candidates, np.uint64),
        features.sample(),
    )


def test_a_click_on_a_candidate_gives_the_sample_that_the_blend_learns_from() -> None:
    blob = with_sample([9, 7, 2**64 - 1])
    assert look([blob], [8], 2) == [[1, -1]]  # the lists are found as without a sample
    for clicked, key in enumerate([9, 7, 2**64 - 1]):
        sample = sample_of(blob, key, 1.5)
        assert sample is not None
        read = READER.read_sample(sample)
        assert read is not None and read[1:] == (clicked, 1.5)
        assert read[0].values.shape == (3, M) and read[0].history == 3
    assert sample_of(blob, 8, 1.5) is None  # shown in a source's list, but no candidate


def test_a_row_without_a_sample_or_damaged_gives_none() -> None:
    assert sample_of(encode_shown(NOW, lists([7])), 7, 1.0) is None
    blob = with_sample([9, 7])
    for n in range(len(blob)):
        sample = sample_of(blob[:n], 9, 1.0)
        assert sample is None or READER.read_sample(sample) is None, n
    assert sample_of(bytes((1,)) + blob[1:], 9, 1.0) is None
