"""The benchmarks of one core: decoding, the two folds, the scorer.

Seconds are CPU seconds of this process: nothing here waits, and other programs on the machine then
count for little.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager

import msgspec
import numpy as np

from benchmarks.clicks import MESSAGE_BYTES, Clicks, message
from benchmarks.figures import Sample
from benchmarks.pipeline import BATCH, PARTITIONS, warmed
from streamrec.blend.learned import LearnedBlend
from streamrec.blend.rules import blend_rules
from streamrec.events.event import Event, EventDecoder
from streamrec.flow import load
from streamrec.neural.serve import Served
from streamrec.neural.version import Manifest, arrays_of
from streamrec.ranking.lists import ListMaker
from streamrec.ranking.published import PublishedList
from streamrec.settings.sections import Settings
from streamrec.state.served import encode_shown
from streamrec.state.user_rows import decode_user


class Stopwatch:
    """CPU seconds spent inside `running` blocks."""

    def __init__(self) -> None:
        self.seconds = 0.0

    @contextmanager
    def running(self) -> Iterator[None]:
        """Count the time of the block."""
        start = time.process_time()
        yield
        self.seconds += time.process_time() - start


class Decode:
    """EventDecoder over messages of 200 bytes with the default mapping."""

    def __init__(self, clicks: Clicks, events: int, repeats: int) -> None:
        self.repeats = repeats
        self._messages = [message(clicks, n % len(clicks), n) for n in range(events)]
        self._decoder = EventDecoder(Settings().events)
        assert all(
            isinstance(self._decoder.decode(m, 0x1FFFFFFFFFF), Event) for m in self._messages
        )

    def once(self) -> Sample:
        """Return events a second."""
        decode, now = self._decoder.decode, int(time.time() * 1000)
        watch = Stopwatch()
        with watch.running():
            for value in self._messages:
                decode(value, now)
        return {"decode_events_per_second": len(self._messages) / watch.seconds}

    def notes(self) -> dict[str, object]:
        """Return the sizes."""
        return {"message_bytes": MESSAGE_BYTES, "messages": len(self._messages)}

    def close(self) -> None:
        """Nothing was started."""


class Folds:
    """Both folds over the next events of a warmed state, in batches of 500."""

    def __init__(self, clicks: Clicks, warm: int, events: int, repeats: int) -> None:
        self.repeats = repeats
        self._events = events
        self._warm = warm
        self._name = clicks.name
        settings = Settings()
        self._size = settings.factors.size
        self._negatives = settings.factors.negatives
        self._pipeline, self._feed = warmed(settings, clicks, warm)
        self._record_bytes = 0

    def once(self) -> Sample:
        """Return events a second of each fold, and the cost of encoding the rows of a commit."""
        pipeline = self._pipeline
        users, items, user_rows, item_rows, table = (Stopwatch() for _ in range(5))
        self._record_bytes = 0
        for number, batch in enumerate(self._feed.batches(self._events), 1):
            load(pipeline.users[0], batch, lambda missing: [None] * len(missing))
            with users.running():
                records = pipeline.send(batch)
            with items.running():
                pipeline.receive(records)
            with user_rows.running():
                pipeline.user_changes()
            self._record_bytes += sum(map(len, records))
            if number % 4 == 0 or number * BATCH >= self._events:
                with item_rows.running():
                    changes = pipeline.item_changes()
                with table.running():
                    pipeline.refresh(changes)
        n = self._events
        return {
            "user_fold_events_per_second": n / users.seconds,
            "item_fold_events_per_second": n / items.seconds,
            "user_changes_us_per_event": user_rows.seconds / n * 1e6,
            "item_changes_us_per_event": item_rows.seconds / n * 1e6,
            "table_refresh_us_per_event": table.seconds / n * 1e6,
            "update_bytes_per_event": self._record_bytes / n,
        }

    def notes(self) -> dict[str, object]:
        """Return the shape of the work."""
        return {
            "events": self._name,
            "events_a_repeat": self._events,
            "warmed_with": self._warm,
            "batch": BATCH,
            "factor_size": self._size,
            "negatives": self._negatives,
            "item_partitions": PARTITIONS,
            "items": len(self._pipeline.table),
            "item_rows_encoded_every_events": 4 * BATCH,
        }

    def close(self) -> None:
        """Nothing was started."""


class Lists:
    """Stored user rows in, bytes for Redis out, 64 users at a time."""

    def __init__(self, clicks: Clicks, items: int, warm: int, lists: int, repeats: int) -> None:
        self.repeats = repeats
        settings = Settings()
        self._batch = settings.lists.due_batch
        self._maker = ListMaker(settings)
        pipeline, _ = warmed(settings, clicks, warm, with_lists=True)
        self._table = pipeline.table
        self._table.rows(np.arange(max(0, items - len(self._table)), dtype=np.uint64))
        n = len(self._table)
        self._table.arrays.stored[:n] = True
        content = np.random.default_rng(1).standard_normal((n, settings.content.size), np.float32)
        content /= np.linalg.norm(content, axis=1, keepdims=True)
        self._table.arrays.content[:n] = content  # as if every item had a title
        self._table.blend = LearnedBlend(blend_rules(settings))
        self._learnable = settings.blend.sample
        dice = np.random.default_rng(2)  # what it says costs the same as what a trained one says
        wanted = arrays_of(Manifest.of(self._maker.reader.shape, settings.neural))
        weights = {name: dice.normal(0.0, 0.1, size) for name, size in wanted.items()}
        arrays = {name: w.astype(np.float32) for name, w in weights.items()}
        self._network = Served.of(arrays, settings.neural.shrinkage)
        rows = list(pipeline.user_rows.items())
        self._rows = [(user.decode(), blob) for user, blob in (rows * (lists // len(rows) + 1))]
        self._rows = self._rows[:lists]
        self._bytes: dict[str, list[int]] = {}

    def once(self) -> Sample:
        """Return lists a second, and how long the preparation after a table refresh takes."""
        prepare, watch, ordered = Stopwatch(), Stopwatch(), Stopwatch()
        self._bytes = {"list_bytes": [], "shown_bytes": [], "sample_bytes": []}
        self._table.note_changed(slice(len(self._table)))
        with prepare.running():
            self._maker.prepare(self._table)
        for network, running in ((None, watch), (self._network, ordered)):
            self._maker.network = network
            with running.running():
                for first in range(0, len(self._rows), self._batch):
                    self._publishable(self._rows[first : first + self._batch])
        return {
            "lists_per_second": len(self._rows) / watch.seconds,
            "network_lists_per_second": len(self._rows) / ordered.seconds,
            "prepare_ms": prepare.seconds * 1000,
        }

    def _publishable(self, stored: list[tuple[str, bytes]]) -> None:
        """Do what the scorer does between reading the rows and publishing the lists."""
        rows = [decode_user(blob) for _, blob in stored]
        users = [self._maker.shopper(row, self._table) for row in rows]
        made = self._maker.make(users, self._table)
        at = int(time.time() * 1000)
        for n, ((user, _), row, one) in enumerate(zip(stored, rows, made, strict=True)):
            published = PublishedList(user, at, "online-benchmark", row.offset, one.items)
            learnable = one.ranked is not None and n < self._learnable * len(stored)
            sample = one.ranked.features.sample() if one.ranked and learnable else b""
            shown = encode_shown(0, one.shown, {}, one.candidates, sample)
            self._bytes["list_bytes"].append(len(msgspec.json.encode(published)))
            self._bytes["shown_bytes"].append(len(shown))
            self._bytes["sample_bytes"] += [len(sample)] if sample else []

    def notes(self) -> dict[str, object]:
        """Return the size of what was ranked."""
        n = len(self._table)
        rows = [decode_user(blob) for _, blob in self._rows]
        return {
            "items": n,
            "neighbours_mean": float(self._table.arrays.similarity_size[:n].mean()),
            "history_mean": float(np.mean([len(row.keys) for row in rows])),
            "seen_mean": float(np.mean([len(row.seen) for row in rows])),
            "batch": self._batch,
            "lists_a_repeat": len(self._rows),
            "learnable_share": self._learnable,
            **{name: float(np.mean(sizes)) for name, sizes in self._bytes.items()},
        }

    def close(self) -> None:
        """Nothing was started."""
