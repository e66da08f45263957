"""What becomes of the events in a request; and that what is sent is what was checked."""

import json
from itertools import count
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamrec.events.event import Event, EventDecoder
from streamrec.http.checked_events import EventsCheck, split
from streamrec.http.shapes import Refused
from streamrec.settings.mappings import FieldMapping
from streamrec.settings.sections import EventSettings

NOW = 1_732_300_000_000
CLICK = {"user": "u1", "item": "i9", "type": "click"}


def check(*events: Any, may_merge: bool = False, **settings: Any) -> Any:
    numbers = count(1)
    checks = EventsCheck(EventSettings(**settings), lambda: f"made{next(numbers)}")
    raws = [e if isinstance(e, bytes) else json.dumps(e).encode() for e in events]
    return checks.check(raws, NOW, may_merge=may_merge)


def test_an_event_without_an_id_gets_one_and_its_user_is_the_key() -> None:
    found = check(CLICK, {**CLICK, "user": "ü", "id": "mine"}, {**CLICK, "id": None}, {"user": 7})
    assert found.ids == ["made1", "mine", "made2", None]
    assert [key for key, _ in found.messages] == [b"u1", "ü".encode(), b"u1"]
    decoder = EventDecoder(EventSettings())
    for event_id, (_, value) in zip(["made1", "mine", "made2"], found.messages, strict=True):
        event = decoder.decode(value, NOW)
        assert isinstance(event, Event) and event.id == event_id
    assert found.refused == [Refused(3, "schema", "item is missing")]


def test_the_id_may_not_break_the_limits_of_an_event() -> None:
    short = json.dumps(CLICK).encode()
    found = check(short, {**CLICK, "id": "x"}, max_bytes=len(short))
    assert [each.reason for each in found.refused] == ["too_large", "too_large"]
    full = CLICK | {f"more{n}": n for n in range(61)}
    assert check(full).refused[0].reason == "limits"
    assert not check(full | {"id": "x"}, max_bytes=10_000).messages
    del full["more0"]
    assert check(full).ids == ["made1"]


def test_events_of_another_shape_are_left_as_they_are() -> None:
    event = b'{"who": {"id": 5}, "item": "i1", "type": "click"}'
    found = check(event, CLICK, mapping=FieldMapping(user="who.id"))
    assert found.messages == [(b"5", event)] and found.ids == [None, None]
    assert found.refused[0].index == 1


def test_a_page_may_not_have_anybody_forgotten_nor_take_a_history() -> None:
    merge = {"user": "u1", "type": "merge", "from": "u2"}
    found = check({"user": "u1", "type": "forget"}, merge, CLICK)
    assert [each.index for each in found.refused] == [0, 1] and len(found.messages) == 1
    assert "streamrec forget" in found.refused[0].detail


def test_who_may_write_may_merge_and_that_comes_last() -> None:
    merge = {"user": "u1", "type": "merge", "from": "u2"}
    found = check(merge, CLICK, may_merge=True)
    assert found.ids == [None, "made1"] and not found.refused and len(found.messages) == 1
    assert found.merges == [(b"u1", json.dumps(merge).encode())]
    between = {**merge, "asked": {"by": "u0", "at": 5, "after": -1}}
    [refused] = check(between, may_merge=True).refused
    assert refused.reason == "unknown_type" and "only shards" in refused.detail


def test_what_the_learners_refuse_is_refused() -> None:
    wrong = ({**CLICK, "type": "stare"}, {**CLICK, "ts": NOW * 2}, {**CLICK, "user": "~popular"})
    found = check(*wrong, b"{", b"5", b'{"user": "\xff"}', b"")
    reasons = [each.reason for each in found.refused]
    assert reasons == ["unknown_type", "future", "bad_id", *["malformed"] * 4]
    assert [each.index for each in found.refused] == list(range(7)) and not found.messages


PARTS = st.sampled_from(
    ["[", "]", "{", "}", ",", ":", '"user"', '"item"', '"type"', '"click"', '"u1"', "7", "1e999",
     '"id"', "null", " ", '"\\ud800"', "\x00"]
)  # fmt: skip
CLICKS = st.fixed_dictionaries(
    {"user": st.text() | st.integers(), "item": st.text(), "type": st.just("click")},
    optional={"id": st.text() | st.none(), "ts": st.integers(), "more": st.text()},
)


@given(
    st.binary()
    | st.lists(PARTS, max_size=12).map(lambda parts: "".join(parts).encode())
    | st.lists(CLICKS, max_size=3).map(lambda events: json.dumps(events).encode())
)
def test_whatever_comes_each_event_is_sent_or_refused(body: bytes) -> None:
    try:
        events = split(body)
    except msgspec.DecodeError:
        return
    found = EventsCheck(EventSettings()).check(events, NOW)
    assert len(found.ids) == len(events) == len(found.messages) + len(found.refused)
    sent = [event_id for event_id in found.ids if event_id is not None]
    decoder = EventDecoder(EventSettings())
    for event_id, (key, value) in zip(sent, found.messages, strict=True):
        event = decoder.decode(value, NOW)
        assert isinstance(event, Event)
        assert (event.user.encode(), event.id) == (key, event_id)


def test_a_body_is_one_event_or_an_array() -> None:
    assert split(b' {"a": 1}\n') == [b'{"a": 1}']
    assert split(b' [{"a": [1]} , 5,"x"]') == [b'{"a": [1]}', b"5", b'"x"']
    assert split(b"[]") == []
    for wrong in (b"[", b"[1] x", b"[" * 100_000, b'[{"a" 1}]', b"[1 2]"):
        with pytest.raises(msgspec.DecodeError):
            split(wrong)
