"""How far the learners are, as their stored offsets and counters in Redis say; reads only."""

import json
from collections import Counter

from streamrec.settings.sections import RedisSettings
from streamrec.transport.redis.keys import item_shards, key, user_shards
from streamrec.transport.redis.store import Store

TURNED_AWAY = ("duplicate", "suppressed", "rejected")
"""What the law of conservation counts besides events that were learnt."""


class LearntEvents:
    """Counts the events that both folds have committed since this was made.

    The user stage of partition p has reached the offset in `sr:{up}:meta`; every item shard has
    reached its mark for the source up. An event counts once all of them are past it. Events that
    others produce meanwhile count too.
    """

    def __init__(self, settings: RedisSettings) -> None:
        self._store = Store(settings)
        self._users: list[str] = []
        self._items: list[str] = []
        self._start = self.positions()
        self._counted = self._counters()

    def count(self) -> int:
        """Return the number of events that both folds are past."""
        now = self.positions()
        return sum(offset - self._start.setdefault(shard, 0) for shard, offset in now.items())

    def positions(self) -> dict[str, int]:
        """Return up to which offset each source has been learnt by all."""
        self._find_shards()
        calls = [("HGET", key(shard, "meta"), "offset") for shard in self._users]
        calls += [("HGET", key(shard, "meta"), "marks") for shard in self._items]
        found = self._store.run(calls)
        marks = [json.loads(text or "{}") for text in found[len(self._users) :]]
        return {
            shard: min([int(offset or 0), *(int(mark.get(shard, 0)) for mark in marks)])
            for shard, offset in zip(self._users, found, strict=False)
        }

    def turned_away(self) -> dict[str, int]:
        """Return how many of them were not learnt, by what became of them; 0 are left out."""
        now = self._counters() - self._counted
        return {name: now[name] for name in TURNED_AWAY if now[name] > 0}

    def due_users(self) -> int:
        """Return how many users wait for a new list."""
        self._find_shards()
        return self._store.due_count(self._users)

    def close(self) -> None:
        """Close the connection."""
        self._store.close()

    def _counters(self) -> Counter[str]:
        self._find_shards()
        texts = self._store.run([("HGET", key(shard, "meta"), "counters") for shard in self._users])
        return sum((Counter(json.loads(text or "{}")) for text in texts), Counter[str]())

    def _find_shards(self) -> None:
        if not self._users:
            shards = self._store.shards()  # None until the first learn process has started
            if shards is not None:
                self._users, self._items = user_shards(shards), item_shards(shards)
