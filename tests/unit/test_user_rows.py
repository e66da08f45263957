"""The cache of user rows: what is stored comes back, and who goes when there are too many."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamrec.errors import UnknownVersion
from streamrec.settings.sections import UserSettings
from streamrec.state.schema import VERSION
from streamrec.state.user_rows import NAMES, UserRows, decode_user, longest_idle, no_user

LENGTHS = st.lists(st.tuples(st.integers(0, 5), st.integers(0, 3)), min_size=1, max_size=5)


def user_rows(recent: int = 5, seen: int = 3, **more: int) -> UserRows:
    return UserRows(UserSettings(recent_items=recent, seen_items=seen, **more))


def filled(lengths: list[tuple[int, int]], seed: int) -> UserRows:
    """Return cached users with random rows of the given lengths."""
    users = user_rows()
    names = [f"ü{n}" for n in range(len(lengths))]
    users.load(names, [None] * len(names))
    rng = np.random.default_rng(seed)
    for column in users.arrays:
        column[: len(names)] = rng.integers(0, 120, column[: len(names)].shape)
    for n, sizes in enumerate(lengths):
        users.arrays.recent[n], users.arrays.seen_size[n] = sizes
        users.arrays.earlier[n] = sizes[0]
        users.arrays.gapped[n] = sizes[0] * (n % 2)  # of rows from where repeats are listed
    users.note_changed(names)
    return users


@given(LENGTHS, st.integers(0, 99))
def test_user_rows_come_back(lengths: list[tuple[int, int]], seed: int) -> None:
    users, again = filled(lengths, seed), user_rows()
    stored = users.changed()
    assert list(stored) == [name.encode() for name in users.row_of]
    again.load([name.decode() for name in stored], list(stored.values()))
    again.note_changed(list(users.row_of))
    assert again.changed() == stored
    for n, (recent, seen) in enumerate(lengths):
        row, cached = decode_user(stored[f"ü{n}".encode()]), users.row(f"ü{n}")
        assert (len(row.keys), len(row.takes), len(row.seen)) == (recent, recent, seen)
        for name in NAMES:
            assert np.array_equal(getattr(row, name), getattr(cached, name)), name
            mine = np.atleast_1d(getattr(users.arrays, name)[n])
            given_back = np.atleast_1d(getattr(row, name))
            assert (given_back == mine[: len(given_back)]).all(), name
        with pytest.raises(ValueError, match="read-only"):
            cached.keys[:] = 0


def test_a_user_row_is_as_long_as_it_must_be() -> None:
    users = filled([(5, 3)], 1)
    [blob] = users.changed().values()
    full = users.kind.header.itemsize + 5 * 19 + 3 * 4 + 5 * 17
    assert len(blob) == full == users.kind.most_bytes() - 5
    users.arrays.gapped[:] = 5  # where repeats are listed
    users.note_changed(["ü0"])
    assert [len(blob) for blob in users.changed().values()] == [full + 5]
    assert users.kind.header.itemsize == 43
    assert blob[0] == VERSION
    assert user_rows().changed() == {}


def test_a_stranger_has_no_history() -> None:
    row = no_user()
    assert {len(row.keys), len(row.ts), len(row.seen)} == {0}
    assert (row.events, row.offset, row.segment) == (0, 0, 0)
    assert row.keys.dtype == np.uint64


def test_shorter_settings_than_the_rows_are_refused_longer_ones_are_not() -> None:
    [blob] = filled([(5, 3)], 1).changed().values()
    user_rows(recent=9, seen=9).load(["u"], [blob])
    for recent, seen in ((4, 3), (5, 2)):
        with pytest.raises(UnknownVersion, match=r"users\.recent_items"):
            user_rows(recent, seen).load(["u"], [blob])


def test_a_cut_or_longer_row_or_one_of_another_version_is_refused() -> None:
    [blob] = filled([(5, 3)], 1).changed().values()
    wrong = [*(blob[:n] for n in range(len(blob))), blob + b"\0", b"\x09" + blob[1:]]
    for bad in wrong:
        with pytest.raises(UnknownVersion, match="users rows"):
            decode_user(bad)
        with pytest.raises(UnknownVersion, match="users rows"):
            user_rows().load(["u"], [bad])


def test_a_cache_over_its_bound_is_emptied_and_never_holds_all_that_are_stored() -> None:
    for bound, users in ((3, 100), (100, 6)):
        mine = user_rows(cached_users=bound, max_users=users)
        names = [f"u{n}" for n in range(4)]
        assert mine.missing([*names, "u1"]) == names
        mine.load(names, [None] * 4)
        mine.note_changed(names[:2])
        assert mine.created == 2 and mine.missing(names) == []
        mine.committed()
        assert mine.created == 0 and mine.changed() == {} and mine.missing(names) == names


def test_the_longest_idle_of_a_sample_go_but_not_the_cached() -> None:
    users = filled([(1, 0)] * 5, 3)
    users.arrays.clock[:5] = [50, 10, 30, 20, 40]
    sample = list(users.changed().items())
    names = [f"ü{n}".encode() for n in range(5)]
    assert longest_idle(sample, 2, {"ü1"}) == [names[3], names[2]]
    assert longest_idle(sample, 9, {"ü1"}) == [names[3], names[2], names[4], names[0]]
    assert longest_idle(sample, 0, {}) == []
