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
from streamrec.config import Settings
from streamrec.evaluation.ranks import encode_shown
from streamrec.events import Event, EventDecoder
from streamrec.ranking.lists import ListMaker, PublishedList
from streamrec.shards.rows import decode_user


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
            pipeline.load_users(batch)
            with users.running():
                fold = pipeline.fold_users(batch)
            with items.running():
                pipeline.fold_items(fold.records)
            with user_rows.running():
                pipeline.user_changes()
            self._record_bytes += sum(map(len, fold.records))
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
        pipeline, _ = warmed(settings, clicks, warm, with_neighbours=True)
        self._table = pipeline.table
        self._table.rows(np.arange(max(0, items - len(self._table)), dtype=np.uint64))
        self._table.arrays.stored[: len(self._table)] = True
        rows = list(pipeline.user_rows.items())
        self._rows = [(user.decode(), blob) for user, blob in (rows * (lists // len(rows) + 1))]
        self._rows = self._rows[:lists]
        self._bytes = (0, 0)

    def once(self) -> Sample:
        """Return lists a second, and how long the preparation after a table refresh takes."""
        prepare, watch = Stopwatch(), Stopwatch()
        with prepare.running():
            self._maker.prepare(self._table)
        with watch.running():
            for first in range(0, len(self._rows), self._batch):
                self._publishable(self._rows[first : first + self._batch])
        return {
            "lists_per_second": len(self._rows) / watch.seconds,
            "prepare_ms": prepare.seconds * 1000,
        }

    def _publishable(self, stored: list[tuple[str, bytes]]) -> None:
        """Do what the scorer does between reading the rows and publishing the lists."""
        rows = [decode_user(blob) for _, blob in stored]
        made = self._maker.make(rows, self._table)
        at = int(time.time() * 1000)
        for (user, _), row, one in zip(stored, rows, made, strict=True):
            published = PublishedList(user, at, "online-benchmark", row.offset, one.items)
            self._bytes = (len(msgspec.json.encode(published)), len(encode_shown(0, one.shown)))

    def notes(self) -> dict[str, object]:
        """Return the size of what was ranked."""
        n = len(self._table)
        rows = [decode_user(blob) for _, blob in self._rows]
        return {
            "items": n,
            "neighbours_mean": float(self._table.arrays.sizes[:n].mean()),
            "history_mean": float(np.mean([len(row.keys) for row in rows])),
            "seen_mean": float(np.mean([len(row.seen) for row in rows])),
            "batch": self._batch,
            "lists_a_repeat": len(self._rows),
            "list_bytes": self._bytes[0],
            "shown_bytes": self._bytes[1],
        }

    def close(self) -> None:
        """Nothing was started."""
