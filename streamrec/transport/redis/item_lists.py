"""The public lists of items and for strangers in Redis, and whose turn it is to write them."""

from collections.abc import Mapping

from streamrec.transport.redis.keys import item_list_key, list_key
from streamrec.transport.redis.store import Store

TURN = "sr:writer"
"""The scorer that writes them."""
TAKE_TURN = """
local holder = redis.call('GET', KEYS[1])
if holder and holder ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1
"""


def take_turn(store: Store, name: str, seconds: float) -> bool:
    """Say whether `name` is the one that writes, for `seconds` from now; it may ask again."""
    [mine] = store.run([("EVAL", TAKE_TURN, 1, TURN, name, int(seconds * 1000))])
    return bool(mine)


def store_item_lists(store: Store, lists: Mapping[tuple[str, str], bytes], ttl: int) -> None:
    """Store lists by item and place, "" for `sim:<item>`, for ttl seconds. Raises StoreError."""
    store.run([("SET", item_list_key(*of), blob, "EX", ttl) for of, blob in lists.items()])


def store_popular(store: Store, lists: Mapping[str, bytes], ttl: int) -> None:
    """Store lists for strangers by the name that stands for a user. Raises StoreError."""
    store.run([("SET", list_key(name), blob, "EX", ttl) for name, blob in lists.items()])


def stored_item_list(store: Store, item: str) -> bytes | None:
    """Return the list of an item. Raises StoreError."""
    return store.values([item_list_key(item)])[0]
