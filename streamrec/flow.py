"""The life of a click, stage by stage; who waits for what is in docs/architecture.md.

    decode    messages of a partition of events -> events, or why not
    load      rows of their users that are not in memory
    fold      each user's row learns; what that means for items -> one record for each owner
    teach     clicks on lists that were served -> the owner of the blend
    deliver   each owner learns its record
    follow    the readers' table takes over what changed
    list      candidates of all sources, one score, an order, reasons

`learn` runs the first four in its user stage and `deliver` in its item stage, with Kafka between;
`score` runs the last two, with Redis between. `Flow` runs all of them in one process: evaluation,
warm-up, benchmarks and tests.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from streamrec.blend.rules import blend_owner
from streamrec.events.event import Event, EventDecoder, Forget, Item, Rejected
from streamrec.events.merging import Ask, Give
from streamrec.ranking.lists import ListMaker, UserList
from streamrec.settings.sections import Settings
from streamrec.state import served, updates
from streamrec.state.follow import Follower
from streamrec.state.item_shard import ItemFold, ItemShard
from streamrec.state.item_table import ItemTable
from streamrec.state.keys import key_of
from streamrec.state.metadata_shard import MetadataShard
from streamrec.state.updates import Updates
from streamrec.state.user_fold import Decoded, UserFold
from streamrec.state.user_shard import UserShard, longest_window
from streamrec.text.words import Encoder, address_of, words_of

MOST_SAMPLES = 20
"""Clicks of one batch that the learned blend learns from, at most: each sends some 2 kB."""
SAMPLE_BYTES = 1_000_000
"""Bytes of their samples, at most: they travel in one update record."""
ID_BYTES = 500_000
"""Room in an update record for the ids of items that it names."""
MOST_EVICTED = 1000
"""Users that one commit deletes at most."""

Rows = Callable[[Sequence[str]], Sequence[bytes | None]]
"""Returns stored rows of users, None where there is none."""
Raw = tuple[int, int, bytes | None]
"""A message: offset, log time in ms, value."""


def decode(decoder: EventDecoder, messages: Iterable[Raw]) -> list[Decoded]:
    """Return what messages hold, in their order."""
    return [(offset, at, decoder.decode(value, at)) for offset, at, value in messages]


def load(shard: UserShard, decoded: Sequence[Decoded], rows: Rows) -> None:
    """Make sure that the rows of all users of a batch are in memory."""
    people = [e.user for _, _, e in decoded if isinstance(e, Forget | Give)]
    people += [e.visitor for _, _, e in decoded if isinstance(e, Ask)]
    people += [e.user for _, _, e in decoded if isinstance(e, Event) and e.personal]
    missing = shard.users.missing(people)
    if missing:
        shard.users.load(missing, rows(missing))


def teach(records: Sequence[Updates], samples: Sequence[bytes]) -> None:
    """Add what the learned blend is to learn to the record of its owner."""
    header = records[blend_owner(len(records))].header
    header.samples += [(header.first, sample) for sample in samples]


def samples_of(
    settings: Settings, clicks: Sequence[Event], rows: Sequence[bytes | None]
) -> list[bytes]:
    """Return which clicks of a batch teach the blend; rows: what each one's user was served."""
    samples: list[bytes] = []
    room, weights = SAMPLE_BYTES, settings.blend.event_weights
    for event, row in zip(clicks, rows, strict=True):
        weight = weights.get(event.type, 1.0)
        if row and weight > 0.0 and len(samples) < MOST_SAMPLES:
            sample = served.sample_of(row, key_of(event.item), weight)
            if sample is not None and len(sample) <= room:
                samples.append(sample)
                room -= len(sample)
    return samples


def deliver(items: Sequence[ItemShard], records: Sequence[Updates]) -> list[ItemFold]:
    """Let each owner learn its record."""
    return [shard.fold(record) for shard, record in zip(items, records, strict=True)]


def encode_now(encoder: Encoder, owner: ItemShard, item: Item) -> None:
    """Give the owner the vector of an item's text, which `learn` does beside its stages."""
    words = words_of(item.title, item.categories, item.text)
    if words:
        keys = np.array([key_of(item.item)], np.uint64)
        addresses = np.array([address_of(words)], np.uint64)
        owner.encoded(keys, addresses, encoder.encode([words]), encoder.number)


