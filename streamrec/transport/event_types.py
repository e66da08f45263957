"""The names of event types by their numbers in the user rows of a shard."""

import json

from streamrec.transport.redis_keys import key
from streamrec.transport.redis_store import Store


def event_types(store: Store, shard: str) -> list[str]:
    """Return the names; none before the shard's first commit. Raises StoreError."""
    [[found]] = store.run([("HMGET", key(shard, "meta"), "types")])
    names: list[str] = json.loads(found) if found else []
    return names
