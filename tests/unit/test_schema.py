"""Rows of any columns: what goes in comes out, and what is no such row is refused by its name."""

from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from laws.world import item_kind, small
from make import columns_of

from streamrec.errors import UnknownVersion
from streamrec.settings.sections import Settings
from streamrec.sources.registry import sources_of
from streamrec.sources.source import Source
from streamrec.state import schema
from streamrec.state.item_rows import ItemSchema
from streamrec.state.item_table import ItemTable
from streamrec.state.schema import Arrays, Column, Kind, kinds_of, signature

DTYPES = st.sampled_from(["u1", "<u2", "<u4", "<u8", "<i4", "<i8", "<f2", "<f4", "<f8", "?"])
ROWS = 4
FIELDS = st.lists(st.tuples(DTYPES, st.integers(0, 3)), max_size=4)
LISTS = st.lists(st.tuples(DTYPES, st.integers(0, 5), st.integers(0, 1)), max_size=4)


@st.composite
def columns(draw: st.DrawFn) -> list[Column]:
    """Any columns of one kind; lists go by one of two sizes, which may be above their width."""
    sizes = [Column(f"size{n}", draw(st.sampled_from(["<u2", "<u4", "<i4"])), 0, "k") for n in "01"]
    fixed = [Column(f"f{n}", *each, "k") for n, each in enumerate(draw(FIELDS))]
    lists = [
        Column(f"l{n}", dtype, width, "k", f"size{size}")
        for n, (dtype, width, size) in enumerate(draw(LISTS))
    ]
    return draw(st.permutations([*sizes, *fixed, *lists]))


def filled(given_columns: list[Column], seed: int) -> Arrays:
    """Return rows of any bytes but for their sizes."""
    rng, arrays = np.random.default_rng(seed), Arrays(given_columns, ROWS)
    for array in arrays:
        array.view(np.uint8)[...] = rng.integers(0, 2, array.view(np.uint8).shape) * 0x41
    for column in given_columns:
        if column.name.startswith("size"):
            arrays.named(column.name)[:] = rng.integers(0, 8, ROWS)
        elif column.dtype == "?":
            arrays.named(column.name)[...] = arrays.named(column.name).view(np.uint8) > 0
    return arrays


@given(columns(), st.integers(0, 999), st.lists(st.integers(0, ROWS - 1), unique=True))
def test_rows_of_any_columns_come_back(made: list[Column], seed: int, at: list[int]) -> None:
    kind, arrays, again = Kind("k", made), filled(made, seed), Arrays(made, ROWS)
    stored = kind.pack(arrays, np.array(at, np.int64))
    kind.unpack(again, np.array(at, np.int64), stored)
    for row, blob in zip(at, stored, strict=True):
        assert blob[0] == schema.VERSION and len(blob) <= kind.most_bytes()
        read = kind.read(blob)
        seen, back = (columns_of(kind, of, row) for of in (arrays, again))
        assert list(read) == list(seen) == [column.name for column in kind.columns]
        for name in read:
            assert np.array_equal(read[name], seen[name]), name
            assert np.array_equal(read[name], back[name]), name
        for column in kind.lists:
            assert len(read[column.name]) == min(read[column.sized_by], column.width)
            assert not read[column.name].flags.writeable
    assert kind.pack(again, np.array(at, np.int64)) == stored
    untouched = [row for row in range(ROWS) if row not in at]
    assert not any(np.asarray(array)[untouched].any() for array in again)


def readers(kind: Kind, made: list[Column]) -> list[Any]:
    """Return all that reads one row of a kind."""
    return [
        kind.read,
        lambda blob: kind.unpack(Arrays(made, 1), np.array([0]), [blob]),
        lambda blob: kind.unpack_longer(kind.headers([blob]), [blob]) if one_size(kind) else None,
    ]


def one_size(kind: Kind) -> bool:
    return len({column.sized_by for column in kind.lists}) < 2


def refused(reader: Any, blob: bytes) -> bool:
    """Say whether it is refused with an error of ours; another error is a fault."""
    try:
        reader(blob)
    except UnknownVersion:
        return True
    return False