def due_users(settings: Settings, fold: UserFold, now: float) -> dict[str, float]:
    """Return who is due a new list, and since when (epoch ms): the first of their events."""
    due: dict[str, float] = {}
    for (at, event), kept in zip(reversed(fold.accepted), reversed(fold.kept), strict=True):
        if not kept:
            continue
        if settings.events.weights[event.type] != 0.0 or event.type == "remove":
            due[event.user] = min(now, float(at)) if at >= 0 else now
    for user, at in fold.merged.items():
        due.setdefault(user, min(now, float(at)) if at >= 0 else now)
    return due


def users_over(settings: Settings, shard: UserShard) -> int:
    """Return how many users the next commit must delete to stay within users.max_users."""
    over = shard.users_next - settings.users.max_users
    return max(0, min(over, MOST_EVICTED))


def times_shown_now(made: UserList, before: Mapping[int, int]) -> dict[int, int]:
    """Return how often in a row each item of a list has been shown, by key; before: till now."""
    return {key: 1 + before.get(key, 0) for key in made.shown[0].tolist() if key}


def record_bytes(settings: Settings) -> int:
    """Return the bytes of the longest update record that one event makes, but for ids."""
    f = settings.factors
    window, held = longest_window(settings), settings.users.newcomer_items
    return updates.most_bytes(f.size, f.negatives, f.context, window, held)


class Flow:
    """All stages in one process: user shards, item shards, the table and the lists made from it."""

    def __init__(
        self,
        settings: Settings,
        users: int = 1,
        items: int = 1,
        *,
        with_lists: bool = True,
        with_details: bool = False,
        encoder: Encoder | None = None,
    ) -> None:
        self.settings = settings
        self.decoder = EventDecoder(settings.events)
        self.table = ItemTable(settings, with_lists=with_lists, with_details=with_details)
        self.users = [UserShard(n, settings, items, 0) for n in range(users)]
        self.items = [ItemShard(n, settings, 0) for n in range(items)]
        self.metadata = MetadataShard(0, settings.factors.size, items, 0)
        self.lists = ListMaker(settings)
        self._follower = Follower(self.table)
        self._encoder = encoder
        self._prepared = False

    def fold(
        self, decoded: Sequence[Decoded], number: int = 0, rows: Rows | None = None
    ) -> UserFold:
        """Fold a batch of one partition; without `rows` nobody is stored who is not in memory."""
        shard = self.users[number]
        load(shard, decoded, rows or (lambda users: [None] * len(users)))
        next_offset = decoded[-1][0] + 1 if decoded else shard.offset
        return shard.fold(decoded, next_offset, self.table)

    def learn(self, messages: Iterable[Raw], number: int = 0) -> UserFold:
        """Take messages of one partition all the way into the table."""
        fold = self.fold(decode(self.decoder, messages), number)
        deliver(self.items, fold.records)
        self.follow()
        return fold

    def announce(self, item: Item | Rejected) -> None:
        """Take in the metadata of an item, as from the items topic."""
        offset = self.metadata.offset
        deliver(self.items, self.metadata.fold([(offset, item)], offset + 1))
        if self._encoder is not None and isinstance(item, Item):
            encode_now(self._encoder, self.items[key_of(item.item) % len(self.items)], item)

    def follow(self) -> None:
        """Bring the table up to date with the owners."""
        for shard in self.items:
            self._follower.refresh(shard)
        self._prepared = False

    def prepared(self) -> ListMaker:
        """Return the list maker, which knows what the table does."""
        if not self._prepared:
            self.lists.prepare(self.table)
            self._prepared = True
        return self.lists


def ranks_of(
    rows: Sequence[bytes | None], which: NDArray[np.int64], clicks: Sequence[Event], lists: int
) -> NDArray[np.int64]:
    """Return int64[clicks, lists]: each click's rank in the lists its user was served, or MISS."""
    keys = np.array([key_of(event.item) for event in clicks], np.uint64)
    found: NDArray[np.int64] = served.ranks_in(rows, which, keys, lists)
    return found
