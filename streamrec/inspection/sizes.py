"""How much memory Redis, `learn` and `score` take: the formula of docs/redis.md, in one place."""

import math
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from streamrec.blend.rules import extras_of
from streamrec.neural.budget import budget_of
from streamrec.neural.reading import PROJECTED
from streamrec.settings.place_rules import asks_for_contents, contexts, place_names, place_of
from streamrec.settings.places import HOME, USER
from streamrec.settings.sections import Settings
from streamrec.sources.registry import sources_of
from streamrec.sources.repeats import gap_ms
from streamrec.state.item_rows import TEXTS, ItemSchema
from streamrec.state.item_table import OWN
from streamrec.state.newcomers import WINDOW
from streamrec.state.schema import Column, Kind
from streamrec.state.served import BITS
from streamrec.state.user_rows import USERS, user_columns

FIELD, KEY = 48, 80
"""Bytes that Redis takes for a hash field, and for a string with a time to live, beside both texts
(Valkey 9; Redis 7 some 20 more)."""
NAME, ITEM = 16, 8
"""Bytes of a user's and of an item's id."""
METADATA = 200
"""Bytes of an item's JSON."""
WAITING = 60
"""Bytes of a user in a sorted set, beside the id: all of them, after a bootstrap."""
LIST, LISTED, BECAUSE = 100, 61, 3
"""Bytes of a list's JSON, of each of its items, and of each reason, beside ids."""
ITEM_LIST, NEIGHBOUR = 50, 27
"""Bytes of the JSON of an item's list, and of each item in it, beside ids."""
PLACED, AT_PLACE = 90, 55
"""The same of an item's list at a place, without what is capped."""
SHOWN, FULL, DISTINCT = 22, 8, 4
"""Bytes of a shown row, without: how many full lists it has, and how many lists' items in all."""
ROW = 150
"""Bytes of a row read from Redis, beside its own, in a process."""
READING = 6_000
"""Bytes of what the neural ranker reads of a list."""
CANDIDATES = 3.3
"""Candidates of a list, in blend.candidates: sources agree on many."""
PACKED = 0.39
"""Bytes of a number of a candidate in a sample, with all that is compressed with it."""
ENTRY, TAKEN = 120, 0.4
"""Bytes of a feed entry, beside 8 for each changed row; share of items that most events name."""
PROCESS = 230_000_000
"""Bytes of a process with its kernels loaded and nothing learnt."""
NAMED = 260
"""Bytes of an item's id and key in a process's indexes."""
COPIES = 3
"""How often a scorer has the rows that it reads: as they came, as columns, and its keys as rows."""
WINDOW_ID = 88
"""Bytes of an id of the duplicate window in a process."""


class Part(NamedTuple):
    """One line of the account: so many of these, of so many bytes each."""

    what: str
    number: int
    each: float

    @property
    def bytes(self) -> float:
        """All of them."""
        return self.number * self.each


class Amount(NamedTuple):
    """Of what there is how much; fill, item_fill: the share of the bounds of lists in use."""

    users: int  # who have a row and a list
    items: int
    partitions: int  # of each topic
    fill: float = 1.0  # of the histories of users
    item_fill: float = 1.0  # of the neighbours of items
    rate: float = 300.0  # events a second, of all partitions


def redis_parts(settings: Settings, amount: Amount) -> list[Part]:
    """Return what Redis holds."""
    users, items, partitions, fill, item_fill, rate = amount
    lengths = {name: place_of(settings, name).length for name in place_names(settings)}
    home = _list(settings, lengths.pop(HOME))
    others = [
        KEY + len(f"rec::{name}") + NAME + _list(settings, n) + _left_out(settings, name, fill)
        for name, n in lengths.items()
    ]
    at_places = [
        KEY + len(f"sim:{{}}:{place.name}") + 2 * ITEM + PLACED + (AT_PLACE + ITEM) * place.length
        for place in contexts(settings)
    ]
    kept = min(1.0, budget_of(settings) / READING / max(rate, 1e-9))
    lately = min(users, rate * settings.neural.task_seconds)
    length = settings.items.similar_length
    follow = min(length, item_fill * 2 * settings.similarity.neighbours)
    similar = ITEM_LIST + ITEM + (NEIGHBOUR + ITEM) * (length + follow)
    rows = [
        Part(f"{kind.name} rows", items, FIELD + 8 + _bytes(kind, item_fill))
        for kind in _item_kinds(settings)
    ]
    return [
        Part("users rows", users, FIELD + NAME + _bytes(_user_kind(settings), fill)),
        Part("users who wait for a list, at most", users, WAITING + NAME),
        *rows,
        Part("catalogue rows", items, FIELD + 8 + METADATA),
        Part("lists", users, KEY + len("rec:") + NAME + home),
        *([Part("lists of other places", users, sum(others))] if others else []),
        Part("lists of items", items if length else 0, KEY + len("sim:") + ITEM + similar),
        *([Part("lists of items at places", items, sum(at_places))] if at_places else []),
        Part("shown rows", users, KEY + len("sr:shown:") + NAME + _shown(settings)),
        Part("readings, at most", int(kept * lately), KEY + len("sr:reading:") + NAME + READING),
        Part("duplicate windows", partitions, 16 * settings.events.duplicate_window),
        Part("latest items and events", partitions, 8 * (settings.factors.ring + WINDOW)),
        Part("feeds", partitions, _entry(settings, amount) * settings.items.feed_entries),
    ]


