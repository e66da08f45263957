"""How the state is partitioned: declared by the first process, read by all; not while it grows."""

import logging
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from streamrec.errors import ConfigurationError
from streamrec.growth.plan import Plan
from streamrec.transport.redis.keys import BOOTSTRAP, GROWING, SHARDS, Shards

logger = logging.getLogger(__name__)
Run = Callable[[Sequence[tuple[Any, ...]]], list[Any]]
LOOK_SECONDS = 2.0
"""Processes that go on for long notice a growth within so long; `grow` waits for them."""
DECLARE = """
local found = redis.call('GET', KEYS[1])
if not found then
  redis.call('SET', KEYS[1], ARGV[1])
  return ARGV[1]
end
local shards, mine = cjson.decode(found), cjson.decode(ARGV[1])
if next(shards.log or {}) or not next(mine.log or {}) then return found end
shards.log = mine.log
found = cjson.encode(shards)
redis.call('SET', KEYS[1], found)
return found
"""
"""The first one wins; so does the first to add the ids of the log, where a release wrote none."""


def declare(run: Run, wanted: Shards) -> Shards:
    """Write how the state is partitioned unless that is written; see Store.declare."""
    bootstrap, growing = run([("EXISTS", BOOTSTRAP), ("GET", GROWING)])
    _refuse_growing(growing)
    if bootstrap:
        raise ConfigurationError(
            "a bootstrap is filling this Redis: wait until it is done. If it was cut off, run "
            "`streamrec bootstrap` with --again"
        )
    [found] = run([("EVAL", DECLARE, 1, SHARDS, msgspec.json.encode(wanted))])
    stored = msgspec.json.decode(found, type=Shards)
    for name in ("version", "size"):
        have, want = getattr(stored, name), getattr(wanted, name)
        if have != want:
            raise ConfigurationError(
                f"the state in Redis was made with {name} = {have}, the settings now say "
                f"{want}: restore them, or start with empty topics and an empty Redis"
            )
    return stored


def declared(run: Run) -> Shards | None:
    """Return how the state is partitioned; raises ConfigurationError while it grows."""
    blob, growing = run([("GET", SHARDS), ("GET", GROWING)])
    _refuse_growing(growing)
    return None if blob is None else msgspec.json.decode(blob, type=Shards)


def wait_for_shards(read: Callable[[], Shards | None], stop: threading.Event) -> Shards | None:
    """Return how the state is partitioned once a learn process has said so; None at `stop`.

    read: Store.shards.
    """
    waited = 0
    while not stop.is_set():
        shards = read()
        if shards is not None:
            return shards
        if waited % 50 == 0:
            logger.info("waiting for a learn process to declare the shards in Redis")
        waited += 1
        stop.wait(0.1)
    return None


class Unchanged:
    """Looks, for a process that goes on for long, whether the partitions are what they were."""

    def __init__(self, read: Callable[[], Shards | None], began_with: Shards | None = None) -> None:
        """read: Store.shards; began_with: None takes what is first found."""
        self._read = read
        self._began_with = began_with
        self._looked = time.monotonic()

    def look(self, now: float) -> None:
        """Raise ConfigurationError if they grow, or have grown; at most every LOOK_SECONDS."""
        if now - self._looked < LOOK_SECONDS:
            return
        self._looked = now
        self.check()

    def check(self) -> None:
        """Look now."""
        found = self._read()
        before = self._began_with
        if before is not None and found is not None and found.growth > before.growth:
            raise ConfigurationError(
                "the partitions were made more since this process started: start it again"
            )
        self._began_with = found or before


def _refuse_growing(marker: bytes | None) -> None:
    if marker is not None:
        plan = msgspec.json.decode(marker, type=Plan)
        raise ConfigurationError(
            f"the partitions are being made more, or that was cut off: run `{plan.command}` again, "
            "and start this when it is done"
        )
