"""All users' lists as they are in Redis, in one pass; reads only."""

from collections.abc import Collection, Iterator, Mapping

import msgspec

from streamrec.errors import UnknownVersion
from streamrec.ranking.published import PublishedList
from streamrec.settings.places import HOME
from streamrec.state.item_table import Metadata
from streamrec.transport.redis.keys import item_shards
from streamrec.transport.redis.places import stored_places
from streamrec.transport.redis.store import Store

SCAN_KEYS = 2_000
"""Keys that Redis looks at for one batch: some 2 ms of its time."""
COLUMNS = {
    "user": "string", "rank": "int32", "item": "string", "score": "float64", "title": "string",
    "because": "list", "at": "int64", "model": "string",
}  # fmt: skip
"""Of a row of a list, with their types."""
Row = tuple[str, int, str, float, str, list[str], int, str]


def stored_lists(store: Store, place: str = HOME) -> Iterator[PublishedList]:
    """Yield the list of every user who has one at a place, each once, as it is when it is read.

    In memory is a number for each list, against names that a scan of Redis returns twice: some 70
    bytes a user. Raises UnknownVersion for a list that this program does not read.
    """
    read = msgspec.json.Decoder(PublishedList).decode
    met: set[int] = set()
    others = tuple(
        f":{name}".encode() for name in stored_places(store) if name not in (HOME, place)
    )
    for names in store.names("rec:*" if place == HOME else f"rec:*:{place}", SCAN_KEYS):
        names = [name for name in names if not (others and name.endswith(others))]
        new = {hash(name): name for name in names if not name.startswith(b"rec:~")}
        wanted = [name for number, name in new.items() if number not in met]
        met.update(new)
        for name, blob in zip(wanted, store.whole_values(wanted), strict=True):
            try:
                if blob is not None and (one := read(blob)).place == place:
                    yield one
            except msgspec.DecodeError as error:
                raise UnknownVersion(
                    f"{name!r} is no list that this program reads: {error}"
                ) from None


def stored_titles(store: Store) -> dict[str, str]:
    """Return the titles of all items that have one."""
    read = msgspec.json.Decoder(Metadata).decode
    shards = store.shards()
    names = [] if shards is None else item_shards(shards)
    entries = (read(row) for name in names for _, row in store.scan(name, "catalogue"))
    return {entry.item: entry.title for entry in entries if entry.title}


def rows_of(one: PublishedList, titles: Mapping[str, str], hidden: Collection[str]) -> list[Row]:
    """Return a list as rows of COLUMNS, without hidden items; the best first, whose rank is 1."""
    shown = (each for each in one.items if each.item not in hidden)
    return [
        (one.user, rank, each.item, each.score, titles.get(each.item, ""), each.because, one.at,
         one.model)
        for rank, each in enumerate(shown, start=1)
    ]  # fmt: skip