def _entry(settings: Settings, amount: Amount) -> float:
    """Return the bytes of a feed entry: of each kind, the rows that one commit changes."""
    events = amount.rate * settings.batches.item_linger_seconds / amount.partitions
    items = max(1.0, TAKEN * amount.items / amount.partitions)
    factors, sources = settings.factors, sources_of(settings)
    touched = [1 + factors.negatives + factors.context]
    touched += [1 + source.window() for source in sources if source.window()]
    each = [items * (1.0 - math.exp(-events * of_one / items)) for of_one in touched]
    return ENTRY + 8 * sum(each)


def _list(settings: Settings, length: int) -> float:
    """Return the bytes of a user's list, of so many items."""
    reasons = settings.lists.because * (BECAUSE + ITEM)
    return LIST + NAME + (LISTED + ITEM + reasons) * length


def _left_out(settings: Settings, name: str, fill: float) -> float:
    """Return the bytes of what lists of items are not to show a user at a place, at most."""
    place, users = place_of(settings, name), settings.users
    if place.context == USER:
        return 0.0
    kind = _user_kind(settings)
    sizes = {c.name: np.dtype(c.dtype).itemsize for c in kind.lists}
    each = sum(sizes[c.name] for c in kind.lists if c.sized_by == "recent")
    room = fill * (kind.most_bytes() - kind.header.itemsize)
    past = min(users.recent_items, room / each)
    seen = 0.0
    if settings.lists.exclude == "user":  # what fell out of the history, and is in the table still
        seen = min(users.seen_items, (room - past * each) / sizes["seen"])
    none = place.exclude == {} or (place.exclude is None and settings.lists.exclude == "none")
    return (BECAUSE + ITEM) * (seen if none else past + seen)


def _shown(settings: Settings) -> float:
    """Return the mean bytes of a shown row, with features in a share of them."""
    blend, sources = settings.blend, len(sources_of(settings))
    length = place_of(settings).length
    distinct, short = DISTINCT * length, BITS // 8
    again = FULL * length - distinct  # each is a byte, the others a bit
    plain = SHOWN + 1 + sources + FULL * length / 8 + again + short * distinct
    candidates = CANDIDATES * blend.candidates
    said = (sources + len(extras_of(settings))) * candidates
    features = 16 + short * (candidates - distinct) + PACKED * said
    return plain + (blend.sample * max(0.0, features) if blend.kind == "learned" else 0.0)


def learn_parts(settings: Settings, amount: Amount) -> list[Part]:
    """Return what one `learn` process that owns all partitions holds, at most at a time."""
    users, items, partitions = amount[:3]
    schema = ItemSchema(sources_of(settings))
    owned = sum(kind.most_bytes() for kind in schema.kinds.values()) + 4 * len(schema.kinds)
    cached = min(users, partitions * min(settings.users.cached_users, settings.users.max_users))
    return [
        Part("the process", 1, PROCESS),
        Part("item rows, as their owner", items, owned + NAMED / 4),
        Part("item rows, as a copy", items, _of(schema.copied(False)) + _of(OWN) + NAMED),
        _while_read(settings, amount),
        Part("user rows in the cache", cached, _user_kind(settings).most_bytes() + NAMED / 2),
        Part("duplicate windows", partitions, WINDOW_ID * settings.events.duplicate_window),
        Part("latest items and events", partitions, 8 * (settings.factors.ring + WINDOW)),
    ]


def score_parts(settings: Settings, amount: Amount) -> list[Part]:
    """Return what each `score` process holds, at most at a time: all items, one batch of users."""
    sources, items = sources_of(settings), amount.items
    schema = ItemSchema(sources)
    few = sum(hasattr(source, "score") for source in sources)
    dense = sum(hasattr(source, "score_all") for source in sources)
    details = METADATA * 3 if asks_for_contents(settings) else 0
    of_title = 4 * settings.variants.items  # at most: where each title is one item's
    projected = 4 * (1 + PROJECTED) * settings.neural.on
    row = _of(schema.copied(True)) + _of(OWN) + NAMED + details + of_title + projected
    return [
        Part("the process", 1, PROCESS),
        Part("item rows", items, row),
        Part("work arrays", items, 12 * few + 30),
        max(
            Part("scores of a batch of users", items, 4 * dense * settings.lists.due_batch),
            _while_read(settings, amount, COPIES),
            key=lambda part: part.bytes,
        ),
    ]


def _while_read(settings: Settings, amount: Amount, copies: int = 1) -> Part:
    """Return the rows of one partition, which are in memory besides while they are read."""
    each = copies * sum(ROW + _bytes(kind, amount.item_fill) for kind in _item_kinds(settings))
    number = -(-amount.items // amount.partitions)
    return Part("rows of a partition while they are read", number, each)


def _user_kind(settings: Settings) -> Kind:
    users, gaps = settings.users, gap_ms(settings) > 0
    return Kind(USERS, user_columns(users.recent_items, users.seen_items, gaps))


def _item_kinds(settings: Settings) -> list[Kind]:
    """Return the kinds of rows that items have: vectors of texts only with an encoder."""
    kinds = ItemSchema(sources_of(settings)).kinds
    return [kind for kind in kinds.values() if kind.name != TEXTS or not settings.text.hashed()]


def _bytes(kind: Kind, fill: float) -> float:
    return kind.header.itemsize + fill * (kind.most_bytes() - kind.header.itemsize)


def _of(columns: Iterable[Column]) -> int:
    return sum(np.dtype(c.dtype).itemsize * max(1, c.width) for c in columns)
