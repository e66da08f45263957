"""Row codecs: what goes in comes out, and what is not a row of ours is refused by its name."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamrec.errors import StreamrecError, UnknownVersion
from streamrec.settings.sections import (
    CosineSettings,
    FactorSettings,
    Settings,
    SimilaritySettings,
    SuccessorSettings,
    UserSettings,
)
from streamrec.state import rows
from streamrec.state.item_table import ItemTable
from streamrec.state.user_rows import UserRows, longest_idle

LENGTHS = st.lists(st.tuples(st.integers(0, 5), st.integers(0, 3)), min_size=1, max_size=5)


def user_rows(recent: int = 5, seen: int = 3) -> UserRows:
    return UserRows(UserSettings(recent_items=recent, seen_items=seen))


def filled(lengths: list[tuple[int, int]], seed: int) -> UserRows:
    """Return cached users with random rows of the given lengths."""
    users = user_rows()
    names = [f"ü{n}" for n in range(len(lengths))]
    users.load(names, [None] * len(names))
    rng = np.random.default_rng(seed)
    a = users.arrays
    for n, (recent, seen) in enumerate(lengths):
        a.keys[n] = rng.integers(0, 2**64, 5, np.uint64)
        a.ts[n] = rng.integers(0, 2**42, 5)
        a.types[n], a.takes[n] = rng.integers(0, 256, 5), rng.integers(0, 256, 5)
        a.seen[n] = rng.integers(0, 2**32, 3)
        a.recent[n], a.seen_sizes[n], a.seen_next[n] = recent, seen, rng.integers(0, 3)
        a.events[n], a.offsets[n] = rng.integers(0, 2**32), rng.integers(0, 2**60)
        a.clocks[n], a.tokens[n] = rng.integers(-1, 2**42), rng.random()
        a.segments[n] = rng.integers(0, 2**64, dtype=np.uint64)
    users.note_changed(names)
    return users


@settings(deadline=None)
@given(LENGTHS, st.integers(0, 99))
def test_user_rows_come_back(lengths: list[tuple[int, int]], seed: int) -> None:
    users = filled(lengths, seed)
    stored = users.changed()
    assert list(stored) == [name.encode() for name in users.row_of]
    again = user_rows()
    again.load([name.decode() for name in stored], list(stored.values()))
    again.note_changed(list(users.row_of))
    assert again.changed() == stored
    for n, (recent, seen) in enumerate(lengths):
        row = rows.decode_user(stored[f"ü{n}".encode()])
        a = users.arrays
        assert (row.keys == a.keys[n, :recent]).all() and (row.ts == a.ts[n, :recent]).all()
        assert (row.types == a.types[n, :recent]).all()
        assert (row.takes == a.takes[n, :recent]).all()
        assert (row.seen == a.seen[n, :seen]).all()
        assert (row.events, row.offset, row.clock) == (a.events[n], a.offsets[n], a.clocks[n])
        assert row.segment == a.segments[n]


def test_a_user_row_is_as_long_as_it_must_be() -> None:
    [blob] = filled([(5, 3)], 1).changed().values()
    assert len(blob) == rows.USER_HEADER.itemsize + 5 * 18 + 3 * 4
    assert rows.USER_HEADER.itemsize == 40
    assert blob[0] == rows.VERSION


def test_shorter_settings_than_the_rows_are_refused_longer_ones_are_not() -> None:
    [blob] = filled([(5, 3)], 1).changed().values()
    user_rows(recent=9, seen=9).load(["u"], [blob])
    for recent, seen in ((4, 3), (5, 2)):
        with pytest.raises(UnknownVersion, match=r"users\.recent_items"):
            user_rows(recent, seen).load(["u"], [blob])


def test_the_longest_idle_of_a_sample_go_but_not_the_cached() -> None:
    users = filled([(1, 0)] * 5, 3)
    users.arrays.clocks[:5] = [50, 10, 30, 20, 40]
    sample = list(users.changed().items())
    names = [f"ü{n}".encode() for n in range(5)]
    assert longest_idle(sample, 2, {"ü1"}) == [names[3], names[2]]
    assert longest_idle(sample, 9, {"ü1"}) == [names[3], names[2], names[4], names[0]]
    assert longest_idle(sample, 0, {}) == []


def factor_rows(size: int = 4) -> list[bytes]:
    records = np.zeros(3, rows.factor_dtype(size))
    rng = np.random.default_rng(5)
    for name in records.dtype.names or ():
        if name not in ("version", "reserved"):
            records[name] = rng.integers(1, 99, records[name].shape)
    return rows.encode_factors(records)


def test_factor_rows_come_back() -> None:
    stored = factor_rows()
    records = rows.decode_factors(stored, 4)
    assert rows.encode_factors(records.copy()) == stored
    assert records["version"].tolist() == [rows.VERSION] * 3
    assert len(rows.decode_factors([], 4)) == 0


def test_a_factor_row_of_64_takes_568_bytes() -> None:
    assert rows.factor_dtype(64).itemsize == 56 + 2 * 4 * 64


def test_factor_rows_of_another_size_are_refused() -> None:
    with pytest.raises(UnknownVersion, match=r"factors\.size = 8"):
        rows.decode_factors(factor_rows(4), 8)


def list_rows(
    sizes: list[int], kind: str = "neighbours"
) -> tuple[list[bytes], tuple[np.ndarray, ...]]:
    """Return rows of one kind of list with random entries, and the columns they were made from."""
    rng = np.random.default_rng(6)
    n = len(sizes)
    of_type = {
        "<u8": rng.integers(0, 2**64, (n, 6), np.uint64),
        "<f4": rng.random((n, 6), np.float32),
        "<u4": rng.integers(0, 2**32, (n, 6), np.uint32),
        "u1": rng.integers(0, 256, (n, 6), np.uint8),
    }
    columns = tuple(of_type[dtype] for dtype in rows.LIST_COLUMNS[kind])
    headers = np.zeros(n, rows.LIST_HEADER)
    headers["size"], headers["total"], headers["clock"] = sizes, sizes, 7
    lengths = np.repeat(np.array(sizes)[:, None], len(columns), axis=1)
    return rows.pack(headers, columns, np.arange(n), lengths), columns


def test_neighbour_rows_come_back() -> None:
    stored, columns = list_rows([0, 3, 6])
    for n, size in enumerate((0, 3, 6)):
        for found, column in zip(rows.decode_neighbours(stored[n]), columns, strict=True):
            assert (found == column[n, :size]).all()


def test_packing_nothing_is_nothing() -> None:
    assert user_rows().changed() == {}


def table() -> ItemTable:
    """Return a table whose lists hold four entries each."""
    settings = Settings(
        factors=FactorSettings(size=4),
        similarity=SimilaritySettings(neighbours=2),
        cosine=CosineSettings(neighbours=2),
        successors=SuccessorSettings(entries=4),
    )
    return ItemTable(settings, with_lists=True)


@pytest.mark.parametrize("kind", rows.LIST_COLUMNS)
def test_a_table_with_shorter_lists_keeps_the_front_and_the_whole_total(kind: str) -> None:
    """A scorer with a smaller similarity.neighbours than the learner still starts."""
    stored, columns = list_rows([6], kind)
    mine = table()
    mine.apply(kind, [(KEY.tobytes(), stored[0])])
    row = mine.index.rows(KEY)[0]
    others, values, totals = mine.lists_of(kind)
    assert totals[row] == (6 if kind == "successors" else 4)
    assert (mine.keys[others[row, :4]] == columns[0][0, :4]).all()
    assert (values[row, :4] == columns[1][0, :4]).all()
    if kind == "neighbours":
        assert mine.arrays.totals[row] == pytest.approx(columns[1][0].sum())


KEY = np.array([1], np.uint64)
READERS = {
    "user": lambda blob: rows.decode_user(blob),
    "user cache": lambda blob: user_rows().load(["u"], [blob]),
    "neighbours": lambda blob: rows.decode_neighbours(blob),
    "neighbours table": lambda blob: table().apply("neighbours", [(KEY.tobytes(), blob)]),
    "cosine table": lambda blob: table().apply("cosine", [(KEY.tobytes(), blob)]),
    "successors table": lambda blob: table().apply("successors", [(KEY.tobytes(), blob)]),
    "factors": lambda blob: rows.decode_factors([blob], 4),
}


def written(reader: str) -> bytes:
    if reader.startswith("user"):
        return next(iter(filled([(5, 3)], 1).changed().values()))
    kind = reader.partition(" ")[0]
    return list_rows([4], kind)[0][0] if kind in rows.LIST_COLUMNS else factor_rows()[0]


@pytest.mark.parametrize("reader", READERS)
def test_another_version_is_refused(reader: str) -> None:
    blob = bytearray(written(reader))
    blob[0] = 9
    with pytest.raises(UnknownVersion, match=r"version \[?9"):
        READERS[reader](bytes(blob))


@pytest.mark.parametrize(
    "reader",
    READERS,
)
def test_a_truncated_or_longer_row_is_refused(reader: str) -> None:
    blob = written(reader)
    READERS[reader](blob)
    wrong = [n for n in range(len(blob)) if not refuses(reader, blob[:n])]
    assert wrong == []
    assert refuses(reader, blob + b"\0")


def refuses(reader: str, blob: bytes) -> bool:
    """Say whether the reader refuses the bytes with an error of ours, not with one of numpy's."""
    try:
        READERS[reader](blob)
    except StreamrecError:
        return True
    except Exception:
        return False
    return False
