"""How the state lies in Redis: key names, what a commit stores, and the scripts of the scorer."""

import json
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import msgspec

from streamrec.settings.places import HOME
from streamrec.settings.sections import KafkaSettings

LETTERS = "uim"
"""With which names of shards begin: of users, items, metadata."""
SHARDS = "sr:shards"
BOOTSTRAP = "sr:bootstrap"
"""Keys that a bootstrap writes, JSON; there until it is done."""
GROWING = "sr:growing"
"""How the partitions are to be, and how far that is done, JSON; there until it is done."""
POPULAR = "~popular"
STRANGER = "~place"
"""Stands for a user in what strangers see at a place."""
PLACES = "rec:~places"
"""The names of all places that lists were ever stored for, as JSON."""
HIDDEN = "rec:~hidden"
"""The public set of items that are not to be shown, whatever list they are in."""

DUE, LATER = "due", "later"
"""Users who wait for a list: who clicked, and who come after those, as all do after a bootstrap."""
USER_ROWS = ("users", "rings", "forgotten")
BESIDE_ROWS = ("meta", DUE, LATER, "feed")
"""Kinds of keys of a shard, beside the kinds of item rows."""

TAKE_DUE = """
local now, lease, most = ARGV[1], ARGV[2], tonumber(ARGV[3])
local due = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now, 'WITHSCORES', 'LIMIT', 0, most)
if #due < 2 * most then
  local room = most - #due / 2
  local later = redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', now, 'LIMIT', 0, room)
  for i = 1, #later do
    if redis.call('ZSCORE', KEYS[1], later[i]) then
      redis.call('ZREM', KEYS[2], later[i])
    else
      due[#due + 1], due[#due + 2] = later[i], '-1'
    end
  end
end
for i = 1, #due, 2 do
  redis.call('ZADD', KEYS[1], lease, due[i])
  redis.call('ZREM', KEYS[2], due[i])
end
return due
"""
DONE = """
local gone = {}
for i = 2, #ARGV do
  if tonumber(redis.call('ZSCORE', KEYS[1], ARGV[i])) == tonumber(ARGV[1]) then
    redis.call('ZREM', KEYS[1], ARGV[i])
  end
  if redis.call('HEXISTS', KEYS[2], ARGV[i]) == 0 then gone[#gone + 1] = ARGV[i] end
end
return gone
"""
PUBLISH = """
local old = redis.call('GETRANGE', KEYS[1], 0, 600)
local model, offset = string.match(old, '"model":"([^"+]*)[^"]*","offset":(%d+)')
if model == ARGV[2] and tonumber(offset) > tonumber(ARGV[3]) then return 0 end
for n = 1, #KEYS do redis.call('SET', KEYS[n], ARGV[3 + n], 'EX', ARGV[1]) end
return 1
"""
"""All lists of a user, the first of which says whether they are newer; in a Cluster each alone."""

DELETE_LIST = """
local old = redis.call('GETRANGE', KEYS[1], 0, 600)
local model, offset = string.match(old, '"model":"([^"+]*)[^"]*","offset":(%d+)')
if model == ARGV[2] and tonumber(offset) > tonumber(ARGV[1]) then return 0 end
return redis.call('DEL', unpack(KEYS))
"""
"""Of lists that know nothing after an offset of this state; those of another say nothing."""
DELETE_OWN = """
if redis.call('GETRANGE', KEYS[1], 0, #ARGV[1] - 1) ~= ARGV[1] then return 0 end
return redis.call('DEL', KEYS[1])
"""
"""Of a list that begins with this: the user's own."""
DELETE_FORGOTTEN = """
if redis.call('HGET', KEYS[1], ARGV[1]) ~= ARGV[2] then return 0 end
return redis.call('HDEL', KEYS[1], ARGV[1])
"""


class Shards(msgspec.Struct):
    """How the state is partitioned; written once, by the first learn process."""

    users: int
    items: int
    metadata: int
    size: int
    epoch: str  # of this state: lists of another epoch may be overwritten
    version: int = 2
    log: dict[str, str] = {}  # ids of the cluster and of topics by name, as LogIdentity has them
    growth: int = 0  # how often there were made more of them; each shard's meta says it too

    @property
    def counts(self) -> tuple[int, int, int]:
        """Shards of users, items and metadata, in the order of LETTERS."""
        return self.users, self.items, self.metadata

    @property
    def state(self) -> str:
        """Name the state: `model` of its lists begins with it, and their offsets compare."""
        return f"online-{self.epoch}"


