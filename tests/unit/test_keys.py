"""Item keys: the hash, the index from keys to rows, and the numbers drawn from keys."""

from hashlib import blake2b

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamrec.state import keys
from streamrec.state.keys import KeyIndex, field_of, grow, key_of

WORD = (1 << 64) - 1
# the first outputs of splitmix64 seeded with 0 (its state is a multiple of the golden ratio)
GOLDEN = 0x9E3779B97F4A7C15
SPLITMIX64 = [0xE220A8397B1DCDAF, 0x6E789E6AA1B965F4, 0x06C45D188009454F]
# few distinct keys, many of them with equal upper bits, so that slots collide
KEYS = st.one_of(st.integers(0, 20), st.integers(0, WORD), st.integers(0, 9).map(lambda n: n << 60))


def mixed(x: int) -> int:
    x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) & WORD
    x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) & WORD
    return x ^ (x >> 31)


@pytest.mark.parametrize("name", ["", "i1", "größe/7", "x" * 500])
def test_a_key_is_the_start_of_the_hash(name: str) -> None:
    expected = blake2b(name.encode("utf-8"), digest_size=8).digest()
    assert field_of(name) == key_of(name).to_bytes(8, "little") == expected


def test_mix_is_splitmix64() -> None:
    assert [int(keys.mix(np.uint64((GOLDEN * n) & WORD))) for n in (1, 2, 3)] == SPLITMIX64


@given(st.integers(0, WORD))
def test_mix_and_uniform_equal_plain_python(x: int) -> None:
    assert int(keys.mix(np.uint64(x))) == mixed(x)
    found = float(keys.uniform(np.uint64(x)))
    assert found == (x >> 11) / 2**53
    assert 0.0 <= found < 1.0


@settings(max_examples=60)
@given(st.lists(st.lists(KEYS, max_size=40), max_size=8), st.integers(1, 8))
def test_an_index_gives_rows_in_the_order_of_first_use(
    batches: list[list[int]], capacity: int
) -> None:
    index = KeyIndex(capacity)
    model: dict[int, int] = {}
    for batch in batches:
        unknown = [-1 if key not in model else model[key] for key in batch]
        assert index.rows(np.array(batch, np.uint64)).tolist() == unknown
        found = index.add(np.array(batch, np.uint64)).tolist()
        for key in batch:
            model.setdefault(key, len(model))
        assert found == [model[key] for key in batch]
        assert index.size == len(model)
        assert index.keys[: index.size].tolist() == list(model)
        assert 2 * index.size <= len(index.slot_rows)


def test_an_index_holds_a_hundred_thousand_keys() -> None:
    index = KeyIndex()
    wanted = np.random.default_rng(1).integers(0, WORD, 100_000, np.uint64)
    for part in np.array_split(wanted, 7):
        index.add(part)
    assert index.rows(wanted).tolist() == list(range(100_000))
    assert (index.rows(wanted + np.uint64(1)) == -1).all()


def test_looking_up_adds_nothing() -> None:
    index = KeyIndex()
    index.add(np.array([5], np.uint64))
    before = index.slot_rows.tobytes()
    index.rows(np.arange(1000, dtype=np.uint64))
    assert index.size == 1
    assert index.slot_rows.tobytes() == before


@pytest.mark.parametrize("fill", [0, -1])
@pytest.mark.parametrize(("rows", "length"), [(0, 4), (4, 4), (5, 8), (100, 100)])
def test_grow_at_least_doubles(rows: int, length: int, fill: int) -> None:
    array = np.arange(8, dtype=np.float32).reshape(4, 2)
    grown = grow(array, rows, fill)
    assert len(grown) == length
    assert (grown[:4] == array).all()
    assert (grown[4:] == fill).all()
    assert (grown is array) == (length == 4)
