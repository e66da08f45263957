"""What a row is made of: a tuple of columns. Arrays, bytes, copies and sizes all follow from it.

Rows of one kind lie in arrays, one entry a row, and one by one in Redis. Their bytes: the version
(u8), then the columns of fixed width as they stand, then of each list the entries in use. No
padding, little-endian, no pickle.
"""

from collections.abc import Iterable, Mapping, Sequence
from hashlib import blake2b
from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from streamrec.errors import UnknownVersion

VERSION = 6
Array = NDArray[Any]


class Column(NamedTuple):
    """One field of a row, wherever it goes."""

    name: str
    dtype: str
    width: int = 0  # entries of one row; 0: one value
    kind: str = "items"  # the rows it is stored with; of what is not stored, those it follows from
    sized_by: str = ""  # of a list: the column that says how many entries were put in
    stored: bool = True
    table: str = "same"  # in the copies that readers keep: as it is; "rows": its keys as rows; ""


class Arrays:
    """Columns of many rows by name, zero at first; reading one is reading an attribute."""

    def __init__(self, columns: Iterable[Column], rows: int) -> None:
        self.__dict__["names"], self.__dict__["_views"] = tuple(c.name for c in columns), {}
        for c in columns:
            shape = (rows, c.width) if c.width or c.sized_by else rows
            self.__dict__[c.name] = np.zeros(shape, c.dtype)

    def __getattr__(self, name: str) -> Array:
        """Only asked for what is not there."""
        raise AttributeError(name)

    def __iter__(self) -> Any:
        return (self.__dict__[name] for name in self.names)

    def named(self, name: str) -> Array:
        """Return one column."""
        array: Array = self.__dict__[name]
        return array

    def views(self, names: tuple[str, ...]) -> tuple[Array, ...]:
        """Return some columns as uint8[rows, bytes], so that all are of one type."""
        found: tuple[Array, ...] | None = self.__dict__["_views"].get(names)
        if found is None:
            found = views([self.__dict__[name] for name in names])
            self.__dict__["_views"][names] = found
        return found

    def reserve(self, rows: int) -> bool:
        """Make room for so many rows, at least twice as many as before; say if that was needed."""
        before = len(self.__dict__[self.names[0]])
        if rows > before:
            self.keep(slice(before), max(rows, 2 * before))
        return rows > before

    def keep(self, at: Array | slice, room: int) -> None:
        """Keep rows `at` alone, in their order, with room for more."""
        self.__dict__["_views"].clear()
        for name in self.names:
            kept = self.__dict__[name][at]
            new = np.zeros((max(room, len(kept)), *kept.shape[1:]), kept.dtype)
            new[: len(kept)] = kept
            self.__dict__[name] = new


