"""Fetched batches as KafkaPythonLog reads them: one that cannot be read does not stop the rest.

kafka-python 3.0.12 polls for ever where reading a batch raises, and decompresses without a bound.
"""

from collections.abc import Iterator
from typing import Any

from kafka.consumer.fetcher import Fetcher
from kafka.record.default_records import DefaultRecord, DefaultRecordBatch

from streamrec.errors import LogError
from streamrec.transport.kafka.batch_codecs import decompress
from streamrec.transport.kafka.log import LONGEST_BYTES, Unreadable, cut

# ruff: noqa: SLF001  (the reading of kafka-python's batches is replaced here)


class ReadingFailed(LogError):
    """What Kafka delivered cannot be told apart into batches."""


class Batches(Fetcher.PartitionRecords):  # type: ignore[misc]
    """The records of one fetched partition; ends in records or in an error that is not retried."""

    def _unpack_records(self, where: Any, records: Any, *deserializers: Any) -> Iterator[Any]:
        try:
            yield from super()._unpack_records(where, _Careful(records), *deserializers)
        except LogError:
            raise
        except Exception as error:
            raise ReadingFailed(
                f"{where.topic}/{where.partition} at or after offset {self.next_fetch_offset}: "
                f"what Kafka delivered cannot be read: {error!r}. Is the broker's disk sound? "
                "kafka-dump-log.sh reads the segment"
            ) from error


class _Careful:
    """Hands out batches that do not raise while they are iterated."""

    def __init__(self, records: Any) -> None:
        self._records = records

    def next_batch(self) -> Any:
        batch = self._records.next_batch()
        if isinstance(batch, DefaultRecordBatch):
            batch.__class__ = ReadableBatch
        return batch


class ReadableBatch(DefaultRecordBatch):  # type: ignore[misc]
    """A batch whose records, from the first that cannot be read on, are one Unreadable."""

    __slots__ = ()

    def __iter__(self) -> Iterator[Any]:
        """Yield the records; raises CodecMissing."""
        batch: Any = self
        try:
            _decompress(batch)
            long = len(batch._buffer) > LONGEST_BYTES
            for _ in range(batch.records_count):
                record = batch._read_msg()
                if long and len(record.value or b"") > LONGEST_BYTES:
                    record = _record(record.offset, record.timestamp, record.key, cut(record.value))
                yield record
        except LogError:
            raise
        except Exception as error:
            text = f"the batch of offsets {batch.base_offset} to {batch.last_offset}: {error}"
            yield _record(batch.last_offset, batch.max_timestamp, None, Unreadable(text.encode()))


def _decompress(batch: Any) -> None:
    if batch.compression_type and not batch._decompressed:
        packed = bytes(batch._buffer[batch._pos :])
        batch._buffer, batch._pos = decompress(batch.compression_type, packed), 0
    batch._decompressed = True


def _record(offset: int, timestamp: int, key: bytes | None, value: bytes) -> Any:
    return DefaultRecord(len(value), offset, timestamp, 0, key, value, [])
