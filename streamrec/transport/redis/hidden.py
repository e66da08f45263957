"""The public set of hidden items in Redis: not to be shown, whatever stored list they are in."""

import logging
from collections.abc import Iterable, Sequence
from typing import Any

from streamrec.errors import StoreError
from streamrec.transport.redis.keys import HIDDEN
from streamrec.transport.redis.nodes import as_store_errors
from streamrec.transport.redis.store import SCAN_COUNT, Store

logger = logging.getLogger(__name__)
WRITE_COUNT = 1000
"""Items of one command."""


def hidden_items(store: Store) -> set[str]:
    """Return all of them."""
    with as_store_errors("answer"):
        found: Any = store.client(HIDDEN).sscan_iter(HIDDEN, count=SCAN_COUNT)
        return {item.decode() for item in found}


def hidden_among(store: Store, items: Sequence[str]) -> set[str]:
    """Return which of these items are hidden."""
    if not items:
        return set()
    [flags] = store.run([("SMISMEMBER", HIDDEN, *items)])
    return {item for item, flag in zip(items, flags, strict=True) if flag}


def hidden_names(store: Store, items: Iterable[str]) -> set[str]:
    """Return which of these items became unavailable; none where that cannot be told."""
    try:
        return hidden_among(store, sorted(set(items)))
    except StoreError as error:
        logger.warning("hidden items are not known", extra={"cause": str(error)})
        return set()


def hide(store: Store, hidden: Sequence[str], shown: Sequence[str]) -> None:
    """Put items into the set, and others out of it."""
    for command, items in (("SADD", hidden), ("SREM", shown)):
        cuts = range(0, len(items), WRITE_COUNT)
        store.run([(command, HIDDEN, *items[n : n + WRITE_COUNT]) for n in cuts])
