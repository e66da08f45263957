"""The steps of growing in Redis: each can be done again after a kill, and ends as if done once.

A marker lies there from the first step to the last: nothing else starts meanwhile. Shards are
sealed: a process that lives on all the same cannot commit. New rows lie beside the old ones, in the
same slot, until one script for each shard puts them in their place.
"""

from collections.abc import Iterable, Mapping, Sequence

import msgspec

from streamrec.errors import ConfigurationError, DamagedState, Overtaken
from streamrec.growth.plan import COPY, Plan
from streamrec.transport.redis.forgetting import FORGOTTEN
from streamrec.transport.redis.keys import (
    DUE,
    GROWING,
    LATER,
    SHARDS,
    Shards,
    all_shards,
    key,
)
from streamrec.transport.redis.stopped import STOPPED
from streamrec.transport.redis.store import Store

WAITING = (DUE, LATER)
USER_KINDS = ("users", "rings", *WAITING)
APART = ("meta", "feed", FORGOTTEN)
"""What is made anew, put to an end, or has to be empty; any other kind is refused (`strange`)."""
SEALED = -1
NOTE = """
local found = redis.call('GET', KEYS[1])
if found ~= ARGV[1] and found ~= ARGV[2] then return 0 end
redis.call('SET', KEYS[1], ARGV[2])
return 1
"""
SEAL = """
if redis.call('EXISTS', KEYS[1]) == 1 then redis.call('HSET', KEYS[1], 'growth', ARGV[1]) end
"""
SWITCH = """
local done = redis.call('HGET', KEYS[1], 'growth')
if done == ARGV[1] then return 1 end
if done ~= ARGV[2] and redis.call('EXISTS', KEYS[1]) == 1 then return 0 end
for n = 3, #KEYS, 2 do
  redis.call('UNLINK', KEYS[n])
  if redis.call('EXISTS', KEYS[n + 1]) == 1 then redis.call('RENAME', KEYS[n + 1], KEYS[n]) end
end
local meta = redis.call('HGETALL', KEYS[2])
if #meta > 0 then
  local new = redis.call('HEXISTS', KEYS[1], 'offset') == 0
  redis.call('HSET', KEYS[1], unpack(meta))
  for n = 4, #ARGV do if new then redis.call('HSET', KEYS[1], ARGV[n], ARGV[3]) end end
  redis.call('UNLINK', KEYS[2])
end
if redis.call('EXISTS', KEYS[1]) == 1 then redis.call('HSET', KEYS[1], 'growth', ARGV[1]) end
return 1
"""
"""New rows for old; a new shard begins at ARGV[3] in the fields behind it. 0: it was not sealed."""


def staged(shard: str, kind: str) -> str:
    """Return the key of rows that wait for their shard's switch, in the shard's slot."""
    return key(shard, f"grown:{kind}")


