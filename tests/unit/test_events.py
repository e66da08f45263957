"""The event contract: one test for each row of the bad-input catalogue, and laws by fuzzing."""

import json
import math
import time

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from streamrec.events.event import (
    Event,
    EventDecoder,
    Forget,
    Item,
    Rejected,
    decode_item,
    encode_event,
)
from streamrec.events.merging import Ask, Give, Merge, encode_merge
from streamrec.settings.mappings import FieldMapping
from streamrec.settings.sections import EventSettings

NOW = 1_732_300_000_000
GOOD = {"user": "u1", "item": "i9", "type": "click", "ts": NOW}


class CarefulDecoder(EventDecoder):
    """The same decoder without its fast path."""

    def _is_plain(self, value: bytes) -> bool:
        return False


DECODER = EventDecoder(EventSettings())
CAREFUL = CarefulDecoder(EventSettings())


def decode(value: bytes | None, timestamp: int = NOW) -> Event | Forget | Rejected:
    """Decode on both paths, which must agree."""
    result = DECODER.decode(value, timestamp)
    assert result == CAREFUL.decode(value, timestamp)
    return result


def changed(**fields: object) -> bytes:
    return json.dumps({**GOOD, **fields}).encode()


def without(name: str) -> bytes:
    return json.dumps({key: value for key, value in GOOD.items() if key != name}).encode()


def reason(value: bytes | None, timestamp: int = NOW) -> str:
    result = decode(value, timestamp)
    assert isinstance(result, Rejected), result
    assert result.detail.isascii() and len(result.detail) < 200
    return result.reason


def accepted(value: bytes | None, timestamp: int = NOW) -> Event:
    result = decode(value, timestamp)
    assert isinstance(result, Event), result
    return result


# Rows of the catalogue


@pytest.mark.parametrize(
    "value",
    [
        b"",
        None,
        b"null",
        b"[]",
        b'"text"',
        b"3",
        b"{",
        b"{}{}",
        b"\xff\xfe",
        b"not json",
        changed() + b"x",
        b"\xef\xbb\xbf" + changed(),
        json.dumps(GOOD).encode("utf-16"),
        changed(note="NOTE").replace(b"NOTE", b"\xff"),
        changed(note="NOTE").replace(b"NOTE", b"\\q"),
        changed(note="NOTE").replace(b'"NOTE"', b"01"),
        changed(note="NOTE").replace(b"NOTE", b"\n"),
        b"{'user': 'u1'}",
    ],
)
def test_malformed_json_bad_utf8_empty_value_wrong_top_level_type(value: bytes | None) -> None:
    assert reason(value) == "malformed"


@pytest.mark.parametrize("field", ["user", "item", "type"])
def test_missing_field(field: str) -> None:
    assert reason(without(field)) == "schema"
    assert reason(changed(**{field: None})) == "schema"


@pytest.mark.parametrize("kind", [1, True, ["click"], {}])
def test_wrong_type_of_type(kind: object) -> None:
    assert reason(changed(type=kind)) == "schema"


@pytest.mark.parametrize(
    "ts",
    [True, [], {}, -1, 1.5, "yesterday", "2024-11-22", "2024-11-22T18:26:40", "", -(10**30)],
)
def test_wrong_type_of_ts(ts: object) -> None:
    assert reason(changed(ts=ts)) == "schema"


def test_unknown_field() -> None:
    assert accepted(changed(page="/a", nested={"a": [1, {"b": 2}]})) == accepted(changed())
    assert accepted(changed(deep=float("inf")).replace(b"Infinity", b"1e400")) == Event(**GOOD)
    assert accepted(changed(text="lone \ud800, \u00e9, \u0000")) == Event(**GOOD)


@pytest.mark.parametrize("version", [0, 2, "1", True, 1.0, [1]])
def test_unknown_schema_version(version: object) -> None:
    assert reason(changed(v=version)) == "unknown_version"


def test_known_schema_version() -> None:
    assert accepted(changed(v=1)).v == 1
    assert accepted(changed(v=None)).v is None


@pytest.mark.parametrize("kind", ["", "Click", "teleport", "\ud800", "click "])
def test_unknown_event_type(kind: str) -> None:
    assert reason(changed(type=kind)) == "unknown_type"


