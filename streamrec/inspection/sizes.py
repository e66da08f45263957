"""How much memory Redis, `learn` and `score` take: the formula of docs/redis.md, in one place."""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from streamrec.settings.place_rules import asks_for_contents, place_names, place_of
from streamrec.settings.places import HOME
from streamrec.settings.sections import Settings
from streamrec.sources.registry import sources_of
from streamrec.state.item_rows import TEXTS, ItemSchema
from streamrec.state.item_table import OWN
from streamrec.state.newcomers import WINDOW
from streamrec.state.schema import Column, Kind
from streamrec.state.user_rows import USERS, user_columns

FIELD, KEY = 48, 80
"""Bytes that Redis takes for a hash field, and for a string with a time to live, beside both texts
(Valkey 9; Redis 7 some 20 more)."""
NAME = 16
"""Bytes of a user's id."""
METADATA = 200
"""Bytes of an item's JSON."""
WAITING = 60
"""Bytes of a user in a sorted set, beside the id: all of them, after a bootstrap."""
LIST, LISTED = 100, 80
"""Bytes of a list's JSON, and of each of its items."""
ITEM_LIST, NEIGHBOUR = 60, 34
"""Bytes of the JSON of an item's list, and of each item in it."""
ROW = 150
"""Bytes of a row read from Redis, beside its own, in a process."""
READING = 6_000
"""Bytes of what the neural ranker reads of a list."""
CANDIDATES = 4
"""Candidates of a list, in blend.candidates: sources agree on some."""
EXTRAS = 6
"""Numbers of a candidate beside what sources say of it."""
FEED = 24 * 100
"""Bytes of a feed entry: a commit that changes a hundred items."""
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


def redis_parts(
    settings: Settings, users: int, items: int, partitions: int, fill: float
) -> list[Part]:
    """Return what Redis holds; fill: the share of the lists' bounds that is in use."""
    blend, neural = settings.blend, settings.neural
    lengths = {name: place_of(settings, name).length for name in place_names(settings)}
    home = lengths.pop(HOME)
    listed = [KEY + len(f"rec::{name}") + NAME + LIST + LISTED * n for name, n in lengths.items()]
    sources = len(sources_of(settings))
    features = 18 + (8 + 3 * sources + 2 * EXTRAS) * CANDIDATES * blend.candidates
    shown = 12 + (8 * (1 + sources) + 1) * home
    sampled = blend.sample * features if blend.kind == "learned" else 0.0
    kept = neural.sample_bytes_per_second * neural.task_seconds / READING
    length = settings.items.similar_length
    similar = ITEM_LIST + NEIGHBOUR * length * (1.0 + fill)
    rows = [
        Part(f"{kind.name} rows", items, FIELD + 8 + _bytes(kind, fill))
        for kind in _item_kinds(settings)
    ]
    return [
        Part("users rows", users, FIELD + NAME + _bytes(_user_kind(settings), fill)),
        Part("users who wait for a list, at most", users, WAITING + NAME),
        *rows,
        Part("catalogue rows", items, FIELD + 8 + METADATA),
        Part("lists", users, KEY + len("rec:") + NAME + LIST + LISTED * home),
        *([Part("lists of other places", users, sum(listed))] if listed else []),
        Part("lists of items", items if length else 0, KEY + len("sim:") + NAME + similar),
        Part("shown rows", users, KEY + len("sr:shown:") + NAME + shown + sampled),
        Part("readings, at most", min(users, int(kept)), KEY + len("sr:reading:") + NAME + READING),
        Part("duplicate windows", partitions, 16 * settings.events.duplicate_window),
        Part("latest items and events", partitions, 8 * (settings.factors.ring + WINDOW)),
        Part("feeds", partitions, FEED * settings.items.feed_entries),
    ]


def learn_parts(
    settings: Settings, users: int, items: int, partitions: int, fill: float
) -> list[Part]:
    """Return what one `learn` process that owns all partitions holds, at most at a time."""
    schema = ItemSchema(sources_of(settings))
    owned = sum(kind.most_bytes() for kind in schema.kinds.values()) + 4 * len(schema.kinds)
    cached = min(users, partitions * min(settings.users.cached_users, settings.users.max_users))
    return [
        Part("the process", 1, PROCESS),
        Part("item rows, as their owner", items, owned + NAMED / 4),
        Part("item rows, as a copy", items, _of(schema.copied(False)) + _of(OWN) + NAMED),
        _while_read(settings, items, partitions, fill),
        Part("user rows in the cache", cached, _user_kind(settings).most_bytes() + NAMED / 2),
        Part("duplicate windows", partitions, WINDOW_ID * settings.events.duplicate_window),
        Part("latest items and events", partitions, 8 * (settings.factors.ring + WINDOW)),
    ]


def score_parts(settings: Settings, items: int, partitions: int, fill: float) -> list[Part]:
    """Return what each `score` process holds, at most at a time: all items, one batch of users."""
    sources = sources_of(settings)
    schema = ItemSchema(sources)
    few = sum(hasattr(source, "score") for source in sources)
    dense = sum(hasattr(source, "score_all") for source in sources)
    details = METADATA * 3 if asks_for_contents(settings) else 0
    return [
        Part("the process", 1, PROCESS),
        Part("item rows", items, _of(schema.copied(True)) + _of(OWN) + NAMED + details),
        Part("work arrays", items, 12 * few + 30),
        max(
            Part("scores of a batch of users", items, 4 * dense * settings.lists.due_batch),
            _while_read(settings, items, partitions, fill, COPIES),
            key=lambda part: part.bytes,
        ),
    ]


def _while_read(
    settings: Settings, items: int, partitions: int, fill: float, copies: int = 1
) -> Part:
    """Return the rows of one partition, which are in memory besides while they are read."""
    each = copies * sum(ROW + _bytes(kind, fill) for kind in _item_kinds(settings))
    return Part("rows of a partition while they are read", -(-items // partitions), each)


def _user_kind(settings: Settings) -> Kind:
    return Kind(USERS, user_columns(settings.users.recent_items, settings.users.seen_items))


def _item_kinds(settings: Settings) -> list[Kind]:
    """Return the kinds of rows that items have: vectors of texts only with an encoder."""
    kinds = ItemSchema(sources_of(settings)).kinds
    return [kind for kind in kinds.values() if kind.name != TEXTS or not settings.text.hashed()]


def _bytes(kind: Kind, fill: float) -> float:
    return kind.header.itemsize + fill * (kind.most_bytes() - kind.header.itemsize)


def _of(columns: Iterable[Column]) -> int:
    return sum(np.dtype(c.dtype).itemsize * max(1, c.width) for c in columns)
