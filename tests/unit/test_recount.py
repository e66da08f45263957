"""The oracle of the recovery tests, on an example that was counted by hand."""

import json

from recovery.events import stream
from recovery.recount import Raw, Recount, Visit

MINUTE = 60_000
NOW = 1_700_000_000_000


def raw(offset: int, ts: object, user: str, item: str, kind: str = "click", **more: object) -> Raw:
    value = {"user": user, "item": item, "type": kind, "ts": ts} | more
    return Raw(offset, NOW, json.dumps(value).encode())


def test_example_counted_by_hand() -> None:
    ann = [
        raw(0, NOW - 9 * MINUTE, "ann", "a", id="1"),
        raw(1, NOW - 8 * MINUTE, "ann", "b", id="2"),  # a>b
        raw(2, NOW - 8 * MINUTE, "ann", "b", id="2"),  # a repeat
        Raw(3, NOW, b"{"),
        raw(5, NOW - 7 * MINUTE, "ann", "a", "purchase"),  # b>a; a moves to the end
        raw(6, NOW - 6 * MINUTE, "ann", "c", "impression"),  # only counts
        raw(7, NOW - 5 * MINUTE, "ann", "d", "dislike"),  # seen, in no pair
        raw(8, NOW - 4 * MINUTE, "ann", "b", "remove"),  # out of the history
        raw(9, NOW - 10 * MINUTE, "ann", "e", "view"),  # older than all: no pair, first
        raw(10, "2023-11-14T22:10:20Z", "ann", "f", id="2x"),  # 3 minutes ago: e>f, a>f
    ]
    bob = [
        raw(0, NOW + 2 * MINUTE, "bob", "a", id="2"),  # ann's id, not a repeat; set back to NOW
        raw(1, NOW + 6 * MINUTE, "bob", "b"),  # too far ahead
        raw(2, NOW, "bob", "c"),  # equal time, later offset: a>c
        raw(3, NOW, "bob", "x", "teleport"),
    ]
    count = Recount()
    count.partition(0, ann)
    count.partition(1, bob)
    assert count.users["ann"].events == 8
    assert count.users["ann"].history == [
        Visit(NOW - 10 * MINUTE, 9, "e", "view"),
        Visit(NOW - 7 * MINUTE, 5, "a", "purchase"),
        Visit(NOW - 3 * MINUTE, 10, "f", "click"),
    ]
    assert count.users["ann"].seen == {"a", "d", "e", "f"}
    assert count.users["ann"].last_offset == 10
    assert [visit[:3] for visit in count.users["bob"].history] == [(NOW, 0, "a"), (NOW, 2, "c")]
    assert count.item_events == {"a": 3, "b": 2, "c": 2, "d": 1, "e": 1, "f": 1}
    assert count.pairs == {
        ("a", "b"): 1,
        ("b", "a"): 1,
        ("e", "f"): 1,
        ("a", "f"): 1,
        ("a", "c"): 1,
    }
    assert count.item_pairs == {"a": 3, "b": 1, "e": 1}
    names = ("offset", "consumed", "accepted", "duplicate", "suppressed", "rejected", "control")
    assert count.partitions == {
        0: dict(zip(names, (11, 10, 8, 1, 0, 1, 0), strict=True)),
        1: dict(zip(names, (4, 4, 2, 0, 0, 2, 0), strict=True)),
    }
    assert count.rejected == {(0, 3): b"{", (1, 1): bob[1].value, (1, 3): bob[3].value}


def test_only_the_newest_of_the_window_are_paired() -> None:
    count = Recount(window=2, recent_items=3)
    count.partition(0, [raw(n, NOW - 100 + n, "u", item) for n, item in enumerate("abcdbb")])
    assert count.pairs == {
        ("a", "b"): 1,
        ("a", "c"): 1,
        ("b", "c"): 1,
        ("b", "d"): 1,
        ("c", "d"): 1,
        ("c", "b"): 2,
        ("d", "b"): 2,
    }
    assert "".join(visit.item for visit in count.users["u"].history) == "cdb"


def test_a_late_event_pairs_but_does_not_move_its_item_back() -> None:
    count = Recount()
    steps = [(1, "a"), (3, "b"), (4, "c"), (2, "b")]
    events = [raw(n, NOW - 10 + ts, "u", item) for n, (ts, item) in enumerate(steps)]
    count.partition(0, events)
    assert [visit.item for visit in count.users["u"].history] == ["a", "b", "c"]
    assert count.users["u"].history[1].ts == NOW - 7
    assert count.pairs == {("a", "b"): 2, ("a", "c"): 1, ("b", "c"): 1}


def test_a_repeat_beyond_the_window_counts_again() -> None:
    count = Recount(duplicate_window=2)
    ids = ["1", "2", "1", "3", "1"]
    count.partition(0, [raw(n, NOW, "u", "a", id=text) for n, text in enumerate(ids)])
    assert count.partitions[0]["duplicate"] == 1  # the third; the fifth has been forgotten
    assert count.users["u"].events == 4


def test_a_forget_message_drops_what_its_partition_knows() -> None:
    forget = Raw(3, NOW, b'{"user": "ann", "type": "forget"}')
    one = [
        raw(0, NOW, "ann", "a", id="1"),
        raw(1, NOW, "bob", "a", id="1"),
        raw(2, NOW, "ann", "b", id="2", personal=False),  # of nobody, and not forgotten either
        forget,
        raw(4, NOW, "ann", "c", id="1"),  # no repeat any more
        raw(5, NOW, "ann", "b", id="2", personal=False),
        raw(6, NOW, "bob", "c", id="1"),
    ]
    count = Recount()
    count.partition(0, one)
    count.partition(1, [forget])  # nothing of hers is here
    assert [visit.item for visit in count.users["ann"].history] == ["c"]
    assert count.users["ann"].events == count.users["bob"].events == 1
    assert count.item_events == {"a": 2, "b": 1, "c": 1}
    assert count.pairs == {}
    found = count.partitions[0]
    assert (found["consumed"], found["accepted"], found["duplicate"]) == (7, 4, 2)
    assert found["control"] == count.partitions[1]["control"] == 1


def test_difference_names_what_differs() -> None:
    one, two = Recount(), Recount()
    one.partition(0, [raw(0, NOW, "u", "a"), raw(1, NOW, "u", "b")])
    two.partition(0, [raw(0, NOW, "u", "a")])
    assert one.difference(one) == []
    assert "pairs ('a', 'b'): counted 1, stored None" in one.difference(two)


def test_the_stream_is_what_it_says() -> None:
    sent = list(stream(3, 6000, NOW))
    assert sent == list(stream(3, 6000, NOW))
    count = Recount()
    count.partition(0, (Raw(n, NOW, one.value) for n, one in enumerate(sent)))
    kinds = {one.kind for one in sent}
    assert len(kinds) > 12
    garbage = sum(one.kind not in ("good", "repeat") for one in sent)
    assert count.partitions[0]["rejected"] == garbage
    assert 90 < garbage < 150
    assert 250 < count.partitions[0]["duplicate"] < 350
    assert all(len(user.history) <= 50 for user in count.users.values())
    longest = max(sum(pair[0] == item for pair in count.pairs) for item in count.item_events)
    assert 50 < longest < 200
