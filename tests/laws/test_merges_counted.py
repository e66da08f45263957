"""Merges are counted when they are final: once, whatever is sent or folded again."""

import time
from collections.abc import Callable
from typing import Any

import pytest
from laws.spine import EVENTS, Spine
from laws.world import event, small

from streamrec.errors import CommitConflict
from streamrec.roles.learning import stage as stage_module
from streamrec.roles.learning.stage import DOUBTS
from streamrec.settings.sections import Settings
from streamrec.transport.redis.keys import Commit


@pytest.fixture(autouse=True)
def no_backoff(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stage_module, "BACKOFF_SECONDS", (0.001,))


@pytest.fixture
def spine(make_spine: Callable[[Settings, int], Spine]) -> Spine:
    mine = make_spine(small(), 1)
    visits = [event("visitor", f"i{n}", ts=n) for n in range(3)]
    mine.learn([event("ann", "i9", ts=0), *visits])
    return mine


def counted(spine: Spine) -> tuple[float, float, float]:
    """Return what is told of merges asked for, histories moved, and messages that are no events."""
    steps = (spine.value("merges_total", step=step) for step in ("asked", "moved"))
    return (*steps, spine.value("events_control_total"))  # type: ignore[return-value]


def merge(visitor: str) -> dict[str, Any]:
    return {"user": "ann", "type": "merge", "from": visitor}


def step(spine: Spine) -> None:
    """One turn as `run` does it: what is in doubt starts over."""
    try:
        spine.users.step()
    except DOUBTS as doubt:
        spine.users._start_over(doubt)


def turns(spine: Spine) -> None:
    """Learn until nothing is left: a merge makes the shard ask, and then give."""
    deadline = time.monotonic() + 60.0
    while spine.store.meta("u0")[b"offset"] != b"%d" % len(spine.broker.messages[EVENTS]):
        assert time.monotonic() < deadline
        step(spine)


def test_a_merge_is_counted_when_asked_and_when_moved(spine: Spine) -> None:
    assert counted(spine) == (0, 0, 0)
    spine.send([merge("visitor"), merge("nobody"), merge("ann")])
    turns(spine)
    # of nobody there is no history, and ann is ann; two messages ask, one gives
    assert counted(spine) == (2, 1, 6)


def test_what_is_sent_again_moves_nothing(spine: Spine) -> None:
    spine.send([merge("visitor")])
    turns(spine)
    for message in spine.broker.messages[EVENTS][-2:]:
        spine.broker.append(EVENTS, message.value, message.key)
    turns(spine)
    assert counted(spine) == (1, 1, 5)


def test_what_kafka_did_not_take_is_not_counted_yet(spine: Spine) -> None:
    spine.send([merge("visitor")])
    spine.users_log.lose_deliveries = 1
    step(spine)
    assert spine.users_log.lose_deliveries == 0
    assert counted(spine) == (0, 0, 0)
    turns(spine)
    assert counted(spine)[:2] == (1, 1)


@pytest.mark.parametrize("which", [0, 1, 2], ids=["the merge", "the question", "the row"])
def test_a_commit_that_failed_is_counted_once(
    spine: Spine, monkeypatch: pytest.MonkeyPatch, which: int
) -> None:
    """Each of the three messages is folded in a turn of its own, and that commit fails once."""
    commit, done = spine.store.commit, 0

    def refused_once(what: Commit) -> None:
        nonlocal done
        if what.shard == "u0":
            done += 1
            if done == which + 1:
                raise CommitConflict("u0 was committed to by another owner")
        commit(what)

    monkeypatch.setattr(spine.store, "commit", refused_once)
    spine.send([merge("visitor")])
    turns(spine)
    assert done >= 3
    assert counted(spine)[:2] == (1, 1)
