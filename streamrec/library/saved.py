"""All that a recommender has learnt, as a header and arrays; and how it goes on from them."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from streamrec import __version__
from streamrec.errors import ConfigurationError, UnknownVersion
from streamrec.evaluation.prequential import Prequential
from streamrec.library import container
from streamrec.library.given import Refused
from streamrec.library.learnt import Learnt
from streamrec.settings.sections import Settings, settings_type
from streamrec.state.item_rows import BLEND, CATALOGUE
from streamrec.state.item_shard import ItemShard
from streamrec.state.metadata_shard import MetadataShard
from streamrec.state.user_shard import UserShard

Array = NDArray[Any]
VERSION = 1
SHELL = ("kafka", "redis", "serve", "security", "metrics", "logging")
"""Sections that say nothing of what is learnt, and may hold passwords."""
Meta = dict[str, str | int]


class Header(msgspec.Struct):
    """The header: what is no array."""

    version: int
    release: str
    settings: dict[str, Any]
    users: Meta
    items: Meta
    metadata: Meta
    ids: list[str | None]  # of the table's rows
    known: list[str]  # items that events named
    times: dict[str, dict[int, int]]
    count: int
    refusals: int
    refused: list[Refused]
    neural: bool


def write(file: Path, learnt: Learnt) -> Path:
    """Write the file, and return it. Raises ConfigurationError."""
    live = learnt.live
    [users], [items], table = live.flow.users, live.flow.items, live.table
    user_rows, of_users = users.whole()
    items.untold()
    item_rows, _, of_items = items.changes()
    of_items["commits"] = 0  # how often it was saved is no part of what was learnt
    arrays = {f"table/{name}": array for name, array in table.own().items()}
    for source, memory in zip(table.sources, table.memories, strict=True):
        kept = source.keep(memory)
        arrays |= {f"source/{source.name}/{name}": array for name, array in kept.items()}
    for letter, rows in (("u", user_rows), ("i", item_rows)):
        for kind, each in rows.items():
            if kind != CATALOGUE:
                _put(arrays, f"{letter}/{kind}", each)
    details = {str(row).encode(): msgspec.json.encode(d) for row, d in table.details.items()}
    _put(arrays, "details", details)
    if live.neural is not None:
        versions, serves = live.neural.versions(0)
        _put(arrays, "neural", {b"%d" % (n + (not serves)): v for n, v in enumerate(versions)})
    own: dict[str, Any] = msgspec.to_builtins(learnt.settings)
    header = Header(
        version=VERSION,
        release=__version__,
        settings={name: value for name, value in own.items() if name not in SHELL},
        users=of_users,
        items=of_items,
        metadata=live.flow.metadata.changes()[1],
        ids=table.ids,
        known=sorted(live.known),
        times=live.times,
        count=live.count,
        refusals=learnt.refusals,
        refused=learnt.refused,
        neural=live.neural is not None,
    )
    container.write(file, header, arrays)
    return file


def read(file: Path, extra_sources: Sequence[str]) -> Learnt:
    """Return what was saved, ready to go on.

    Raises DamagedState, UnknownVersion or ConfigurationError.
    """
    header, arrays = container.read(file, Header)
    if header.version != VERSION:
        raise UnknownVersion(
            f"{file} is of version {header.version}, this release reads {VERSION}: load it with "
            f"streamrec {header.release}"
        )
    wanted = tuple(header.settings.get("extra_sources", ()))
    if wanted != tuple(extra_sources):
        raise ConfigurationError(
            f"{file} was saved with extra_sources {list(wanted)}: give load() these, as they are "
            "code that is imported."
        )
    try:
        settings: Settings = msgspec.convert(header.settings, settings_type(wanted))
    except msgspec.ValidationError as error:
        raise UnknownVersion(
            f"{file} was saved by streamrec {header.release}, whose settings were others: {error}"
        ) from None
    learnt = Learnt(settings, header.neural)
    try:
        _resume(learnt.live, header, arrays)
    except UnknownVersion as error:
        raise UnknownVersion(
            f"{file} was saved by streamrec {header.release}, whose rows were others: load it with "
            f"that release, or learn again ({error})"
        ) from None
    learnt.refusals, learnt.refused = header.refusals, header.refused
    return learnt


def _resume(live: Prequential, header: Header, arrays: Mapping[str, Array]) -> None:
    flow, settings, own = live.flow, live.settings, _under("table/", arrays)
    of_users = {k.encode(): str(v).encode() for k, v in header.users.items()}
    users = UserShard.restore(0, settings, 1, of_users, _get(arrays, "u/rings"))
    rows = _get(arrays, "u/users")
    users.users.load([name.decode() for name in rows], list(rows.values()))
    of_items = {k.encode(): str(v).encode() for k, v in header.items.items()}
    stored = {kind: _get(arrays, f"i/{kind}") for kind in (*flow.items[0].schema.kinds, BLEND)}
    items = ItemShard.restore(0, settings, of_items, stored)
    of_metadata = {k.encode(): str(v).encode() for k, v in header.metadata.items()}
    flow.users[:], flow.items[:] = [users], [items]
    flow.metadata = MetadataShard.restore(0, settings.factors.size, 1, of_metadata)
    table = flow.table
    table.rows(own["keys"])
    described = {int(row): entry for row, entry in _get(arrays, "details").items()}
    table.describe(own["keys"][list(described)], list(described.values()))
    for row, name in enumerate(header.ids):
        if name is not None and table.ids[row] is None:
            table.ids[row], table.row_of[name] = name, row
    items.untold()
    flow.follow()
    table.resume(own)
    for source, memory in zip(table.sources, table.memories, strict=True):
        source.resume(memory, _under(f"source/{source.name}/", arrays))
    live.known, live.times, live.count = set(header.known), header.times, header.count
    if live.neural is not None:
        versions = _get(arrays, "neural")
        live.neural.resume(versions.get(b"0"), versions.get(b"1"))


def _put(arrays: dict[str, Array], name: str, rows: Mapping[bytes, bytes]) -> None:
    """Add rows, as bytes of MessagePack."""
    arrays[name] = np.frombuffer(msgspec.msgpack.encode(rows), np.uint8)


def _get(arrays: Mapping[str, Array], name: str) -> dict[bytes, bytes]:
    """Return the rows that `_put` added."""
    return msgspec.msgpack.decode(arrays[name].data, type=dict[bytes, bytes])


def _under(prefix: str, arrays: Mapping[str, Array]) -> dict[str, Array]:
    """Return the arrays whose names begin with a prefix, without it."""
    return {n.removeprefix(prefix): a for n, a in arrays.items() if n.startswith(prefix)}
