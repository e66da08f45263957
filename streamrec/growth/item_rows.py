"""Item rows: each goes, as it stands, to the shard that its key says."""

from collections.abc import Callable, Mapping

from streamrec.state.keys import owner_of

Rows = Mapping[bytes, bytes]


def deal(rows: Rows, partitions: int) -> dict[int, dict[bytes, bytes]]:
    """Return rows of any kind by the number of their owner."""
    return by_place(rows, lambda field: owner_of(field, partitions))


def by_place(rows: Rows, place: Callable[[bytes], int]) -> dict[int, dict[bytes, bytes]]:
    """Return fields and values by where each field goes."""
    dealt: dict[int, dict[bytes, bytes]] = {}
    for field, row in rows.items():
        dealt.setdefault(place(field), {})[field] = row
    return dealt
