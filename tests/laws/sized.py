"""A process that holds what `learn` or `score` does, and says how much memory it took at most."""

import sys
import time
from pathlib import Path

import numpy as np

from streamrec.monitoring.metrics import Metrics
from streamrec.ranking.lists import ListMaker
from streamrec.roles.warm import warm_up
from streamrec.settings.load import load
from streamrec.settings.sections import Settings
from streamrec.state.item_rows import BLEND
from streamrec.state.item_shard import ItemShard
from streamrec.state.item_table import ItemTable
from streamrec.state.user_rows import no_user
from streamrec.state.user_shard import UserShard
from streamrec.transport.redis.item_feed import ItemFeed
from streamrec.transport.redis.keys import item_shards, user_shards
from streamrec.transport.redis.store import Store


def main(role: str, url: str) -> None:
    settings = load(None, {}, {"redis.url": url, "text.model": "hashed"})
    warm_up(settings)
    if role == "warm":
        return
    store = Store(settings.redis)
    shards = store.shards()
    assert shards is not None
    held = score(settings, store, item_shards(shards)) if role == "score" else []
    if role == "learn":
        held = [learn_items(settings, store, name) for name in item_shards(shards)]
        held += [learn_users(settings, store, name, shards.items) for name in user_shards(shards)]
        held.append(feed(settings, store, item_shards(shards), with_lists=False))
    assert held
    print(most_bytes())


def most_bytes() -> int:
    """Return the most memory of this process; ru_maxrss would begin with the parent's."""
    status = Path("/proc/self/status").read_text()
    return 1024 * int(status.partition("VmHWM:")[2].split()[0])


def feed(settings: Settings, store: Store, shards: list[str], *, with_lists: bool) -> ItemFeed:
    found = ItemFeed(store, shards, lambda: ItemTable(settings, with_lists=with_lists), 0.0)
    found.refresh(time.monotonic(), Metrics())
    return found


def score(settings: Settings, store: Store, shards: list[str]) -> list[object]:
    table = feed(settings, store, shards, with_lists=True).table
    lists = ListMaker(settings)
    lists.prepare(table)
    people = [lists.shopper(no_user(), table) for _ in range(settings.lists.due_batch)]
    return [table, lists, lists.make(people, table)]


def learn_items(settings: Settings, store: Store, name: str) -> ItemShard:
    kinds = (*ItemShard(0, settings, 0).schema.kinds, BLEND)
    stored = {kind: store.all_rows(name, kind) for kind in kinds}
    return ItemShard.restore(int(name[1:]), settings, store.meta(name), stored)


def learn_users(settings: Settings, store: Store, name: str, parts: int) -> UserShard:
    shard = UserShard(int(name[1:]), settings, parts, 0)
    rows = store.all_rows(name, "users")
    shard.users.load([user.decode() for user in rows], list(rows.values()))
    for number in np.random.default_rng(1).integers(0, 2**62, settings.events.duplicate_window):
        shard.duplicates.is_new(f"u{number % 1000}", str(number))
    return shard


if __name__ == "__main__":
    main(*sys.argv[1:])
