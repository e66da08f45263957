"""Row codecs: the bytes of user, factor and neighbour rows in Redis. Version first, no pickle.

A row is a fixed header followed by columns of which only the used part is stored:
user       header | keys u64 | ts i64 | types u8 | takes u8 | seen u32
neighbours header | keys u64 | weights f32 | counts u32
cosine     header | keys u64 | weights f32
successors header | keys u64 | ranks u8
factors    one fixed record that depends on the factor size
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from streamrec.errors import UnknownVersion

VERSION = 2
Array = NDArray[Any]

USER_HEADER = np.dtype(
    [
        ("version", "u1"),
        ("reserved", "u1"),
        ("recent", "<u2"),
        ("seen", "<u2"),
        ("seen_next", "<u2"),  # the oldest of a full ring of seen hashes, overwritten next
        ("events", "<u4"),
        ("tokens", "<f4"),
        ("offset", "<i8"),  # of the last event that changed this row
        ("clock", "<i8"),  # log time of the last event, ms
        ("segment", "<u8"),  # key of the segment last named, or 0
    ]
)
USER_WIDTHS = (8, 8, 1, 1, 4)
LIST_HEADER = np.dtype(
    [("version", "u1"), ("reserved", "u1"), ("size", "<u2"), ("total", "<u4"), ("clock", "<i8")]
)
LIST_COLUMNS = {
    "neighbours": ("<u8", "<f4", "<u4"),
    "cosine": ("<u8", "<f4"),
    "successors": ("<u8", "u1"),
}


def factor_dtype(size: int) -> np.dtype[np.void]:
    """Return the record of one factor row: counters, popularity, bias, Adagrad sums, t and e."""
    return np.dtype(
        [
            ("version", "u1"),
            ("reserved", "u1", 3),
            ("events", "<u4"),
            ("pairs", "<u4"),
            ("popularity", "<f4", 3),
            ("clock", "<i8"),
            ("born", "<i8"),
            ("bias", "<f4"),
            ("bias_sum", "<f4"),
            ("target_sum", "<f4"),
            ("offset_sum", "<f4"),
            ("target", "<f4", size),
            ("offset", "<f4", size),
        ]
    )


def check_version(versions: Array, what: str) -> None:
    """Raise UnknownVersion unless every row carries the version this code writes."""
    if (versions != VERSION).any():
        found = sorted({int(v) for v in versions if v != VERSION})
        raise UnknownVersion(
            f"{what} rows of version {found} in Redis, this code reads version {VERSION}: "
            "run the streamrec release that wrote them, or start from an empty Redis"
        )


def encode_factors(records: Array) -> list[bytes]:
    """Return the bytes of each factor record."""
    records["version"] = VERSION
    width = records.dtype.itemsize
    blob = records.tobytes()
    return [blob[n : n + width] for n in range(0, len(blob), width)]


def decode_factors(rows: Sequence[bytes], size: int) -> Array:
    """Return the factor records of the rows' bytes."""
    dtype = factor_dtype(size)
    if any(len(row) != dtype.itemsize for row in rows):
        raise UnknownVersion(
            f"factor rows in Redis are not of factors.size = {size}: "
            "set the size they were written with, or start from an empty Redis"
        )
    records = np.frombuffer(b"".join(rows), dtype)
    check_version(records["version"], "factor")
    return records


@njit(cache=True, nogil=True)
def _pack(headers, columns, rows, lengths, ends):  # type: ignore[no-untyped-def]
    out = np.empty(ends[-1] if len(ends) else 0, np.uint8)
    at = 0
    for n in range(len(rows)):
        for k in range(headers.shape[1]):
            out[at + k] = headers[n, k]
        at += headers.shape[1]
        for c in range(len(columns)):
            source = columns[c][rows[n]]
            for k in range(lengths[n, c]):
                out[at + k] = source[k]
            at += lengths[n, c]
    return out


@njit(cache=True, nogil=True)
def _unpack(blob, starts, columns, rows, lengths):  # type: ignore[no-untyped-def]
    for n in range(len(rows)):
        at = starts[n]
        for c in range(len(columns)):
            target = columns[c][rows[n]]
            for k in range(lengths[n, c]):
                target[k] = blob[at + k]
            at += lengths[n, c]