class Growing:
    """Marker, seals, switch and end; the rows are dealt in dealing.py."""

    def __init__(self, store: Store, item_kinds: Sequence[str]) -> None:
        """item_kinds: of all rows of item shards, those that sources keep among them."""
        self._store = store
        self._item_kinds = tuple(item_kinds)
        self._marker: bytes | None = None  # as this process knows it

    def marker(self) -> Plan | None:
        """Return what was begun and is not done."""
        [self._marker] = self._store.run([("GET", GROWING)])
        return None if self._marker is None else msgspec.json.decode(self._marker, type=Plan)

    def shards(self) -> Shards | None:
        """Return how the state is partitioned, as the last finished growth left it."""
        [blob] = self._store.run([("GET", SHARDS)])
        return None if blob is None else msgspec.json.decode(blob, type=Shards)

    def strange(self) -> list[str]:
        """Return keys of shards that nobody here knows how to deal."""
        known = {*USER_KINDS, *APART, *self._item_kinds}
        return sorted(
            name.decode()
            for names in self._store.names("sr:{[uim]*}:*", 1000)
            for name in names
            if name.decode().partition("}:")[2].removeprefix("grown:") not in known
        )

    def begin(self, plan: Plan) -> None:
        """Lay down the marker; raises ConfigurationError where another process was faster."""
        self._marker = msgspec.json.encode(plan)
        if not self._store.run([("SET", GROWING, self._marker, "NX")])[0]:
            raise ConfigurationError("another `streamrec grow` has begun just now")

    def take(self, plan: Plan, owner: str) -> None:
        """Go on with what another process has begun; should it live, it ends at its next step."""
        plan.owner = owner
        self.note(plan, plan.step)

    def note(self, plan: Plan, step: str) -> None:
        """Keep which step is to be done now; raises as `check`."""
        plan.step = step
        blob = msgspec.json.encode(plan)
        [done] = self._store.run([("EVAL", NOTE, 1, GROWING, self._marker or b"", blob)])
        if not done:
            self.check()
        self._marker = blob

    def check(self) -> None:
        """Raise ConfigurationError where another process has gone on with it."""
        if self._store.run([("GET", GROWING)])[0] != self._marker:
            raise Overtaken("another `streamrec grow` goes on with it: this one has ended")

    def seal(self, shards: Shards) -> None:
        """Let no process commit any more, should one live that nobody sees."""
        self._seal(all_shards(shards.counts), SEALED)

    def clear(self, plan: Plan) -> None:
        """Delete all rows that wait."""
        names = [name for shard in all_shards(plan.targets) for name in self._staged(shard)]
        self._store.run([("UNLINK", name) for name in names])

    def abandon(self, shards: Shards, plan: Plan) -> None:
        """Leave everything as it was before `begin`; only before there are new partitions."""
        self.check()
        self.clear(plan)
        self._seal(all_shards(shards.counts), shards.growth)
        self._store.run([("DEL", GROWING)])

    def switch(self, plan: Plan, starts: Mapping[str, int]) -> None:
        """Put each shard's rows in their place; starts: where partitions begin, by shard."""
        for shard in all_shards(plan.targets):
            kinds = () if shard[0] == "m" else self._kinds(shard)
            pairs = [name for kind in kinds for name in (key(shard, kind), staged(shard, kind))]
            [dealt] = self._store.run([("EXISTS", staged(shard, "meta"))])
            names = [key(shard, "meta"), staged(shard, "meta"), *(pairs if dealt else ())]
            begins = ("offset", "start") if shard[0] == "u" else ("offset",)
            more = (plan.growth, SEALED, starts[shard], *begins)
            [done] = self._store.run([("EVAL", SWITCH, len(names), *names, *more)])
            if not done:
                raise DamagedState(
                    f"{shard} was written to while the partitions were made more: by which process?"
                    " Stop it, restore a backup of Redis, or start over (docs/guarantees.md)"
                )

    def finish(self, shards: Shards, plan: Plan) -> Shards:
        """Declare the new partitions, and take the marker away."""
        grown = msgspec.structs.replace(
            shards,
            users=plan.events, items=plan.updates, metadata=plan.items,
            epoch=plan.epoch, growth=plan.growth,
        )  # fmt: skip
        self._store.run([("SET", SHARDS, msgspec.json.encode(grown)), ("DEL", STOPPED)])
        self.clear(plan)
        self._store.run([("DEL", GROWING)])
        return grown

    def _seal(self, shards: Iterable[str], growth: int) -> None:
        self._store.run([("EVAL", SEAL, 1, key(shard, "meta"), growth) for shard in shards])

    def _kinds(self, shard: str) -> tuple[str, ...]:
        """Return what is put in place; the feed of what changed before is put to an end."""
        return USER_KINDS if shard[0] == "u" else (*self._item_kinds, "feed")

    def _staged(self, shard: str) -> list[str]:
        kinds = () if shard[0] == "m" else self._kinds(shard)
        return [staged(shard, kind) for kind in ("meta", *kinds)]


def new_plan(
    shards: Shards, targets: tuple[int, int, int], epoch: str, despite_keys: bool = False
) -> Plan:
    """Return the plan to grow to so many partitions of events, updates and items."""
    growth = shards.growth + 1
    return Plan(*targets, epoch, growth, despite_keys, COPY, owner=epoch)
