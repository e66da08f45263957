"""Encodes the texts of items beside the item stage: never while an event waits for it."""

import logging
import time
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import NamedTuple

import numpy as np

from streamrec.monitoring.metrics import Metrics
from streamrec.state.item_rows import CATALOGUE
from streamrec.state.item_shard import ItemShard
from streamrec.state.texts import words_in
from streamrec.text.words import Array, Encoder, address_of
from streamrec.transport.redis.store import Store

logger = logging.getLogger(__name__)
BATCH = 64
"""Texts encoded at once: some 0.4 s of one core."""
SAY_SECONDS = 10.0


class TextBatch(NamedTuple):
    """Items whose texts are being encoded."""

    shard: str
    keys: Array  # uint64[n]
    addresses: Array  # uint64[n], of their texts
    texts: list[str]
    vectors: Future[Array]  # int8[n, WIDTH]


class Encoding:
    """One batch at a time, in a thread. Nothing is kept: a row says whether it waits."""

    def __init__(self, encoder: Encoder, store: Store, metrics: Metrics) -> None:
        self._encoder = encoder
        self._store = store
        self._metrics = metrics
        self._thread = ThreadPoolExecutor(1, "encoding")
        self._batch: TextBatch | None = None
        self._failed = False
        self._said = 0.0

    def step(self, shards: Sequence[ItemShard]) -> ItemShard | None:
        """Take in the vectors that are ready and start the next batch; return whose changed."""
        changed = None
        if self._batch is not None:
            if not self._batch.vectors.done():
                return None
            batch, self._batch = self._batch, None
            changed = self._take_in(batch, shards)
        for shard in shards:
            if self._batch is None and shard.texts_wait and not self._failed:
                self._batch = self._start(shard)
        return changed

    def _start(self, shard: ItemShard) -> TextBatch | None:
        """Read texts as they are stored, and give them to the thread."""
        keys, addresses = shard.unencoded(self._encoder.number, BATCH)
        if not len(keys):
            return None
        fields = [key.tobytes() for key in keys]
        found = self._store.rows(shard.name, CATALOGUE, fields)
        texts = ["" if entry is None else words_in(entry) for entry in found]
        self._say(shard)
        return TextBatch(
            shard.name, keys, addresses, texts, self._thread.submit(self._encode, texts)
        )

    def _encode(self, texts: Sequence[str]) -> Array:
        with self._metrics.encode_seconds.time():
            return self._encoder.encode(texts)

    def _take_in(self, batch: TextBatch, shards: Sequence[ItemShard]) -> ItemShard | None:
        """Put vectors in their rows, but for texts that have changed meanwhile."""
        try:
            vectors = batch.vectors.result()
        except Exception as error:  # whatever a model may raise; learning goes on without it
            self._failed = True
            logger.error("no more texts are encoded", extra={"cause": str(error)})
            return None
        self._metrics.texts_encoded.inc(len(batch.texts))
        stored = np.array([address_of(text) for text in batch.texts], np.uint64)
        same = stored == batch.addresses
        for shard in shards:
            if shard.name == batch.shard:
                keys, addresses = batch.keys[same], batch.addresses[same]
                shard.encoded(keys, addresses, vectors[same], self._encoder.number)
                return shard
        return None  # it is another process's now, whose rows say that they wait

    def _say(self, shard: ItemShard) -> None:
        now = time.monotonic()
        if now - self._said >= SAY_SECONDS:
            self._said = now
            waiting = shard.texts_waiting(self._encoder.number)
            logger.info("encoding texts", extra={"shard": shard.name, "waiting": waiting})