@settings(max_examples=60)
@given(columns(), st.integers(0, 99), st.data())
def test_damaged_rows_are_refused_or_read_as_a_row(
    made: list[Column], seed: int, data: st.DataObject
) -> None:
    """A cut or longer row and another version are refused; no changed byte reads foreign memory."""
    kind = Kind("k", made)
    [blob] = kind.pack(filled(made, seed), np.array([0]))
    strict, loose = readers(kind, made)[:2], readers(kind, made)[2]
    for reader in strict:
        assert not [n for n in range(len(blob)) if not refused(reader, blob[:n])]
        assert refused(reader, blob + b"\0")
        assert refused(reader, bytes([schema.VERSION + 1]) + blob[1:])
    damaged = bytearray(blob)
    damaged[data.draw(st.integers(0, len(blob) - 1))] = data.draw(st.integers(0, 255))
    assert refused(strict[0], bytes(damaged)) == refused(strict[1], bytes(damaged))
    refused(loose, bytes(damaged))


@pytest.mark.parametrize("sizes", [(-1, 3), (-1, 0), (-2, 0)])
def test_negative_sizes_are_damage_though_the_length_be_right(sizes: tuple[int, int]) -> None:
    """Else a kernel, which checks no bounds, would read behind the row's end."""
    made = [Column(f"size{n}", "<i4", 0, "k") for n in "01"]
    made += [Column(f"l{n}", "<u8", 4, "k", f"size{n}") for n in "01"]
    blob = (
        bytes([schema.VERSION]) + np.array(sizes, "<i4").tobytes() + bytes(8 * max(0, sum(sizes)))
    )
    for reader in readers(Kind("k", made), made)[:2]:
        assert refused(reader, blob)


@pytest.mark.parametrize("kind", ["items", "similarity", "cosine", "successors"])
def test_a_table_refuses_rows_that_are_cut_or_longer_or_of_another_version(kind: str) -> None:
    [blob], _ = of_kind(kind, 4)
    for wrong in (*(blob[:n] for n in range(len(blob))), blob + b"\0", b"\x09" + blob[1:]):
        with pytest.raises(UnknownVersion, match=f"{kind} rows"):
            ItemTable(small(), with_lists=True).apply(kind, [(KEY.tobytes(), wrong)])
    ItemTable(small(), with_lists=True).apply(kind, [(KEY.tobytes(), blob)])


KEY = np.array([1], np.uint64)
LONGER: dict[str, Any] = {
    "similarity": {"neighbours": 30}, "cosine": {"neighbours": 5}, "successors": {"entries": 6},
}  # fmt: skip
SHORTER: dict[str, Any] = {
    "similarity": {"neighbours": 2}, "cosine": {"neighbours": 2}, "successors": {"entries": 4},
}  # fmt: skip


def of_kind(kind: str, size: int) -> tuple[list[bytes], dict[str, Any]]:
    """Return one stored row of a kind under `small`, with lists of that size, and its columns."""
    config = small(**LONGER)
    arrays = ItemSchema(sources_of(config)).owned(1)
    for name in arrays.names:
        array = arrays.named(name)
        array[...] = np.arange(1, 1 + array.size).reshape(array.shape) % 97
        if name.endswith(("_size", "_total")):
            array[...] = size
    codec = item_kind(config, kind)
    return codec.pack(arrays, np.array([0])), columns_of(codec, arrays, 0)


@pytest.mark.parametrize("kind", SHORTER)
def test_a_table_with_shorter_lists_keeps_the_front(kind: str) -> None:
    """A scorer with a smaller similarity.neighbours than the learner still starts."""
    [blob], stored = of_kind(kind, 6)
    mine = ItemTable(small(**SHORTER), with_lists=True)
    mine.apply(kind, [(KEY.tobytes(), blob)])
    row, arrays = mine.index.rows(KEY)[0], mine.arrays
    keys, values, *_ = (c.name for c in mine.schema.kinds[kind].lists)
    assert (mine.keys[arrays.named(keys)[row, :4]] == stored[keys][:4]).all()
    assert (arrays.named(values)[row, :4] == stored[values][:4]).all()
    assert arrays.named(mine.schema.kinds[kind].lists[0].sized_by)[row] == 4
    if kind == "similarity":
        assert arrays.similarity_total[row] == pytest.approx(stored[values][:4].sum())