@pytest.mark.parametrize("field", ["user", "item", "id"])
@pytest.mark.parametrize(
    "bad",
    [
        "",
        "a" * 129,
        "é" * 65,
        "a\nb",
        "nul\0",
        "del\x7f",
        "c1\x85",
        "{tag}",
        "a{",
        "a}",
        "\ud800",
        -1,
        2**63,
        10**30,
        1e300,
        1.5,
        0.5,
        2.0**54,
        True,
        False,
        [],
        ["u1"],
        {},
    ],
)
def test_bad_id(field: str, bad: object) -> None:
    assert reason(changed(**{field: bad})) == "bad_id"


@pytest.mark.parametrize("raw", [b"1e400", b"-0.0", b"9" * 5000, b'"\\ud800"', b'"\\u007b"'])
def test_bad_id_beyond_python(raw: bytes) -> None:
    assert reason(changed(user="ID").replace(b'"ID"', raw)) == "bad_id"


@pytest.mark.parametrize(
    ("good", "expected"),
    [
        ("a" * 128, "a" * 128),
        ("é" * 64, "é" * 64),
        (0, "0"),
        (42, "42"),
        (5863.0, "5863"),  # a column of integers with a gap, as pandas writes it
        ("5863.0", "5863.0"),
        (2**63 - 1, str(2**63 - 1)),
        ("space is fine", "space is fine"),
        ("a:b/c|d\\e", "a:b/c|d\\e"),
        ("日本", "日本"),
    ],
)
def test_good_id(good: object, expected: str) -> None:
    event = accepted(changed(user=good, item=good, id=good))
    assert (event.user, event.item, event.id) == (expected, expected, expected)


def test_reserved_user_id() -> None:
    """Reserved: rec:~popular is the list for strangers. Items and event ids may be called that."""
    assert reason(changed(user="~popular")) == "bad_id"
    assert accepted(changed(item="~popular", id="~")).item == "~popular"


@pytest.mark.parametrize("value", [1e6 + 1, -1e7, 1e300, 10**400, "3", True, [], {}])
def test_huge_weight(value: object) -> None:
    assert reason(changed(value=value)) == "bad_number"


def test_infinite_weight() -> None:
    assert reason(changed(value="X").replace(b'"X"', b"1e400")) == "bad_number"


@pytest.mark.parametrize("token", [b"NaN", b"Infinity", b"-Infinity", b"nan"])
def test_nan_and_infinity_are_not_json(token: bytes) -> None:
    assert reason(changed(value="X").replace(b'"X"', token)) == "malformed"


@pytest.mark.parametrize("value", [0, -1, 2.5, 1e6, -1e6, None])
def test_finite_weight(value: float | None) -> None:
    assert accepted(changed(value=value)).value == value


def test_timestamp_up_to_5_minutes_ahead_of_append_time_is_clamped() -> None:
    assert accepted(changed(ts=NOW + 1)).ts == NOW
    assert accepted(changed(ts=NOW + 300_000)).ts == NOW
    assert accepted(changed(ts=NOW)).ts == NOW


def test_timestamp_more_than_5_minutes_ahead_of_append_time() -> None:
    assert reason(changed(ts=NOW + 300_001)) == "future"
    assert reason(changed(ts=NOW * 1000)) == "future"
    assert reason(changed(ts=10**30)) == "future"


def test_without_append_time_the_event_is_believed() -> None:
    assert accepted(changed(ts=NOW + 10**9), -1).ts == NOW + 10**9
    assert reason(changed(ts=10**30), -1) == "schema"
    assert reason(without("ts"), -1) == "schema"


def test_missing_timestamp_takes_the_append_time() -> None:
    assert accepted(without("ts")).ts == NOW
    assert accepted(changed(ts=None)).ts == NOW


def test_old_event() -> None:
    old = changed(ts=NOW - 31 * 86_400_000)
    assert accepted(old).ts == NOW - 31 * 86_400_000, "no limit by default"
    limited = EventDecoder(EventSettings(max_age_days=30.0))
    result = limited.decode(old, NOW)
    assert isinstance(result, Rejected) and result.reason == "too_old"
    assert isinstance(limited.decode(changed(ts=NOW - 30 * 86_400_000), NOW), Event)
    assert isinstance(limited.decode(old, -1), Event)


@pytest.mark.parametrize(
    ("text", "ts"),
    [
        ("2024-11-22T18:26:40Z", NOW),
        ("2024-11-22t18:26:40z", NOW),
        ("2024-11-22T19:26:40.000+01:00", NOW),
        ("2024-11-22T18:26:39.999999Z", NOW - 1),
        ("1970-01-01T00:00:00Z", 0),
    ],
)
def test_rfc3339(text: str, ts: int) -> None:
    assert accepted(changed(ts=text)).ts == ts


