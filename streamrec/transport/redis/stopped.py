"""Which shards stand still because their owner ended with an error: for those who live on."""

from collections.abc import Iterable, Mapping

import msgspec

from streamrec.transport.redis.store import Store

STOPPED = "sr:stopped"


class Stopped(msgspec.Struct):
    """Why a shard's owner ended; `cause` is the error's text."""

    stage: str
    reason: str
    cause: str
    at: float  # epoch s


def note_stopped(store: Store, shards: Mapping[str, Stopped]) -> None:
    """Keep why these shards stand still; one field a shard."""
    pairs = [part for name, why in shards.items() for part in (name, msgspec.json.encode(why))]
    if pairs:
        store.run([("HSET", STOPPED, *pairs)])


def forget_stopped(store: Store, shards: Iterable[str]) -> None:
    """Note that these shards are learnt on."""
    names = list(shards)
    if names:
        store.run([("HDEL", STOPPED, *names)])


def stopped(store: Store) -> dict[str, Stopped]:
    """Return the shards that stand still."""
    [found] = store.run([("HGETALL", STOPPED)])
    return {name.decode(): msgspec.json.decode(why, type=Stopped) for name, why in found.items()}