class Kind:
    """One kind of stored row: how it lies in bytes."""

    def __init__(self, name: str, columns: Iterable[Column], settings: str = "") -> None:
        self.name = name
        self.settings = settings  # which bound its lists, for messages
        mine = [c for c in columns if c.kind == name and c.stored]
        self.fixed = tuple(c for c in mine if not c.sized_by)
        self.lists = tuple(c for c in mine if c.sized_by)
        self.header = np.dtype(
            [
                ("version", "u1"),
                *((c.name, c.dtype, (c.width,) * bool(c.width)) for c in self.fixed),
            ]
        )

    @property
    def columns(self) -> tuple[Column, ...]:
        """All columns that are stored."""
        return self.fixed + self.lists

    def most_bytes(self) -> int:
        """Return the size of the longest row."""
        lists = sum(np.dtype(c.dtype).itemsize * c.width for c in self.lists)
        return self.header.itemsize + lists

    def pack(self, arrays: Any, at: Array) -> list[bytes]:
        """Return the bytes of rows `at`."""
        headers = np.zeros(len(at), self.header)
        headers["version"] = VERSION
        for c in self.fixed:
            headers[c.name] = getattr(arrays, c.name)[at]
        if not self.lists:
            blob, width = headers.tobytes(), self.header.itemsize
            return [blob[n : n + width] for n in range(0, len(blob), width)]
        lists = [getattr(arrays, c.name) for c in self.lists]
        lengths = self._used(headers) * [np.dtype(c.dtype).itemsize for c in self.lists]
        ends = np.cumsum(lengths.sum(axis=1) + self.header.itemsize)
        flat = headers.view(np.uint8).reshape(len(at), self.header.itemsize)
        blob = _pack(flat, views(lists), at, lengths, ends).tobytes()
        starts = [0, *ends.tolist()]
        return [blob[starts[n] : starts[n + 1]] for n in range(len(at))]

    def headers(self, blobs: Sequence[bytes]) -> Array:
        """Return the fixed columns of rows as one record each. Raises UnknownVersion."""
        width = self.header.itemsize
        lengths = set(map(len, blobs))
        if min(lengths, default=width) < width:
            raise self._unfit(f"a row of {min(lengths)} bytes")
        if not self.lists and max(lengths, default=width) > width:
            raise self._unfit("a row of another length")
        heads = blobs if not self.lists else [blob[:width] for blob in blobs]
        headers = np.frombuffer(b"".join(heads), self.header)
        check_version(headers["version"], self.name)
        return headers

    def unpack(self, arrays: Any, at: Array, blobs: Sequence[bytes]) -> None:
        """Write stored rows into rows `at`; the inverse of pack. Raises UnknownVersion."""
        headers = self.headers(blobs)
        for c in self.fixed:
            getattr(arrays, c.name)[at] = headers[c.name]
        lists = [getattr(arrays, c.name) for c in self.lists]
        self._unpack_lists(self._used(headers), blobs, lists, at)

    def unpack_longer(
        self, headers: Array, blobs: Sequence[bytes]
    ) -> tuple[NDArray[np.int64], list[Array]]:
        """Return how many entries rows have, int64[rows], and their lists [rows, most of them].

        For readers: the lists, all of one size, may have been stored under a longer bound.
        """
        each = sum(np.dtype(c.dtype).itemsize for c in self.lists)
        lengths = np.fromiter(map(len, blobs), np.int64, len(blobs)) - self.header.itemsize
        found, least = lengths // max(1, each), self._used(headers).max(axis=1, initial=0)
        sizes = headers[self.lists[0].sized_by].astype(np.int64) if self.lists else 0
        if ((found > sizes) | (found < least)).any():
            raise self._unfit("a row longer or shorter than it says")
        lists = [np.zeros((len(blobs), found.max(initial=1)), c.dtype) for c in self.lists]
        used = np.repeat(found[:, None], len(lists), axis=1)
        self._unpack_lists(used, blobs, lists, np.arange(len(blobs)))
        return found, lists

    def _unpack_lists(
        self, used: Array, blobs: Sequence[bytes], lists: Sequence[Array], at: Array
    ) -> None:
        """Write the first used int64[rows, lists] entries of stored lists to rows `at` of lists."""
        if not self.lists:
            return
        lengths = used * [np.dtype(c.dtype).itemsize for c in self.lists]
        ends = np.cumsum(np.fromiter(map(len, blobs), np.int64, len(blobs)))
        fit = np.diff(ends, prepend=0) == lengths.sum(axis=1) + self.header.itemsize
        if not fit.all() or (used < 0).any():
            raise self._unfit("a row longer or shorter than it says")
        blob = np.frombuffer(b"".join(blobs), np.uint8)
        starts = np.concatenate(([0], ends[:-1])) + self.header.itemsize
        _unpack(blob, starts, views(lists), at, lengths)

    def read(self, blob: bytes) -> dict[str, Any]:
        """Return one row's columns by name; lists are read-only arrays. Raises UnknownVersion."""
        [header] = self.headers([blob]).tolist()
        out: dict[str, Any] = dict(zip([c.name for c in self.fixed], header[1:], strict=True))
        at = self.header.itemsize
        for c in self.lists:
            used = min(out[c.sized_by], c.width)
            if used < 0 or at + used * np.dtype(c.dtype).itemsize > len(blob):
                raise self._unfit("a row shorter than it says")
            out[c.name] = np.frombuffer(blob, c.dtype, used, at)
            at += out[c.name].nbytes
        if at != len(blob):
            raise self._unfit("a row longer than it says")
        return out

    def _used(self, headers: Array) -> Array:
        """Return int64[rows, lists]: how many entries of each list are in use."""
        out = np.empty((len(headers), len(self.lists)), np.int64)
        for k, c in enumerate(self.lists):
            out[:, k] = np.minimum(headers[c.sized_by].astype(np.int64), c.width)
        return out

    def _unfit(self, found: str) -> UnknownVersion:
        cause = f"{self.settings} is not what it was" if self.settings else "it is damaged"
        return UnknownVersion(
            f"{self.name} rows in Redis: {found}; {cause}: set it to what it was when the rows "
            "were written, or start from an empty Redis"
        )