def test_whole_float_timestamp() -> None:
    assert accepted(changed(ts=float(NOW))).ts == NOW
    assert accepted(changed(ts="T").replace(b'"T"', b"1.7323e12")).ts == NOW


def test_oversized() -> None:
    limit = EventSettings().max_bytes
    padding = limit - len(changed(page=""))
    assert isinstance(decode(changed(page="x" * padding)), Event)
    assert reason(changed(page="x" * (padding + 1))) == "too_large"
    assert reason(b"x" * (limit + 1)) == "too_large"


def nested(levels: int) -> bytes:
    return changed(deep="D").replace(b'"D"', b"[" * levels + b"]" * levels)


def test_deep_json() -> None:
    assert isinstance(decode(nested(7)), Event)
    assert reason(nested(8)) == "limits"
    assert reason(b"[" * 60_000) == "limits"
    assert isinstance(decode(changed(page="[" * 100 + "{" * 100)), Event), "only text"


def test_huge_json() -> None:
    extra = {f"k{i}": i for i in range(60)}
    assert isinstance(decode(changed(**extra)), Event)
    assert reason(changed(**extra, one_more=1)) == "limits"
    assert reason(changed(**{f"{i:x}": i for i in range(5000)})) == "limits"


@pytest.mark.parametrize(
    "value",
    [
        b"[[[[[[[[[" + b'"' + b'\\"' * 32_000,
        b'"\\"' * 20_000 + b"[" * 9,
        b'{"a":' * 13_000,
        b"{" + b'"' * 65_000,
        b"9" * 65_000,
    ],
)
def test_evil_input_takes_linear_time(value: bytes) -> None:
    start = time.perf_counter()
    reason(value)
    assert time.perf_counter() - start < 0.5


# Forgetting, and not remembering


def test_a_merge_message_names_two_people() -> None:
    message = {"user": 7, "type": "merge", "from": "anon-9", "item": "i1"}
    assert decode(json.dumps(message).encode()) == Merge("7", "anon-9")
    assert reason(b'{"user": "u1", "type": "merge"}') == "schema"
    assert reason(b'{"user": "u1", "type": "merge", "from": "~popular"}') == "bad_id"
    mapping = FieldMapping(user="who.id", type="verb", visitor="was.id")
    mapped = EventDecoder(EventSettings(mapping=mapping))
    found = mapped.decode(b'{"who": {"id": 7}, "verb": "merge", "was": {"id": "anon-9"}}', NOW)
    assert found == Merge("7", "anon-9")
    give = Give("7", "anon-9", "u3", 5, 2, ("click",), b"row", 4)
    for sent in (Ask("7", "anon-9", "u3", 5), give):
        assert mapped.decode(encode_merge(mapping, sent), NOW) == sent


def test_only_a_row_between_shards_may_be_longer_than_an_event() -> None:
    row = Give("7", "anon-9", "u3", 5, 2, ("click",), b"x" * 100_000)
    message = encode_merge(FieldMapping(), row)
    assert len(message) > 65_536 and decode(message) == row
    text = '"given":' + "x" * 70_000
    for wrong in (
        {"user": "u1", "item": "i1", "type": "click", "given": text},
        {"user": "u1", "type": "merge", "from": "u2", "more": {"given": text}},
        json.loads(message) | {"type": "click", "item": "i1"},
    ):
        assert reason(json.dumps(wrong, separators=(",", ":")).encode()) == "too_large"
    longest = Give("7", "anon-9", "u3", 5, 2, ("click",), b"x" * 400_000)
    assert reason(encode_merge(FieldMapping(), longest)) == "too_large"


def test_a_forget_message_needs_no_item_and_no_weight() -> None:
    for more in ({}, {"item": "i9", "ts": "yesterday", "id": "x", "value": "3"}):
        message = json.dumps({"user": 7, "type": "forget", **more}).encode()
        assert decode(message) == Forget("7")
    assert reason(b'{"type": "forget"}') == "schema"
    assert reason(b'{"user": "~popular", "type": "forget"}') == "bad_id"
    assert reason(b'{"user": "u1", "type": "forget", "v": 2}') == "unknown_version"
    mapped = EventDecoder(EventSettings(mapping=FieldMapping(user="who.id", type="verb")))
    assert mapped.decode(b'{"who": {"id": "u1"}, "verb": "forget"}', NOW) == Forget("u1")
    assert mapped.decode(b'{"who.id": "u1", "verb": "forget"}', NOW) == Forget("u1")


