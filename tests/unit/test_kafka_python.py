"""What transport/kafka_python_group.py takes for granted of kafka-python and is not promised."""

from importlib.metadata import version
from types import CodeType

import pytest
from kafka import KafkaConsumer, KafkaProducer
from kafka.coordinator.base import BaseCoordinator
from kafka.coordinator.consumer import ConsumerCoordinator

from streamrec.transport.kafka_python_group import KeepingCoordinator


@pytest.mark.parametrize(
    ("function", "name"),
    [
        (KafkaConsumer.__init__, "_coordinator"),
        (KafkaConsumer.__init__, "ConsumerCoordinator"),
        (BaseCoordinator.join_group_async, "_do_join_and_sync_async"),
        (BaseCoordinator.join_group_async, "_on_join_complete_async"),
        (KafkaProducer.close, "flush"),
        (KafkaProducer.close, "force_close"),
    ],
)
def test_a_name_that_our_subclasses_rest_on_is_used(function: object, name: str) -> None:
    code: CodeType = function.__code__  # type: ignore[attr-defined]
    assert name in code.co_names, (
        f"{code.co_qualname} of kafka-python {version('kafka-python')} uses no {name} any more: "
        "see whether it still forgets joins (tests/laws/test_log.py) or keeps sending after close, "
        "and change or delete GroupConsumer or ClosingProducer"
    )


def test_what_our_coordinator_overrides_is_there() -> None:
    for name in vars(KeepingCoordinator):
        if name.endswith("_async"):
            assert hasattr(ConsumerCoordinator, name), f"kafka-python has no {name} any more"