def test_sizes_of_rows() -> None:
    config = small(factors={"size": 64})
    kinds = ItemSchema(sources_of(config)).kinds
    assert kinds["items"].most_bytes() == 61 + 2 * 4 * 64
    assert kinds["items"].header.itemsize == kinds["items"].most_bytes()
    assert kinds["similarity"].most_bytes() == 13 + 2 * 30 * (8 + 4 + 4)
    assert kinds["cosine"].most_bytes() == 13 + 2 * 5 * (8 + 4)
    assert kinds["successors"].most_bytes() == 5 + 6 * (8 + 1)


def test_factor_rows_of_another_size_are_refused_by_the_setting() -> None:
    [blob], _ = of_kind("items", 0)
    with pytest.raises(UnknownVersion, match=r"factors\.size is not what it was"):
        item_kind(small(factors={"size": 8})).read(blob)


class OneMore(Source):
    """A source from outside the package, with a column of its own."""

    name = "one_more"

    def columns(self) -> list[Column]:
        return [Column("one_more", "<f4")]

    def score_all(self, arrays: Any, users: Any, out: Any) -> None:
        out[:] = arrays.one_more


def other_sources(config: Settings) -> Settings:
    return msgspec.structs.replace(config, extra_sources=(f"{__name__}:OneMore",))


def test_a_signature_is_of_the_sources_and_not_of_the_bounds_of_their_lists() -> None:
    """What a longer list does is found out row by row."""

    def of(**sections: Any) -> str:
        return ItemSchema(sources_of(small(**sections))).signature

    assert of() == of(**LONGER) == of(**SHORTER) == of(content={"size": 8})
    assert of() != of(factors={"size": 8})
    assert of() != ItemSchema(sources_of(other_sources(small()))).signature
    made = [Column("a", "<u4"), Column("n", "<u4"), Column("l", "<u8", 4, sized_by="n")]
    for n, change in (
        (0, {"dtype": "<i4"}),
        (0, {"name": "b"}),
        (0, {"width": 2}),
        (2, {"kind": "x"}),
    ):
        other = [c._replace(**change) if k == n else c for k, c in enumerate(made)]  # type: ignore[arg-type]
        assert signature(made) != signature(other), change
    assert signature(made) == signature([c._replace(width=9) if c.sized_by else c for c in made])
    assert signature(made) == signature([*made, Column("x", "<u4", stored=False)])


def test_columns_go_to_the_kind_that_they_name() -> None:
    made = [Column("a", "<u4"), Column("b", "<u2", 0, "other"), Column("c", "?", stored=False)]
    kinds = kinds_of(made, {"other": "some.bound"})
    assert {name: [c.name for c in kind.columns] for name, kind in kinds.items()} == {
        "items": ["a"], "other": ["b"],
    }  # fmt: skip
    with pytest.raises(UnknownVersion, match=r"other rows.*some\.bound is not what it was"):
        kinds["other"].read(b"\x03")


@pytest.mark.parametrize(("rows", "length"), [(0, 4), (4, 4), (5, 8), (100, 100)])
def test_arrays_grow_at_least_to_twice_their_rows(rows: int, length: int) -> None:
    arrays = Arrays([Column("a", "<f4", 2), Column("b", "<u8")], 4)
    arrays.a[:], arrays.b[:] = np.arange(8).reshape(4, 2), np.arange(4)
    before = arrays.a
    assert arrays.reserve(rows) == (length != 4) == (arrays.a is not before)
    assert arrays.a.shape == (length, 2) and arrays.b.shape == (length,)
    assert (arrays.a[:4] == before).all() and not arrays.a[4:].any()
    arrays.keep(np.array([3, 1]), 5)
    assert arrays.b.tolist() == [3, 1, 0, 0, 0] and arrays.a[0].tolist() == [6.0, 7.0]
    with pytest.raises(AttributeError, match="c"):
        _ = arrays.c


def test_a_changed_entry_is_noted_and_two_of_them_are_all() -> None:
    changed = np.zeros(3, np.int32)
    for row, entry in ((0, 4), (0, 4), (1, 4), (1, 5)):
        schema.note(changed, row, entry)
    assert changed.tolist() == [5, schema.ALL, 0]
    schema.note(changed, 2, -1)
    schema.note(changed, 2, 3)
    assert changed[2] == schema.ALL