def test_whether_an_event_is_personal() -> None:
    for raw, taken in ((True, True), (None, True), (False, False)):
        found = decode(changed(personal=raw))
        assert isinstance(found, Event) and found.personal is taken
    for wrong in ("false", 0, 1, [], {}):
        assert reason(changed(personal=wrong)) == "schema", wrong
    mapped = EventDecoder(EventSettings(mapping=FieldMapping(personal="consent.given")))
    message = GOOD | {"consent": {"given": False}}
    found = mapped.decode(json.dumps(message).encode(), NOW)
    assert isinstance(found, Event) and not found.personal
    assert b"personal" not in encode_event(Event(**GOOD))


# Existing topics


def test_a_plain_name_with_dots_goes_before_a_path() -> None:
    decoder = EventDecoder(EventSettings(mapping=FieldMapping(user="who.id", item="at.1.s.ku")))
    message = {"who.id": 7, "who": {"id": 8}, "at": [0, {"s.ku": 9.0}], "type": "click"}
    assert decoder.decode(json.dumps(message).encode(), NOW) == Event("7", "9", "click", NOW)


def test_default_type() -> None:
    decoder = EventDecoder(EventSettings(default_type="view"))
    assert decoder.decode(without("type"), NOW) == Event("u1", "i9", "view", NOW)
    assert decoder.decode(changed(), NOW) == Event(**GOOD)


def test_mapping() -> None:
    mapping = FieldMapping(
        user="actor.id", item="products.0.sku", type="verb", ts="meta.at", id="meta.id", value="n"
    )
    decoder = EventDecoder(EventSettings(mapping=mapping))
    message = {
        "v": "their own version",
        "user": "not this",
        "actor": {"id": 7},
        "products": [{"sku": "i9"}],
        "verb": "cart",
        "meta": {"at": "2024-11-22T18:26:40Z", "id": "e1"},
        "n": 2,
    }
    expected = Event("7", "i9", "cart", NOW, id="e1", value=2.0)
    assert decoder.decode(json.dumps(message).encode(), NOW) == expected
    for empty in ({}, {"products": []}, {"products": {"0": {}}}, {"actor": "x"}, {"actor": []}):
        result = decoder.decode(json.dumps({**message, **empty}).encode(), NOW)
        if "actor" in empty or "products" in empty:
            assert isinstance(result, Rejected) and result.reason == "schema", empty


def test_own_weights() -> None:
    decoder = EventDecoder(EventSettings(weights={"watch": 1.0}))
    assert isinstance(decoder.decode(changed(type="watch"), NOW), Event)
    assert isinstance(decoder.decode(changed(), NOW), Rejected)


# Item metadata


def test_item() -> None:
    value = {
        "item": "i9",
        "title": "Röd ost",
        "categories": ["food", "cheese"],
        "text": "long",
        "available": False,
        "attributes": {"price": 3, "brand": "x", "new": True, "size": None},
        "unknown": {"a": 1},
    }
    item = decode_item(b"ignored", json.dumps(value).encode())
    assert item == Item(
        "i9",
        "Röd ost",
        ("food", "cheese"),
        "long",
        False,
        {"price": 3.0, "brand": "x", "new": True, "size": None},
    )


def test_item_id_from_key_and_tombstone() -> None:
    assert decode_item(b"i1", b'{"title": null}') == Item("i1")
    assert decode_item(b"\xff", b'{"item": 5}') == Item("5")
    assert decode_item(b"i1", None) == Item("i1", available=False, deleted=True)


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        (None, None, "schema"),
        (b"\xff", None, "bad_id"),
        (b"a{b", None, "bad_id"),
        (b"i1", b"", "malformed"),
        (b"i1", b"[]", "malformed"),
        (None, b"{}", "schema"),
        (b"i1", b'{"categories": "food"}', "schema"),
        (b"i1", b'{"available": 1}', "schema"),
        (b"i1", b'{"attributes": {"a": []}}', "schema"),
        (b"i1", b'{"attributes": {"a": 1e400}}', "bad_number"),
        (b"i1", b'{"title": "\\ud800"}', "malformed"),
        (b"i1", json.dumps({"categories": ["c"] * 65}).encode(), "limits"),
        (b"i1", json.dumps({"text": "c" * 65_536}).encode(), "too_large"),
    ],
)
def test_bad_item(key: bytes | None, value: bytes | None, expected: str) -> None:
    result = decode_item(key, value)
    assert isinstance(result, Rejected) and result.reason == expected


