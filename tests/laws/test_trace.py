"""`logging.trace_user`: what became of one user's events and lists, and nothing of other people."""

import logging
from collections.abc import Callable
from typing import Any

import pytest
from laws.spine import Spine
from laws.world import event, small

from streamrec.errors import ConfigurationError
from streamrec.settings.load import load
from streamrec.settings.sections import Settings

Make = Callable[[Settings, int], Spine]
OURS = "streamrec.roles.trace"


def traced(caplog: pytest.LogCaptureFixture, make_spine: Make, **logs: Any) -> list[Any]:
    """Return the lines of a click, the same one again, one more, a list, and a forget message."""
    spine = make_spine(small(lists={"length": 5}, logging={"level": "debug", **logs}), 2)
    caplog.set_level(logging.DEBUG, "streamrec")
    others = [event(f"somebody-{n}", f"i{n}", ts=n) for n in range(4)]
    twice = event("u1", "i1", ts=10, id="e1")
    spine.learn([*others, twice, twice, event("u1", "i2", ts=11)])
    spine.score()
    spine.learn([{"user": "somebody-1", "type": "forget"}, {"user": "u1", "type": "forget"}])
    return [record for record in caplog.records if record.name == OURS]


def test_a_click_can_be_followed(caplog: pytest.LogCaptureFixture, make_spine: Make) -> None:
    lines = traced(caplog, make_spine, trace_user="u1")
    told = [(line.message.partition(":")[0], line.offset) for line in lines]
    taken = [("event taken", n) for n in (4, 5, 6)]
    learnt = [("event learnt", 4), ("event left out", 5), ("event learnt", 6)]
    assert told[:6] == taken + learnt
    assert told[6:] == [
        ("list due", 6), ("list published", 6), ("event taken", 8), ("user forgotten", 8)
    ]  # fmt: skip
    by_message = {line.message: line for line in lines}
    assert lines[0].event == "e1" and by_message["event learnt"].item == "i2"
    assert by_message["list published"].items and by_message["list due"].since
    for line in lines:
        assert line.user == "u1" and line.levelno == logging.DEBUG
        assert "somebody" not in str(vars(line))


def test_it_is_off_by_default(caplog: pytest.LogCaptureFixture, make_spine: Make) -> None:
    assert traced(caplog, make_spine) == []
    assert not any("u1" in str(vars(record)) for record in caplog.records)


def test_without_the_level_it_would_say_nothing() -> None:
    with pytest.raises(ConfigurationError, match=r"logging\.level"):
        load(None, {}, {"logging.trace_user": "u1"})
    assert load(None, {}, {"logging.trace_user": "u1", "logging.level": "debug"})
