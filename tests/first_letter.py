"""A source for people who think alphabetically: titles that begin as those taken lately do."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from streamrec.settings.types import Section, Size
from streamrec.sources.source import Array, Said, Shopper, Source
from streamrec.state.schema import Column


class FirstLetterSettings(Section, frozen=True, kw_only=True):
    """Titles that begin alike."""

    items: Size = 3
    """Newest items of the user whose letters count."""


class FirstLetter(Source):
    """What begins with the same letter as the user's latest items."""

    name = section = "first_letter"
    Settings = FirstLetterSettings
    weight = 0.1

    def __init__(self, settings: Any) -> None:
        self._items = settings.first_letter.items

    def columns(self) -> Sequence[Column]:
        """Return, for readers alone, the code of the letter; 0 without a title."""
        return (Column("first_letter", "<u4", kind="catalogue", stored=False),)

    def describe(self, arrays: Any, row: int, entry: Any, memory: Any) -> None:
        """Note the letter of an item whose metadata came."""
        arrays.first_letter[row] = ord(entry.title[0].lower()) if entry.title else 0

    def score(self, arrays: Any, user: Shopper, scores: Array, touched: Array) -> Said:
        """Score j: the sum of 1 / b over the newest items b that begin like j."""
        letters = arrays.first_letter
        for b, h in enumerate(user.history[: self._items].tolist(), 1):
            if letters[h]:
                scores[np.flatnonzero(letters == letters[h])] += 1.0 / b
        rows = np.flatnonzero(scores)
        touched[: len(rows)] = rows
        return Said(len(rows), float(scores.sum()))

    def support(self, arrays: Any, user: Shopper, rows: Array, where: Array) -> Array:
        """Return the 1 / b of each past item that begins like each row."""
        letters, past = arrays.first_letter, user.history[: self._items]
        alike = (letters[rows][:, None] == letters[past]) & (letters[past] > 0)
        out = np.zeros((len(rows), len(user.history)))
        out[:, : len(past)] = alike / np.arange(1, len(past) + 1)
        return out
