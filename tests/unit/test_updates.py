"""The record between the folds: what goes in comes out, and foreign bytes are refused by name."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from laws.world import TYPES, event, raws, small

from streamrec.errors import StreamrecError, UnknownVersion
from streamrec.flow import Flow, record_bytes
from streamrec.state import updates
from streamrec.state.updates import COLUMNS, TABLES, Header, decode

SIZE = 4
IDS = [(0, "a"), (1, "größe/7")]
METADATA = [(5, 2**64 - 1, b'{"item":"a"}'), (6, 0, b"")]


def columns(events: int, seed: int = 1) -> dict[str, Any]:
    """Return columns with a few updates for each of the events; halves are exact in z and g."""
    rng = np.random.default_rng(seed)
    found = {}
    for name, dtype in COLUMNS:
        if name in ("z", "g"):
            found[name] = rng.integers(-9, 9, (events, SIZE)).astype(np.float32) / 2
        elif name in ("offsets", "ts", "times", "weights"):
            found[name] = np.arange(events).astype(dtype)
        elif name == "keys":
            found[name] = rng.integers(0, 2**64, 7, np.uint64)
        else:
            found[name] = np.zeros(2 * events, dtype)
            for field in dtype.names:
                top = {"event": max(events, 1), "key": 7}.get(field, 2)
                found[name][field] = rng.integers(0, top, 2 * events)
            found[name]["event"].sort()
    return found


def header() -> Header:
    return Header("u3", 10, 20, 30, SIZE, ids=list(IDS), metadata=list(METADATA))


def encoded(sent: dict[str, Any]) -> bytes:
    return updates.encode(updates.make(header(), sent))


def record(events: int = 3) -> bytes:
    return encoded(columns(events))


@settings(max_examples=30)
@given(st.integers(0, 9), st.integers(0, 99))
def test_a_record_comes_back(events: int, seed: int) -> None:
    sent = columns(events, seed)
    back = decode(encoded(sent))
    head = back.header
    assert (head.source, head.start, head.first, head.next) == ("u3", 10, 20, 30)
    assert (head.size, head.ids, head.metadata) == (SIZE, IDS, METADATA)
    for name, dtype in COLUMNS:
        assert (back[name] == sent[name]).all(), name
        assert back[name].dtype == np.dtype(dtype)
        assert back[name].shape == sent[name].shape


def test_a_record_that_was_not_sent_is_the_same_to_its_receiver() -> None:
    typed = {name: columns(3)[name].astype(dtype) for name, dtype in COLUMNS}
    made = updates.make(header(), typed)
    made.header.samples.append((21, b"what the blend learns"))
    back = decode(updates.encode(made))
    assert back.header == made.header and back.header.samples == [(21, b"what the blend learns")]
    for name, _ in COLUMNS:
        assert (back[name] == made[name]).all() and back[name].dtype == made[name].dtype, name


def test_absent_columns_are_empty() -> None:
    back = decode(updates.encode(updates.make(Header("m0", 0, 0, 5, SIZE), {})))
    assert {len(back[name]) for name, _ in COLUMNS} == {0}
    assert back["z"].shape == (0, SIZE)


def test_vectors_lose_no_more_than_half_floats_do() -> None:
    z = np.linspace(-3, 3, SIZE, dtype=np.float32)[None]
    back = decode(encoded(columns(1) | {"z": z}))
    assert back["z"] == pytest.approx(z, rel=1e-3)


@pytest.mark.parametrize("value", [b"", b"\x09", b"\x09" + record()[1:], b"{}", b"hello"])
def test_another_version_is_named(value: bytes) -> None:
    with pytest.raises(UnknownVersion, match="kafka.updates_topic"):
        decode(value)


def test_a_cut_record_is_refused() -> None:
    whole = record()
    assert [n for n in range(len(whole)) if not refused(whole[:n])] == []
    assert refused(whole + b"\0")


@given(st.binary(max_size=80))
def test_foreign_bytes_are_refused(tail: bytes) -> None:
    assert refused(bytes((updates.VERSION,)) + tail)


@given(st.integers(0, len(record()) - 1), st.integers(0, 255))
def test_a_changed_byte_gives_a_record_or_an_error_of_ours(at: int, byte: int) -> None:
    damaged = bytearray(record())
    damaged[at] = byte
    try:
        decode(bytes(damaged))
    except StreamrecError:
        pass


@pytest.mark.parametrize("shorter", ["z", "g", "ts", "weights"])
def test_columns_that_do_not_fit_each_other_are_refused(shorter: str) -> None:
    """The kernels do not check bounds: a short column would make them read foreign memory."""
    sent = columns(3)
    sent[shorter] = sent[shorter][:-1]
    assert refused(encoded(sent))


def test_indexes_outside_their_column_are_refused() -> None:
    for name in TABLES:
        for field in ("key", "event"):
            sent = columns(3)
            sent[name][field] += 1_000_000
            assert refused(encoded(sent))


CLICKS = st.builds(
    lambda user, item, kind, segment: event(f"u{user}", f"i{item}", kind, segment=f"s{segment}"),
    *(st.integers(0, 2), st.integers(0, 30), st.sampled_from(TYPES), st.integers(0, 4)),
)
BOUNDS = [{}, {"successors": {"window": 9}}, {"factors": {"context": 5, "negatives": 1}}]


def lengths(
    bounds: dict[str, Any], log: list[dict[str, Any]], batch: int, parts: int
) -> list[float]:
    """Return the length of each record, by what its events were said to make at most."""
    flow = Flow(small(**({"users": {"recent_items": 30}} | bounds)), 1, parts)
    each = record_bytes(flow.settings)
    folds = [flow.learn(raws(log)[n : n + batch]) for n in range(0, len(log), batch)]
    return [
        sum(one[name].nbytes for name, _ in COLUMNS) / (each * fold.counts.accepted)
        for fold in folds
        for one in fold.records
    ]


@settings(max_examples=30)
@given(st.sampled_from(BOUNDS), st.lists(CLICKS, max_size=40), st.integers(1, 8), st.integers(1, 3))
def test_no_record_is_longer_than_is_said_before(
    bounds: dict[str, Any], log: list[dict[str, Any]], batch: int, parts: int
) -> None:
    """Or a broker would refuse it, and the partition would stand still for good."""
    assert max(lengths(bounds, log, batch, parts), default=0) <= 1


@pytest.mark.parametrize("bounds", BOUNDS)
def test_and_little_more_is_said_than_an_event_with_a_long_history_makes(
    bounds: dict[str, Any],
) -> None:
    log = [event("u0", f"i{n}", ts=n, segment=f"s{n}") for n in range(60)]
    # the rest is for the event that one may release besides (state/newcomers.py)
    assert 0.45 < max(lengths(bounds, log, 1, 1)) <= 1


def refused(value: bytes) -> bool:
    """Say whether it is refused with an error of ours, not with a bare one."""
    try:
        decode(value)
    except StreamrecError:
        return True
    except Exception:
        return False
    return False
