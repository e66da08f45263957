"""The message between the folds: what one batch of one source tells one item partition.

One record covers the source's offsets [first, next); each update carries its event's offset, so a
receiver that has applied part of the range applies the rest. Columns of events and tables of what
is to be learnt of items, version first, no pickle: z and g are shared by all updates of one event
(half floats); items are indexes into `keys`.
"""

from typing import Any, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from streamrec.blend.learned import Click
from streamrec.errors import UnknownVersion

VERSION = 6
Array = NDArray[Any]
AT = [("event", "<u4"), ("key", "<u4")]
"""What each row of a table is about: the number of the event, the index of the item in `keys`."""
ITEM = np.dtype([*AT, ("gain", "<f4"), ("ts", "<i8"), ("counts", "u1"), ("gap", "u1")])
"""An event names an item: popularity to add, as of when; 0: it was counted when it was held; how
long ago the same user took it (repeats.gap_code)."""
SCORED = np.dtype([*AT, ("log_q", "<f4"), ("rest", "<f4"), ("y", "u1")])
"""A target or negative to step: log q, R, y of sources/factors.py."""
CONTEXT = np.dtype([*AT, ("weight", "<f4")])
"""A history item to step by weight * g."""
PAIR = np.dtype([*AT, ("other", "<u8"), ("rank", "u1")])
"""The item's list learns of another item; rank 0: the newest earlier one; 128 and more: reverse."""
TABLES = {"items": ITEM, "scored": SCORED, "context": CONTEXT, "pairs": PAIR}
COLUMNS: tuple[tuple[str, Any], ...] = (
    ("keys", "<u8"),  # items named below
    ("offsets", "<i8"),  # events: offset, event time, log time, weight, z, context gradient
    ("ts", "<i8"),
    ("times", "<i8"),
    ("weights", "<f4"),
    ("z", "<f2"),
    ("g", "<f2"),
    *TABLES.items(),
)
EMPTY = {name: np.zeros(0, dtype) for name, dtype in COLUMNS}


class Header(msgspec.Struct, array_like=True, gc=False):
    """What the receiver checks before it reads the columns."""

    source: str
    start: int  # the offset where the source shard began
    first: int
    next: int
    size: int  # factor size
    lengths: list[int] = []
    ids: list[tuple[int, str]] = []  # index into keys, id: for items an event names
    metadata: list[tuple[int, int, bytes]] = []  # offset, key, catalogue JSON
    samples: list[tuple[int, bytes]] = []  # offset, what the learned blend learns from a click


class Updates(msgspec.Struct, gc=False):
    """One record: header and one array a column; absent columns are empty."""

    header: Header
    columns: dict[str, Array]
    clicks: list[Click] = []  # for the learned blend, of this process: they have no bytes

    def __getitem__(self, name: str) -> Array:
        """Return one column."""
        return self.columns[name]


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Header)


class Learnt(NamedTuple):
    """One record as the owner's sources learn it."""

    columns: dict[str, Array]
    known: Array  # int32[keys], rows of the record's items here, -1 unknown
    fresh: Array  # bool[events], not applied before
    events: tuple[Array, Array, Array, Array]  # known, fresh, weights, ts: what pairs ask for

    def unknown(self) -> int:
        """Return how many fresh updates are of items without a row here."""
        if not len(self.known) or self.known.min() >= 0:
            return 0
        tables = [self.columns[name] for name in ("scored", "context", "pairs")]
        return sum(int(((self.known[t["key"]] < 0) & self.fresh[t["event"]]).sum()) for t in tables)


def learnt(record: Updates, known: Array, mark: int) -> Learnt:
    """Return what of a record is to be learnt: the updates of events at offsets >= mark."""
    c = record.columns
    fresh = c["offsets"] >= mark
    return Learnt(c, known, fresh, (known, fresh, c["weights"], c["ts"]))


def make(header: Header, columns: dict[str, Array]) -> Updates:
    """Return one record, with samples to be added; columns as COLUMNS says, absent ones empty."""
    filled: dict[str, Array] = EMPTY | columns
    for name in ("z", "g"):
        filled[name] = filled[name].reshape(-1, header.size)
    return Updates(header, filled)


def most_bytes(factors: int, negatives: int, context: int, window: int, held: int) -> int:
    """Return the bytes that one event adds to a record at most, but for ids and samples.

    With the event that it releases, of which `held` earlier items at most are told.
    """
    size = {name: np.dtype(dtype).itemsize for name, dtype in COLUMNS}
    rows = {
        "items": 2,
        "scored": 2 * (1 + negatives),
        "context": context + min(held, context),
        "pairs": 2 * window + 1 + 2 * min(held, window),  # 1: its segment's
    }
    event = sum(size[name] for name in ("offsets", "ts", "times", "weights"))
    # their own, the segment, negatives, history
    items = 2 + 1 + 2 * negatives + max(context, window) + held
    tables = sum(size[name] * count for name, count in rows.items())
    total: int = 2 * event + tables + items * size["keys"] + 2 * 2 * factors * size["z"]
    return total


def encode(record: Updates) -> bytes:
    """Return the bytes of one record."""
    parts = [record[name].astype(dtype, copy=False).tobytes() for name, dtype in COLUMNS]
    record.header.lengths = [len(part) for part in parts]
    head = _encoder.encode(record.header)
    return b"".join([bytes((VERSION,)), len(head).to_bytes(4, "little"), head, *parts])


def decode(value: bytes) -> Updates:
    """Return the record; raises UnknownVersion when it is not one of ours, or damaged."""
    if not value or value[0] != VERSION:
        raise UnknownVersion(
            f"an update record of version {value[0] if value else 'none'}, this code reads "
            f"{VERSION}: upgrade all learn processes, or point kafka.updates_topic at our own topic"
        )
    try:
        record = _read(value)
        _check(record)
    except (msgspec.MsgspecError, ValueError) as error:
        raise UnknownVersion(
            f"a damaged update record ({error}): something else writes to kafka.updates_topic, or "
            "the log was changed; only streamrec may write there"
        ) from None
    return record


def _read(value: bytes) -> Updates:
    end = 5 + int.from_bytes(value[1:5], "little")
    header = _decoder.decode(value[5:end])
    columns = {}
    for (name, dtype), length in zip(COLUMNS, header.lengths, strict=True):
        columns[name] = np.frombuffer(value, dtype, length // np.dtype(dtype).itemsize, end)
        end += length
    if end != len(value):
        raise ValueError("its length is not what the header says")
    for name in ("z", "g"):
        columns[name] = columns[name].reshape(-1, header.size)
    return Updates(header, columns)


def _check(record: Updates) -> None:
    """Raise ValueError unless what tables point at is there."""
    events, keys = len(record["offsets"]), len(record["keys"])
    for name in TABLES:
        table = record[name]
        for field, bound in (("event", events), ("key", keys)):
            if len(table) and int(table[field].max()) >= bound:
                raise ValueError(f"the {field} of {name} is outside")
        if (np.diff(table["event"].astype(np.int64)) < 0).any():
            raise ValueError(f"{name} are not in the order of events")
    for name in ("ts", "times", "weights", "z", "g"):
        if len(record[name]) != events:
            raise ValueError(f"{name} is not one an event")
    if any(at >= keys for at, _ in record.header.ids):
        raise ValueError("ids points outside")