class Commit(msgspec.Struct):
    """What one commit stores, all or nothing, only if the shard's stored offset is `expected`."""

    shard: str
    expected: int | None  # None: nothing is stored yet
    meta: Mapping[str, str | int]
    rows: Mapping[str, Mapping[bytes, bytes]]
    deletes: Mapping[str, Sequence[bytes]] = {}
    due: Mapping[str, float] = {}  # user -> time of the click, epoch ms
    undue: Sequence[str] = ()  # users who are due no more, but for those in `due`
    feed: Mapping[str, bytes] = {}
    feed_entries: int = 500


def key(shard: str, kind: str) -> str:
    """Return the Redis key of one kind of rows of a shard."""
    return f"sr:{{{shard}}}:{kind}"


def shown_key(user: str) -> str:
    """Return the key of what a user was shown."""
    return f"sr:shown:{user}"


def reading_key(user: str) -> str:
    """Return the key of what the neural ranker would read of a user's list."""
    return f"sr:reading:{user}"


def list_key(user: str, place: str = HOME, places: Collection[str] = ()) -> str:
    """Return the key of a user's list at a place; places: the names of all there are.

    A user whose id ends in `:` and the name of a place (`u1:deals`) has home at `rec:<user>:home`,
    for `rec:u1:deals` is what `u1` sees at `deals`.
    """
    if place != HOME:
        return f"rec:{STRANGER if user == POPULAR else user}:{place}"
    return shadowed_key(user) if is_shadowed(user, places) else f"rec:{user}"


def is_shadowed(user: str, places: Collection[str]) -> bool:
    """Say whether another user's list at a place has the key that this user's home would have."""
    return len(places) > 1 and ":" in user and user.rpartition(":")[2] in places


def shadowed_key(user: str) -> str:
    """Return where home is of a user whose id looks like that of a user and a place."""
    return f"rec:{user}:{HOME}"


def popular_of(name: str) -> str:
    """Return what stands for a user in the list for strangers of a category or segment."""
    return f"{POPULAR}:{name}"


def item_list_key(item: str, place: str = "") -> str:
    """Return the key of an item's list, or of its list at a place; no id has braces."""
    return f"sim:{{{item}}}:{place}" if place else f"sim:{item}"


def user_shards(shards: Shards) -> list[str]:
    """Return the names of all user shards."""
    return all_shards((shards.users, 0, 0))


def item_shards(shards: Shards) -> list[str]:
    """Return the names of all item shards."""
    return all_shards((0, shards.items, 0))


def all_shards(counts: tuple[int, int, int]) -> list[str]:
    """Return the names of so many shards of users, items and metadata: u0, u1, i0, i1, m0, m1."""
    each = zip(LETTERS, counts, strict=True)
    return [f"{letter}{n}" for letter, count in each for n in range(count)]


def shard_letters(kafka: KafkaSettings) -> dict[str, str]:
    """Return which shards are folded from which topic, by its name, in the order of LETTERS."""
    topics = kafka.events_topic, kafka.updates_topic, kafka.items_topic
    return dict(zip(topics, LETTERS, strict=True))


def feed_entry(number: int, marks: str, changed: Mapping[str, bytes]) -> dict[str, bytes]:
    """Return a feed entry: the commit's number, the marks reached, the changed keys."""
    return {"head": json.dumps({"commit": number, "marks": json.loads(marks)}).encode(), **changed}


def queue(pipe: Any, commit: Commit) -> None:
    """Queue what a commit stores between MULTI and EXEC."""
    pipe.multi()
    for kind, fields in commit.deletes.items():
        if fields:
            pipe.hdel(key(commit.shard, kind), *fields)
    for kind, rows in commit.rows.items():
        if rows:
            pipe.hset(key(commit.shard, kind), mapping=dict(rows))
    if commit.undue:
        for waiting in (DUE, LATER):
            pipe.zrem(key(commit.shard, waiting), *commit.undue)
    if commit.due:
        pipe.zadd(key(commit.shard, DUE), dict(commit.due), lt=True)
    if commit.feed:
        name, entry = key(commit.shard, "feed"), dict(commit.feed)
        pipe.xadd(name, entry, maxlen=commit.feed_entries, approximate=False)
    pipe.hset(key(commit.shard, "meta"), mapping=dict(commit.meta))
