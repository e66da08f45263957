"""Content: an item's title, categories and text as a hashed TF-IDF vector of unit length.

Each word w adds sign(w) sqrt(tf_w) idf_w at a place that its hash gives (Weinberger et al. 2009),
idf_w = log(1 + n / (1 + df_w)) over the items known when the vector is made; a category counts as
one word of weight 2. Similar texts get similar vectors, so an item can be found from its metadata
before its first click.
"""

import math
import re
from collections.abc import Sequence
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

WORD = re.compile(r"\w+", re.UNICODE)
CATEGORY_WEIGHT = 2.0
MOST_WORDS = 200
MOST_KNOWN = 200_000


class Words:
    """Counts of items by word. Bound: MOST_KNOWN words; others count as new."""

    def __init__(self, size: int) -> None:
        self.size = size
        self._items: dict[int, int] = {}
        self._counted: set[int] = set()

    def vector(
        self, row: int, title: str, categories: Sequence[str], text: str
    ) -> NDArray[np.float32]:
        """Return float32[size] of one item and count its words, once a row."""
        words: dict[int, float] = {}
        for word in WORD.findall(f"{title} {text}".lower())[:MOST_WORDS]:
            code = crc32(word.encode())
            words[code] = words.get(code, 0.0) + 1.0
        for category in categories:
            words[crc32(b"\0" + category.lower().encode())] = CATEGORY_WEIGHT**2
        if row not in self._counted:
            self._counted.add(row)
            for code in words:
                if code in self._items or len(self._items) < MOST_KNOWN:
                    self._items[code] = self._items.get(code, 0) + 1
        out = np.zeros(self.size, np.float32)
        for code, count in words.items():
            idf = math.log(1.0 + len(self._counted) / (1.0 + self._items.get(code, 0)))
            sign = 1.0 if code & 1 else -1.0
            out[(code >> 1) % self.size] += sign * math.sqrt(count) * idf
        length = float(np.sqrt((out**2).sum()))
        return out / np.float32(length) if length > 0.0 else out
