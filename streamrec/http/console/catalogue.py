"""Finds items by words of their titles, or by their ids."""

import threading
import time

from streamrec.client import Client
from streamrec.http.console.lists import Named, read_named
from streamrec.state.item_rows import CATALOGUE
from streamrec.transport.redis.keys import item_shards

FRESH_SECONDS = 60.0
MOST = 12


class Catalogue:
    """Ids and titles of all items, read again after a minute, by who asks then."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._items: list[tuple[str, Named]] = []
        self._read = -FRESH_SECONDS

    def search(self, client: Client, text: str) -> list[Named]:
        """Return up to MOST items that have all words of the text, the best match first."""
        words, items = text.casefold().split(), self._fresh(client)
        if not words:
            return []
        found = [(folded, item) for folded, item in items if all(w in folded for w in words)]
        found.sort(key=lambda one: (one[1].item != text, not _begins(one[0], words), len(one[0])))
        return [item for _, item in found[:MOST]]

    def _fresh(self, client: Client) -> list[tuple[str, Named]]:
        with self._lock:
            if time.monotonic() - self._read >= FRESH_SECONDS or not self._items:
                self._items = _all(client)
                self._read = time.monotonic()
            return self._items


def _all(client: Client) -> list[tuple[str, Named]]:
    shards = item_shards(client.store.known_shards())
    rows = [row for shard in shards for row in client.store.all_rows(shard, CATALOGUE).values()]
    items = map(read_named, rows)
    return [(f"{one.title} {one.item}".casefold(), one) for one in items]


def _begins(folded: str, words: list[str]) -> bool:
    """Return whether each word begins a word of the text."""
    return all(folded.startswith(word) or f" {word}" in folded for word in words)
