"""What is encoded of an item, under which address, and what is stored of its vector."""

from collections.abc import Sequence
from functools import cache
from hashlib import sha256
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
WIDTH = 384
"""Numbers stored of a vector: those of MiniLM. Longer ones are projected, shorter ones filled."""
MOST_LETTERS = 500
"""Of an item's text, which follows its title and categories."""
SEED = 384


class Encoder(Protocol):
    """What makes vectors of texts; the same text under the same number is the same bytes."""

    name: str
    number: int
    """64 bits that stand for the model's files: another model has another number."""

    def encode(self, texts: Sequence[str]) -> NDArray[np.int8]:
        """Return int8[n, WIDTH]."""


def words_of(title: str, categories: Sequence[str], text: str) -> str:
    """Return what is encoded of an item; empty if there is nothing."""
    parts = (title, ", ".join(categories), text[:MOST_LETTERS])
    return ". ".join(part.strip() for part in parts if part.strip())


def address_of(words: str) -> int:
    """Return the first 8 bytes of the SHA-256 of a text as a number; 0 of no text."""
    if not words:
        return 0
    return int.from_bytes(sha256(words.encode("utf-8", "replace")).digest()[:8], "little") or 1


def stored_of(vectors: Array) -> NDArray[np.int8]:
    """Return int8[n, WIDTH] of float[n, d]: each vector's largest number becomes 127.

    d > WIDTH: projected on WIDTH orthogonal directions drawn from a fixed seed.
    """
    length = vectors.shape[1]
    if length > WIDTH:  # one by one: sums of a matrix product may depend on how many rows it has
        vectors = np.stack([vector @ _directions(length) for vector in vectors])
    largest = np.abs(vectors).max(axis=1, keepdims=True, initial=0.0)
    out = np.zeros((len(vectors), WIDTH), np.int8)
    scaled = vectors * (127.0 / np.where(largest > 0.0, largest, 1.0))
    out[:, : min(length, WIDTH)] = np.rint(scaled)
    return out


def unit(vectors: Array) -> NDArray[np.float32]:
    """Return float32 vectors of unit length; zero stays zero."""
    out = vectors.astype(np.float32)
    lengths = np.sqrt(np.einsum("nd,nd->n", out, out))
    out /= np.where(lengths > 0.0, lengths, 1.0)[:, None]
    return out


@cache
def _directions(length: int) -> Array:
    """Return float64[length, WIDTH]: orthogonal directions, the same for all of one length."""
    drawn = np.random.default_rng(SEED).standard_normal((length, WIDTH))
    return np.linalg.qr(drawn)[0]