def kinds_of(columns: Sequence[Column], settings: Mapping[str, str]) -> dict[str, Kind]:
    """Return the kinds of stored rows that the columns make up, in the order of their columns."""
    names = dict.fromkeys(c.kind for c in columns if c.stored)
    return {name: Kind(name, columns, settings.get(name, "")) for name in names}


def signature(columns: Iterable[Column]) -> str:
    """Return 8 hex digits that are the same for the same stored columns, however long their lists.

    A list that was stored under another bound is found out by its row.
    """
    text = repr([c._replace(width=0) if c.sized_by else c for c in columns if c.stored])
    return blake2b(text.encode(), digest_size=4).hexdigest()


def check_version(versions: Array, what: str) -> None:
    """Raise UnknownVersion unless every row carries the version this code writes."""
    if (versions != VERSION).any():
        found = sorted({int(v) for v in versions if v != VERSION})
        raise UnknownVersion(
            f"{what} rows of version {found} in Redis, this code reads version {VERSION}: "
            "run the streamrec release that wrote them, or start from an empty Redis"
        )


def views(columns: Sequence[Array]) -> tuple[Array, ...]:
    """Return the same memory as uint8[rows, bytes], so that all columns are of one type."""
    return tuple(c.view(np.uint8).reshape(len(c), -1) for c in columns)


@njit(cache=True, nogil=True)
def _pack(headers, columns, rows, lengths, ends):  # type: ignore[no-untyped-def]
    """Return uint8[ends[-1]]: header n, then the first lengths[n, c] bytes of columns[c][rows[n]].

    headers: uint8[n, H]; columns: uint8[rows, bytes] each; lengths: int64[n, lists]; ends:
    int64[n].
    """
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
    """Write what _pack wrote; starts: int64[n], where in blob uint8[...] each row's lists begin."""
    for n in range(len(rows)):
        at = starts[n]
        for c in range(len(columns)):
            target = columns[c][rows[n]]
            for k in range(lengths[n, c]):
                target[k] = blob[at + k]
            at += lengths[n, c]


@njit(cache=True, nogil=True)
def copy_rows(at, columns, source, mine):  # type: ignore[no-untyped-def]
    """Copy rows `source` of columns to rows `at` of mine; both are tuples of uint8[rows, bytes]."""
    for c in range(len(columns)):
        theirs, ours = columns[c], mine[c]
        for n in range(len(at)):
            a, b = theirs[source[n]], ours[at[n]]
            for k in range(len(a)):
                b[k] = a[k]


ALL = -1
"""Of a list, more than one entry changed; n + 1: only entry n; 0: none."""


@njit(cache=True, nogil=True)
def note(changed, row, entry):  # type: ignore[no-untyped-def]
    """Remember in changed int32[rows] which entry of a row's list changed, -1: all of them."""
    code = entry + 1 if entry >= 0 else ALL
    changed[row] = code if changed[row] == 0 or changed[row] == code else ALL
