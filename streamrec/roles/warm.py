"""Compiles (or loads from numba's cache) every kernel before a role joins its group."""

import gc

import msgspec
import numpy as np

from streamrec.blend.learned import LearnedBlend, read_sample, with_click
from streamrec.blend.rules import blend_rules
from streamrec.events.event import Event
from streamrec.ranking.lists import NOBODY, ListMaker
from streamrec.settings.sections import Settings
from streamrec.state import served, updates
from streamrec.state.item_shard import ItemShard
from streamrec.state.item_table import ItemTable
from streamrec.state.rows import decode_user
from streamrec.state.user_shard import UserShard


def warm_up(settings: Settings) -> None:
    """Compile by running a few events through everything, in memory; then calm the collector."""
    _run_all(settings)
    # what exists now stays; batches make many small objects but no cycles
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)


def _run_all(settings: Settings) -> None:
    types = {"click": 1.0, "dislike": -1.0, "remove": 0.0}
    events = msgspec.structs.replace(settings.events, weights=types)
    settings = msgspec.structs.replace(settings, events=events)
    users = UserShard(0, settings, 1, 0)
    items = ItemShard(0, settings, 0)
    table = ItemTable(settings, with_lists=True)
    kinds = ("click", "click", "click", "dislike", "remove", "click")
    for n, kind in enumerate(kinds):
        event = Event("warm", f"item {n % 4}", kind, n)
        missing = users.users.missing(["warm"])
        users.users.load(missing, [None] * len(missing))
        fold = users.fold([(n, n, event)], n + 1, table)
        items.fold(updates.decode(updates.encode(fold.records[0])))
        rows, _, _ = items.changes()
        for name, changed in rows.items():
            table.apply(name, list(changed.items()))
    stored, _ = users.changes()
    row = stored["users"][b"warm"]
    again = UserShard(0, settings, 1, 0)
    again.users.load(["warm"], [row])
    lists = ListMaker(settings)
    lists.prepare(table)
    made = lists.make([decode_user(row), NOBODY], table)
    sample = made[0].ranked.features.sample() if made[0].ranked else b""
    clicked = read_sample(with_click(sample, 0, 1.0))
    if clicked is not None:
        LearnedBlend(blend_rules(settings)).learn(*clicked)
    shown = served.encode_shown(0, made[0].shown, {}, made[0].candidates, sample)
    served.ranks_in([shown], np.zeros(1, np.int64), table.keys[:1], len(made[0].shown))