# Laws

json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=6,
)
fields = {
    "user": st.sampled_from(["u1", "é", "a{b}", "", "x" * 128, "x" * 129, "\x7f", "\\", 7]),
    "item": st.sampled_from(["i9", "I", 0, 2**63, "\u0085", 1.0]),
    "type": st.sampled_from(["click", "view", "nope", 1]),
    "ts": st.integers(NOW - 10, NOW + 400_000) | st.sampled_from([0, -1, 1e12, 10**15, "x"]),
    "id": st.sampled_from(["e1", "", "y" * 129, None, 3]),
    "value": st.floats() | st.integers(-(10**7), 10**7) | st.none(),
    "v": st.sampled_from([1, 2, None, "1", True]),
    "page": json_values,
    "[": json_values,
}
documents = st.fixed_dictionaries({}, optional=fields)


@st.composite
def messages(draw: st.DrawFn) -> bytes:
    """JSON close to an event, half of it damaged in one byte range."""
    document = {**GOOD, **draw(documents)} if draw(st.booleans()) else draw(documents)
    text = json.dumps(document, ensure_ascii=draw(st.booleans())).encode("utf-8", "surrogatepass")
    if draw(st.booleans()):
        start = draw(st.integers(0, len(text)))
        end = draw(st.integers(start, min(len(text), start + 4)))
        noise = st.binary(max_size=3) | st.sampled_from([b'"', b"}", b"{", b",", b"\\", b"1e400"])
        text = text[:start] + draw(noise) + text[end:]
    return text


@given(messages(), st.sampled_from([-1, 0, NOW]))
@settings(max_examples=1500)
@example(b'{"user":1.5,"user":"u","item":"i","type":"click","ts":1}', -1)
@example(b' {"user":"u","item":"i","type":"click","ts":1} ', -1)
@example(b'{"user":"u","item":"i","type":"click","ts":1,"x":1e400}', -1)
@example(b'{"user":"u","item":"i","type":"click","ts":1,"v":2,"v":1}', -1)
@example(b'{"user":"u","item":"i","type":"click","ts":-0}', -1)
def test_fast_path_accepts_what_the_careful_path_accepts(value: bytes, timestamp: int) -> None:
    result = decode(value, timestamp)
    if isinstance(result, Event):
        assert result.type in EventSettings().weights
        assert 0 < len(result.user.encode()) <= 128 and "{" not in result.user
        assert result.value is None or math.isfinite(result.value)
        assert timestamp < 0 or 0 <= result.ts <= timestamp


@pytest.mark.parametrize("extra", [{}, {"id": "e1", "value": 1}, {"v": 1}, {"page": [[1], "x"]}])
def test_fast_path_takes_plain_events(extra: dict[str, object]) -> None:
    assert DECODER._is_plain(changed(**extra))


@given(st.binary(max_size=400), st.integers(-1, 2**63))
@settings(max_examples=1000)
def test_any_bytes_give_an_event_or_a_rejection(value: bytes, timestamp: int) -> None:
    assert isinstance(decode(value, timestamp), Event | Rejected)
    assert isinstance(decode_item(value, value), Item | Rejected)
    assert isinstance(decode_item(value, None), Item | Rejected)


@given(json_values)
@settings(max_examples=300)
def test_any_json_gives_an_event_or_a_rejection(value: object) -> None:
    text = json.dumps(value).encode()
    assert isinstance(decode(text), Event | Rejected)
    assert isinstance(decode_item(b"i1", text), Item | Rejected)


@given(
    st.builds(
        Event,
        user=st.sampled_from(["u1", "é", '"', "\\"]),
        item=st.sampled_from(["i9", "日"]),
        type=st.sampled_from(["click", "view"]),
        ts=st.integers(0, NOW),
        id=st.none() | st.sampled_from(["e1", "/"]),
        value=st.none() | st.floats(-1e6, 1e6),
    )
)
def test_encoded_event_decodes_to_itself(event: Event) -> None:
    assert accepted(encode_event(event)) == event
