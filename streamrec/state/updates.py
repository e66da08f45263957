"""The message between the folds: what one batch of one source tells one item partition.

One record covers the source's offsets [first, next); each update carries its event's offset, so a
receiver that has applied part of the range applies the rest. Columns, version first, no pickle:
z and g are shared by all updates of one event (half floats); items are indexes into `keys`.
"""

from typing import Any, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from streamrec.errors import UnknownVersion

VERSION = 3
Array = NDArray[Any]
COLUMNS: tuple[tuple[str, str], ...] = (
    ("keys", "<u8"),  # items named below
    ("offsets", "<i8"),  # events: offset, event time, log time, weight, z, context gradient
    ("ts", "<i8"),
    ("times", "<i8"),
    ("weights", "<f4"),
    ("z", "<f2"),
    ("g", "<f2"),
    ("item_events", "<u4"),  # events that name an item: event, item, popularity to add, as of when
    ("item_keys", "<u4"),
    ("item_gains", "<f4"),
    ("item_ts", "<i8"),
    ("scored_events", "<u4"),  # targets and negatives to step: event, item, log q, R, y
    ("scored_keys", "<u4"),
    ("scored_log_q", "<f4"),
    ("scored_rest", "<f4"),
    ("scored_y", "u1"),
    ("context_events", "<u4"),  # history items to step by w g
    ("context_keys", "<u4"),
    ("context_weights", "<f4"),
    ("pair_events", "<u4"),  # neighbours: event, row's item, other item, rank (128: reverse)
    ("pair_keys", "<u4"),
    ("pair_others", "<u8"),
    ("pair_ranks", "u1"),
)
EMPTY = {name: np.zeros(0, dtype) for name, dtype in COLUMNS}
GROUPS = ("item_", "scored_", "context_", "pair_")


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

    def __getitem__(self, name: str) -> Array:
        """Return one column."""
        return self.columns[name]


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Header)


class Pairs(NamedTuple):
    """The pairs of one record, and what sources ask of their events; p pairs, n events."""

    events: Array  # uint32[p], the number of the event
    keys: Array  # uint32[p], index of the item whose list learns
    others: Array  # uint64[p], key of the other item
    ranks: Array  # uint8[p], 0 the newest earlier item; 128 and more: of the reverse pair
    known: Array  # int32[keys], rows of the record's items here, -1 unknown
    fresh: Array  # bool[n], not applied before
    weights: Array  # float32[n]
    ts: Array  # int64[n], event time, ms


class Learnt(NamedTuple):
    """One record as the owner's sources learn it."""

    columns: dict[str, Array]
    known: Array  # int32[keys]
    fresh: Array  # bool[n]
    pairs: tuple[Array, ...]  # Pairs as a plain tuple: a kernel is called with it in half the time

    def unknown(self) -> int:
        """Return how many fresh updates are of items without a row here."""
        if not len(self.known) or self.known.min() >= 0:
            return 0
        c, total = self.columns, 0
        for group in ("scored", "context", "pair"):
            lost = self.known[c[f"{group}_keys"]] < 0
            total += int((lost & self.fresh[c[f"{group}_events"]]).sum())
        return total


def learnt(record: Updates, known: Array, mark: int) -> Learnt:
    """Return what of a record is to be learnt: the updates of events at offsets >= mark."""
    c = record.columns
    fresh = c["offsets"] >= mark
    pairs = tuple(Pairs(
        c["pair_events"], c["pair_keys"], c["pair_others"], c["pair_ranks"], known, fresh,
        c["weights"], c["ts"],
    ))  # fmt: skip
    return Learnt(c, known, fresh, pairs)


def make(header: Header, columns: dict[str, Array]) -> Updates:
    """Return one record, with samples to be added; columns as COLUMNS says, absent ones empty."""
    filled: dict[str, Array] = EMPTY | columns
    for name in ("z", "g"):
        filled[name] = filled[name].reshape(-1, header.size)
    return Updates(header, filled)


def most_bytes(factors: int, negatives: int, context: int, window: int) -> int:
    """Return the bytes that one event adds to a record at most, but for ids and samples."""
    size = {name: np.dtype(dtype).itemsize for name, dtype in COLUMNS}
    entries = {"item_": 1, "scored_": 1 + negatives, "context_": context, "pair_": 2 * window + 1}
    grouped = sum(size[n] * k for group, k in entries.items() for n in size if n.startswith(group))
    event = sum(size[n] for n in ("offsets", "ts", "times", "weights"))
    items = 2 + negatives + max(context, window)  # its own, its segment, negatives, history
    return event + grouped + items * size["keys"] + 2 * factors * size["z"]


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
    """Raise ValueError unless columns have one length a group and indexes point into it."""
    events, keys = len(record["offsets"]), len(record["keys"])
    for group in GROUPS:
        names = [name for name, _ in COLUMNS if name.startswith(group)]
        lengths = {len(record[name]) for name in names}
        if len(lengths) != 1:
            raise ValueError(f"columns {group} differ in length")
        for index, bound in ((f"{group}events", events), (f"{group}keys", keys)):
            if len(record[index]) and int(record[index].max()) >= bound:
                raise ValueError(f"{index} points outside")
        if (np.diff(record[f"{group}events"].astype(np.int64)) < 0).any():
            raise ValueError(f"{group}events is not in order")
    for name in ("ts", "times", "weights", "z", "g"):
        if len(record[name]) != events:
            raise ValueError(f"{name} is not one an event")
    if any(at >= keys for at, _ in record.header.ids):
        raise ValueError("ids points outside")
