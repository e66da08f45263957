"""Vectors of items' texts in the rows of their owner: which are wanted, which are there.

`text_of` is a function of the log: the address of the text that an item has. The vector comes later
and from beside the log, but what it is depends on the text and the encoder alone; `text_by` says
of which. So whatever a crash undoes is seen to be missing, and made again, the same.
"""

from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from streamrec.state.item_rows import ITEMS, TEXTS, changed_of
from streamrec.state.schema import ALL, Arrays
from streamrec.text.words import address_of, words_of

ITEMS_CHANGED, TEXTS_CHANGED = changed_of(ITEMS), changed_of(TEXTS)


class Words(msgspec.Struct):
    """What is read of an item's metadata."""

    title: str = ""
    categories: list[str] = []
    text: str = ""


def words_in(entry: bytes) -> str:
    """Return what is to be encoded of an item's metadata, catalogue JSON."""
    words = msgspec.json.decode(entry, type=Words)
    return words_of(words.title, words.categories, words.text)


def want(items: Arrays, row: int, entry: bytes) -> bool:
    """Note the text of an item whose metadata came; say whether it is another than before.

    The vector of the text before is gone.
    """
    address = address_of(words_in(entry))
    if items.text_of[row] == address:
        return False
    items.text_of[row] = address
    items.named(ITEMS_CHANGED)[row] = ALL
    forget(items, np.array([row]))
    return True


def waiting(items: Arrays, count: int, number: int) -> NDArray[np.int64]:
    """Return those of the first `count` rows whose text has no vector by the encoder."""
    of, by = items.text_of[:count], items.text_by[:count]
    return np.flatnonzero((of != 0) & (by != (of ^ np.uint64(number))))


def keep(items: Arrays, rows: Any, vectors: Any, number: int) -> None:
    """Put vectors int8[n, WIDTH] of the rows' texts in, as made by the encoder."""
    items.text[rows] = vectors
    items.text_by[rows] = items.text_of[rows] ^ np.uint64(number)
    items.named(TEXTS_CHANGED)[rows] = ALL


def forget(items: Arrays, rows: Any) -> None:
    """Take vectors out, where there are any."""
    rows = rows[items.text_by[rows] != 0]
    items.text[rows] = 0
    items.text_by[rows] = 0
    items.named(TEXTS_CHANGED)[rows] = ALL
