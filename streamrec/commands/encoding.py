"""Encodes the texts of a file's items, with a bar, before an evaluation needs them."""

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from streamrec.commands.options import say

if TYPE_CHECKING:
    from streamrec.events.event import Item
    from streamrec.text.words import Encoder

BATCH = 64


def texts_encoded(model: str, items: "Sequence[Item]") -> "Encoder | None":
    """Return an encoder that knows the items' texts; None for hashed words, or without items."""
    from rich.console import Console
    from rich.progress import Progress

    from streamrec.text.encoder import INSTALL, Remembered, open_encoder
    from streamrec.text.words import words_of

    texts = sorted({words_of(i.title, i.categories, i.text) for i in items} - {""})
    if not texts:
        return None
    encoder = open_encoder(model)
    if encoder is None:
        say(f"Texts of items: hashed words ({INSTALL}, and text.model, for an encoder).")
        return None
    say(f"Texts of items: {len(texts):,} for the encoder {encoder.name}.")
    known = Remembered(encoder)
    with Progress(console=Console(stderr=True), disable=not sys.stderr.isatty()) as bar:
        task = bar.add_task("encoding", total=len(texts))
        known.learn(texts, BATCH, lambda count: bar.advance(task, count))
    return known
