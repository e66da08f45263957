"""Batches as kafka-python delivers them: any damage ends in records and one Unreadable."""

import sys
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kafka.record.default_records import DefaultRecordBatchBuilder

from streamrec.transport.kafka import batch_codecs
from streamrec.transport.kafka.batch_codecs import CODECS, CodecMissing, decompress
from streamrec.transport.kafka.kafka_python_batches import ReadableBatch
from streamrec.transport.kafka.log import Cut, Unreadable

HEADER = 61
VALUES = [b"value %d " % n * 20 for n in range(10)]


def packed(codec: int, values: list[bytes] = VALUES) -> bytes:
    """Return a batch of these values at offsets 100, 101, ..."""
    builder = DefaultRecordBatchBuilder(2, codec, False, -1, -1, -1, 1 << 30)
    for n, value in enumerate(values):
        builder.append(n, 1000, b"key", value, [])
    batch = bytearray(builder.build())
    batch[:8] = (100).to_bytes(8)
    return bytes(batch)


def read(batch: bytes) -> list[tuple[int, bytes]]:
    return [(record.offset, record.value) for record in ReadableBatch(batch)]


@pytest.mark.parametrize("codec", [0, *CODECS])
def test_sound_batches_are_read(codec: int) -> None:
    assert read(packed(codec)) == [(100 + n, value) for n, value in enumerate(VALUES)]


@settings(max_examples=300)
@given(st.sampled_from([0, *CODECS]), st.data())
def test_any_damage_keeps_offsets_in_order_and_ends_with_the_batch(
    codec: int, data: st.DataObject
) -> None:
    """Bytes are changed, cut off or added behind the header: what follows is one Unreadable."""
    batch = bytearray(packed(codec))
    at = data.draw(st.integers(HEADER, len(batch) - 1))
    batch[at : at + data.draw(st.integers(0, 8))] = data.draw(st.binary(max_size=8))
    found = read(bytes(batch))
    whole = [value for _, value in found if not isinstance(value, Unreadable)]
    if len(whole) < len(found):
        assert len(whole) == len(found) - 1 and found[-1][0] == 109
        assert b"offsets 100 to 109" in found[-1][1]


@pytest.mark.parametrize("codec", CODECS)
def test_what_is_longer_than_the_bound_is_not_decompressed(
    codec: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch = packed(codec, [b"x" * 50_000] * 3)
    monkeypatch.setattr(batch_codecs, "MOST_BATCH_BYTES", 100_000)
    [(offset, why)] = read(batch)
    assert offset == 102 and isinstance(why, Unreadable) and b"more than 100000 bytes" in why


def test_gzip_of_two_members_counts_as_one() -> None:
    two = b"".join(zlib.compress(part, wbits=31) for part in (b"one", b"two"))
    assert decompress(1, two) == b"onetwo"


def test_a_batch_of_very_many_empty_gzip_streams_is_not_read() -> None:
    sound, empty = packed(1), zlib.compress(b"", wbits=31)
    [*_, (offset, why)] = read(sound + empty * 1000)
    assert offset == 109 and isinstance(why, Unreadable) and b"more than 100 gzip" in why
    assert len(read(sound + empty * 99)) == len(VALUES)


@pytest.mark.parametrize(("codec", "package"), [(2, "cramjam"), (3, "lz4.frame"), (4, "zstandard")])
def test_a_missing_package_is_named(
    codec: int, package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch = packed(codec)
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(CodecMissing, match=f"pip install {package.partition('.')[0]}"):
        read(batch)


def test_a_value_that_is_too_long_is_cut() -> None:
    value = b"y" * (9 << 20)
    [(_, found)] = read(packed(1, [value]))
    assert isinstance(found, Cut) and found.length == len(value) and len(found) == 1 << 20
