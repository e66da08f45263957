"""The encoder of texts, opened when the first text comes: most recommenders have none."""

from collections.abc import Sequence
from functools import cached_property
from typing import Any

from streamrec.errors import ConfigurationError
from streamrec.text.encoder import open_encoder
from streamrec.text.words import Encoder


class LateEncoder:
    """An encoder that a setting names, not opened yet. Raises ConfigurationError where it opens."""

    def __init__(self, model: str) -> None:
        self.name = model

    @property
    def number(self) -> int:
        """64 bits that stand for the model's files."""
        return self._opened.number

    def encode(self, texts: Sequence[str]) -> Any:
        """Return int8[n, WIDTH]."""
        return self._opened.encode(texts)

    @cached_property
    def _opened(self) -> Encoder:
        found = open_encoder(self.name)
        if found is None:
            raise ConfigurationError(f"text.model {self.name!r} is no encoder.")
        return found
