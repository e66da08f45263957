"""Content: an item's title, categories and text as a vector of unit length.

Score of j: the cosine of its vector with the weighted mean of those of the user's latest items.

With an encoder (docs/text.md): its vector, less the mean, on the main directions of those known,
both by the vectors known when their number last doubled; no opinion of an item without one.

Without: hashed TF-IDF. Each word w adds sign(w) sqrt(tf_w) idf_w at a place that its hash gives
(Weinberger et al. 2009), idf_w = log(1 + n / (1 + df_w)) over the items known when the vector is
made; a category counts as one word of weight 2. Similar texts get similar vectors, so an item can
be found from its metadata before its first click.
"""

import math
import re
from collections.abc import Mapping, Sequence
from typing import Annotated, Any
from zlib import crc32

import numpy as np
from msgspec import Meta
from numpy.typing import NDArray

from streamrec.settings.types import Section
from streamrec.sources.source import Shopper, Source
from streamrec.sources.user_vector import mean_of
from streamrec.state.schema import Column
from streamrec.text.whiten import Whitening
from streamrec.text.words import WIDTH

Array = NDArray[Any]
WORD = re.compile(r"\w+", re.UNICODE)
CATEGORY_WEIGHT = 2.0
MOST_WORDS = 200
MOST_KNOWN = 200_000


class ContentSettings(Section, frozen=True, kw_only=True):
    """Titles, categories and texts of items, as vectors."""

    size: Annotated[int, Meta(ge=0, le=1024)] = 64
    """Length of an item's vector; 0 switches this source off."""


class Content(Source):
    """What reads like the user's latest items."""

    name, section = "content", "content"
    Settings = ContentSettings
    follows = "texts"
    in_blend = "raw"

    def __init__(self, settings: Any) -> None:
        self._size = settings.content.size
        self._hashed = settings.text.hashed()
        self._shorter: Whitening | None = None
        self._known = 0  # vectors when that was made
        self._silent: Array = np.zeros(0, np.int64)
        factors = settings.factors
        self._context, self._by = factors.context, (factors.context_decay, 1.0)

    def active(self) -> bool:
        """Say whether vectors are made."""
        return bool(self._size > 0)

    @property
    def encoded(self) -> bool:
        """Whether the vectors are an encoder's."""
        return self.active() and not self._hashed

    def columns(self) -> Sequence[Column]:
        """Return, for readers alone, the vector: of unit length, or zero."""
        return (Column("content", "<f4", self._size, "texts", stored=False),)

    def memory(self) -> "Words":
        """Return counts of items by word."""
        return Words(self._size)

    def describe(self, arrays: Any, row: int, entry: Any, memory: Any) -> None:
        """Make the item's vector."""
        if self._size and self._hashed:
            vector = memory.vector(row, entry.title, entry.categories, entry.text)
            arrays.content[row] = vector

    def follow(self, arrays: Any, rows: Array, theirs: Any, source: Array) -> None:
        """Shorten vectors; all of them, by new directions, when twice as many are known."""
        if not self._size or self._hashed:
            return
        known = int(np.count_nonzero(arrays.text_by))
        if known and known >= 2 * self._known:
            self._shorter = Whitening.of(arrays.text, self._size, plain=True)
            self._known, rows = known, np.flatnonzero(arrays.text_by)
        if self._shorter is not None:  # else no text is known, and all vectors are 0
            arrays.content[rows] = self._shorter.apply(arrays.text[rows])

    def keep(self, memory: Any) -> dict[str, Array]:
        """Return the counts of words, and by which directions vectors are shortened."""
        kept: dict[str, Array] = memory.counts() if self._hashed else {}
        if self._shorter is not None:
            kept = {**self._shorter._asdict(), "known": np.array([self._known])}
        return kept

    def resume(self, memory: Any, kept: Mapping[str, Array]) -> None:
        """Take them over."""
        if self._hashed:
            memory.resume(kept)
        elif "known" in kept:
            self._shorter = Whitening(kept["mean"], kept["matrix"])
            self._known = int(kept["known"][0])

    def prepare(self, table: Any) -> None:
        """Note of which items nothing is known."""
        if not self._hashed:
            self._silent = np.flatnonzero(table.table.arrays.text_by[: len(table.table)] == 0)

    def score_all(self, arrays: Any, users: Sequence[Shopper], out: Array) -> None:
        """Fill out with the cosines; nothing is said to whom nothing is known of."""
        if self._fill(arrays, users, slice(out.shape[1]), out):
            out[:, self._silent] = np.nan

    def score_rows(self, arrays: Any, users: Sequence[Shopper], rows: Array, out: Array) -> None:
        """Fill out with the same of some rows."""
        if self._fill(arrays, users, rows, out) and not self._hashed:
            out[:, arrays.text_by.take(rows) == 0] = np.nan

    def _fill(self, arrays: Any, users: Sequence[Shopper], rows: Any, out: Array) -> bool:
        """Fill out with the cosines of rows; say whether anything is said to anybody."""
        profiles = np.zeros((len(users), self._size), np.float32)
        for k, user in enumerate(users):
            mean_of(arrays.content, user.history[: self._context], self._by, profiles[k])
        said: list[bool] = profiles.any(axis=1).tolist()  # type: ignore[assignment]
        if any(said):
            np.matmul(profiles, arrays.content[rows].T, out=out)
        for k, knows in enumerate(said):
            if not knows:
                out[k] = np.nan
        return any(said)

    def support(self, arrays: Any, user: Shopper, rows: Array, where: Array) -> Array:
        """Return each past item's term of the cosine."""
        out = np.zeros((len(rows), len(user.history)))
        context = user.history[: self._context]
        weights = mean_of(arrays.content, context, self._by, np.zeros(self._size, np.float32))
        past = arrays.content[context]
        out[:, : len(weights)] = weights * (arrays.content[rows] @ past.T)
        return out

    def vectors(self, settings: Any) -> tuple[str, int]:
        """Return the column of the vectors."""
        return ("content", self._size) if self._hashed else ("text", WIDTH)


class Words:
    """Counts of items by word. Bound: MOST_KNOWN words; others count as new."""

    def __init__(self, size: int) -> None:
        self.size = size
        self._items: dict[int, int] = {}
        self._counted: set[int] = set()

    def counts(self) -> dict[str, Array]:
        """Return words with their counts, and the rows that were counted."""
        return {
            "words": np.fromiter(self._items, np.uint32, len(self._items)),
            "items": np.fromiter(self._items.values(), np.int64, len(self._items)),
            "counted": np.array(sorted(self._counted), np.int64),
        }

    def resume(self, counts: Mapping[str, Array]) -> None:
        """Go on from what `counts` returned."""
        words = counts["words"].tolist(), counts["items"].tolist()
        self._items = dict(zip(*words, strict=True))
        self._counted = set(counts["counted"].tolist())

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