def pack(headers: Array, columns: Sequence[Array], rows: Array, sizes: Array) -> list[bytes]:
    """Return each row's bytes: header n, then sizes[n, c] entries of columns[c][rows[n]]."""
    headers["version"] = VERSION
    widths = np.array([c.itemsize for c in columns])
    lengths = sizes.astype(np.int64) * widths
    ends = np.cumsum(lengths.sum(axis=1) + headers.dtype.itemsize)
    flat = headers.view(np.uint8).reshape(len(rows), headers.dtype.itemsize)
    blob = _pack(flat, _views(columns), rows, lengths, ends).tobytes()
    starts = [0, *ends.tolist()]
    return [blob[starts[n] : starts[n + 1]] for n in range(len(rows))]


def headers_of(blobs: Sequence[bytes], dtype: np.dtype[np.void], what: str) -> Array:
    """Return the headers of many rows, their version checked."""
    width = dtype.itemsize
    if any(len(b) < width for b in blobs):
        raise UnknownVersion(f"a {what} row in Redis is shorter than its header")
    headers = np.frombuffer(b"".join([b[:width] for b in blobs]), dtype)
    check_version(headers["version"], what)
    return headers


def unpack(
    blobs: Sequence[bytes], header_size: int, columns: Sequence[Array], rows: Array, sizes: Array
) -> None:
    """Write the columns of many rows into columns[c][rows[n]]; the inverse of pack."""
    widths = np.array([c.itemsize for c in columns])
    lengths = sizes.astype(np.int64) * widths
    ends = np.cumsum(np.fromiter(map(len, blobs), np.int64, len(blobs)))
    if (np.diff(ends, prepend=0) != lengths.sum(axis=1) + header_size).any():
        raise UnknownVersion("a row in Redis is longer or shorter than its header says")
    blob = np.frombuffer(b"".join(blobs), np.uint8)
    starts = np.concatenate(([0], ends[:-1])) + header_size
    _unpack(blob, starts, _views(columns), rows, lengths)


def _views(columns: Sequence[Array]) -> tuple[Array, ...]:
    return tuple(c.view(np.uint8).reshape(len(c), -1) for c in columns)


def _check_length(blob: bytes, length: int, what: str) -> None:
    if len(blob) != length:
        raise UnknownVersion(f"a {what} row in Redis is {len(blob)} bytes long, not {length}")


class UserRow(NamedTuple):
    """One user's row; arrays are oldest first."""

    events: int
    offset: int
    clock: int
    segment: int  # key, or 0
    keys: NDArray[np.uint64]
    ts: NDArray[np.int64]
    types: NDArray[np.uint8]
    takes: NDArray[np.uint8]
    seen: NDArray[np.uint32]


def decode_user(blob: bytes) -> UserRow:
    """Return one user row; raises UnknownVersion."""
    header = headers_of([blob], USER_HEADER, "user")[0]
    n = int(header["recent"])
    _check_length(blob, USER_HEADER.itemsize + 18 * n + 4 * int(header["seen"]), "user")
    columns = []
    at = USER_HEADER.itemsize
    for dtype, count in (
        ("<u8", n),
        ("<i8", n),
        ("u1", n),
        ("u1", n),
        ("<u4", int(header["seen"])),
    ):
        columns.append(np.frombuffer(blob, dtype, count, at))
        at += columns[-1].nbytes
    numbers = [int(header[name]) for name in ("events", "offset", "clock", "segment")]
    return UserRow(numbers[0], numbers[1], numbers[2], numbers[3], *columns)


def decode_neighbours(blob: bytes) -> tuple[Array, Array, Array]:
    """Return keys u64, weights f32 and counts u32 of one neighbour row; raises UnknownVersion."""
    n = int(headers_of([blob], LIST_HEADER, "neighbour")[0]["size"])
    at = LIST_HEADER.itemsize
    _check_length(blob, at + 16 * n, "neighbour")
    return (
        np.frombuffer(blob, "<u8", n, at),
        np.frombuffer(blob, "<f4", n, at + 8 * n),
        np.frombuffer(blob, "<u4", n, at + 12 * n),
    )
