"""What transport/kafka_python_*.py take for granted of kafka-python and is not promised."""

from importlib.metadata import version
from types import CodeType

import pytest
from kafka import KafkaConsumer, KafkaProducer
from kafka.consumer.fetcher import Fetcher
from kafka.coordinator.base import BaseCoordinator
from kafka.coordinator.consumer import ConsumerCoordinator
from kafka.record.default_records import DefaultRecordBatch

from streamrec.transport.kafka.kafka_python_group import KeepingCoordinator


@pytest.mark.parametrize(
    ("function", "name"),
    [
        (KafkaConsumer.__init__, "_coordinator"),
        (KafkaConsumer.__init__, "ConsumerCoordinator"),
        (BaseCoordinator.join_group_async, "_do_join_and_sync_async"),
        (BaseCoordinator.join_group_async, "_on_join_complete_async"),
        (KafkaConsumer.__init__, "_fetcher"),
        (Fetcher._parse_fetched_data, "PartitionRecords"),
        (Fetcher.fetched_records, "_paused_partition_records"),
        (Fetcher.PartitionRecords.__init__, "_unpack_records"),
        (Fetcher.PartitionRecords._unpack_records, "next_batch"),
        (DefaultRecordBatch._maybe_uncompress, "_decompressed"),
        (DefaultRecordBatch.__next__, "_read_msg"),
        (KafkaProducer.close, "flush"),
        (KafkaProducer.close, "force_close"),
    ],
)
def test_a_name_that_our_subclasses_rest_on_is_used(function: object, name: str) -> None:
    code: CodeType = function.__code__  # type: ignore[attr-defined]
    assert name in code.co_names, (
        f"{code.co_qualname} of kafka-python {version('kafka-python')} uses no {name} any more: "
        "see whether it still forgets joins and paused partitions (tests/laws/test_log.py), keeps "
        "sending after close or loops over a damaged batch, and change or delete GroupConsumer, "
        "ClosingProducer or Batches"
    )


def test_what_our_coordinator_overrides_is_there() -> None:
    for name in vars(KeepingCoordinator):
        if name.endswith("_async"):
            assert hasattr(ConsumerCoordinator, name), f"kafka-python has no {name} any more"
