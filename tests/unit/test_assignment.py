"""Rebalance events become on_revoke and on_assign calls: each partition given is taken once."""

from collections.abc import Mapping, Sequence

import pytest

from streamrec.errors import LogError, OffsetGone
from streamrec.transport.kafka import assignment as module
from streamrec.transport.kafka.assignment import Assignment
from streamrec.transport.kafka.log import Partition

P = [Partition("events", number) for number in range(4)]


class Calls:
    """Records the callbacks; every partition starts at 10."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, list[Partition]]] = []
        self.fail_on = ""
        self.fetched: dict[Partition, int] = {}
        self.asked: dict[Partition, int] = {}
        self.assignment = Assignment(
            self.on_assign, self.on_revoke, self.fetched.get, self.asked.get
        )

    def on_assign(self, partitions: Sequence[Partition]) -> Mapping[Partition, int]:
        self.calls.append(("assign", list(partitions)))
        if self.fail_on == "assign":
            raise RuntimeError
        return dict.fromkeys(partitions, 10)

    def on_revoke(self, partitions: Sequence[Partition]) -> None:
        self.calls.append(("revoke", list(partitions)))


def test_what_stays_is_left_alone() -> None:
    calls = Calls()
    calls.assignment.assigned(P)
    assert calls.assignment.pending
    assert calls.assignment.settle() == dict.fromkeys(P, 10)
    assert not calls.assignment.pending
    calls.assignment.advance(P[0], 15)
    calls.assignment.assigned([P[0], P[3]])
    assert calls.assignment.settle() == {P[0]: 15, P[3]: 10}
    calls.assignment.assigned([P[0], P[1]])
    assert calls.assignment.settle() == {P[0]: 15, P[1]: 10}
    assert calls.calls == [
        ("assign", P),
        ("revoke", [P[1], P[2]]),
        ("revoke", [P[3]]),
        ("assign", [P[1]]),
    ]


def test_what_was_lost_is_taken_anew() -> None:
    calls = Calls()
    calls.assignment.assigned(P)
    calls.assignment.settle()
    calls.assignment.advance(P[0], 15)
    calls.assignment.lost()
    calls.assignment.assigned(P[:2])
    assert calls.assignment.settle() == {P[0]: 10, P[1]: 10}
    assert calls.calls == [("assign", P), ("revoke", P), ("assign", P[:2])]


def test_a_failed_callback_is_called_again_and_nothing_is_owned_before() -> None:
    calls = Calls()
    calls.fail_on = "assign"
    calls.assignment.assigned(P)
    for _ in range(2):
        with pytest.raises(RuntimeError):
            calls.assignment.settle()
        assert calls.assignment.positions == {}
    calls.fail_on = ""
    assert calls.assignment.settle() == dict.fromkeys(P, 10)


def test_an_offset_for_each_partition_is_demanded() -> None:
    assignment = Assignment(lambda p: {}, lambda p: None, lambda p: None, lambda p: None)
    assignment.assigned(P[:1])
    with pytest.raises(LogError, match="events/0"):
        assignment.settle()


def test_late_messages_of_a_lost_partition_move_nothing() -> None:
    calls = Calls()
    calls.assignment.advance(P[0], 15)
    assert calls.assignment.positions == {}
    with pytest.raises(LogError, match="not assigned"):
        calls.assignment.seek(P[0], 3)


def test_a_quiet_partitions_end_is_asked_for() -> None:
    calls = Calls()
    assert calls.assignment.end(P[0], 0.0) is None
    calls.assignment.assigned(P[:1])
    calls.assignment.settle()
    assert calls.assignment.end(P[0], 100.0) is None
    calls.fetched[P[0]], calls.asked[P[0]] = 10, 30
    assert calls.assignment.end(P[0], 100.0) == 10
    assert calls.assignment.end(P[0], 0.0) == 30
    calls.asked.clear()  # no answer
    assert calls.assignment.end(P[0], 0.0) == 10


def test_a_position_past_the_end_is_refused_when_the_broker_agrees(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "PAST_END_SECONDS", 0.0)
    calls = Calls()
    calls.assignment.assigned(P[:1])
    calls.assignment.settle()
    calls.assignment.refuse_past_end()  # nothing fetched yet
    calls.fetched[P[0]] = 9  # what a new leader knows for a moment
    calls.asked[P[0]] = 12
    calls.assignment.refuse_past_end()
    calls.asked[P[0]] = 9
    with pytest.raises(OffsetGone, match="offset 10 of events/0"):
        calls.assignment.refuse_past_end()
