"""Users' lists in a Redis, as a scorer writes them, for what reads them."""

import json
import time
from itertools import cycle, islice

import msgspec

from benchmarks.clicks import generated
from benchmarks.pipeline import warmed
from streamrec.ranking.lists import ListMaker
from streamrec.ranking.published import PublishedList
from streamrec.settings.sections import RedisSettings, Settings
from streamrec.state.keys import key_of
from streamrec.state.user_rows import decode_user
from streamrec.transport.redis.keys import POPULAR, key
from streamrec.transport.redis.store import Store

PARTITIONS = 4
EVENTS_A_USER = 75
AT_ONCE = 1_000
MODEL = "online-benchmark"


def made_lists(users: int, items: int) -> list[PublishedList]:
    """Return the lists of u0, u1, ... after generated clicks, as many items as the default says."""
    settings = Settings()
    clicks = generated(EVENTS_A_USER * users, users, items)
    pipeline, _ = warmed(settings, clicks, len(clicks), with_lists=True)
    maker, table = ListMaker(settings), pipeline.table
    maker.prepare(table)
    rows = [decode_user(blob) for blob in pipeline.user_rows.values()]
    made = maker.make([maker.shopper(row, table) for row in rows], table)
    at = int(time.time() * 1000)
    lists = [
        PublishedList("", at, MODEL, row.offset, one.items)
        for row, one in zip(rows, made, strict=True)
    ]
    return [
        msgspec.structs.replace(one, user=f"u{n}")
        for n, one in enumerate(islice(cycle(lists), users))
    ]


def store_lists(redis: RedisSettings, lists: list[PublishedList], users: int, items: int) -> int:
    """Store lists for u0, u1, ... up to `users`, the given ones in turn; return the bytes of one.

    Also the list for strangers, and titles of i0, i1, ... up to `items`.
    """
    store, encode = Store(redis), msgspec.json.encode
    store.declare(PARTITIONS, PARTITIONS, 1, Settings().factors.size)
    each = islice(cycle(lists), users)
    named = [(f"u{n}", msgspec.structs.replace(one, user=f"u{n}")) for n, one in enumerate(each)]
    named.append((POPULAR, msgspec.structs.replace(lists[0], user=POPULAR)))
    calls = [("SET", f"rec:{user}", encode(one)) for user, one in named]
    for item in (f"i{n}" for n in range(items)):
        own = key_of(item)
        row = json.dumps({"item": item, "title": f"The title of {item}"})
        catalogue = key(f"i{own % PARTITIONS}", "catalogue")
        calls.append(("HSET", catalogue, own.to_bytes(8, "little"), row.encode()))
    for first in range(0, len(calls), AT_ONCE):
        store.run(calls[first : first + AT_ONCE])
    store.close()
    return sum(len(encode(one)) for one in lists) // len(lists)
