"""A visitor's history becomes the user's: once, in time order, whatever is sent twice."""

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as given_settings
from hypothesis import strategies as st
from laws.world import NOW, TYPES, World, event, small
from recovery.recount import Raw, Recount

from streamrec.evaluation.prequential import Parts, Prequential
from streamrec.events.event import Event
from streamrec.events.merging import Ask, Give, encode_merge
from streamrec.settings.mappings import FieldMapping
from streamrec.state.keys import key_of
from streamrec.state.moves import addressed
from streamrec.state.user_rows import decode_user

PERSON, VISITOR = "ann", "anon-9"


def merge(user: str = PERSON, visitor: str = VISITOR) -> dict[str, Any]:
    return {"user": user, "type": "merge", "from": visitor}


class Site:
    """Two events partitions, of which each message between shards is delivered so many times."""

    def __init__(self, times: int = 1, **sections: Any) -> None:
        self.world = World(small(**sections), 2, 2)
        self.logs: list[list[Raw]] = [[], []]
        self._times = times

    def send(self, partition: int, *values: dict[str, Any] | bytes) -> None:
        for value in values:
            raw = json.dumps(value).encode() if isinstance(value, dict) else value
            self.logs[partition].append(Raw(len(self.logs[partition]), NOW, raw))

    def learn(self, batch: int = 100) -> None:
        """Let both shards fold what is new, and send what they send, until nothing is left."""
        while any(self._step(number, batch) for number in (0, 1)):
            pass

    def _step(self, number: int, batch: int) -> bool:
        shard = self.world.users[number]
        new = self.logs[number][shard.offset :][:batch]
        if new:
            fold = self.world.learn(new, number)
            for target, _, value in [*addressed(fold.moves, FieldMapping(), 2)] * self._times:
                self.send(target, value)
        return bool(new)

    def recount(self) -> Recount:
        """Return what the recount makes of the logs."""
        users = self.world.settings.users
        count = Recount(
            self.world.settings.similarity.window, users.recent_items, 8,
            seen_items=users.seen_items,
        )  # fmt: skip
        count.all({number: log for number, log in enumerate(self.logs) if log})
        return count

    def history(self, user: str, partition: int) -> list[tuple[str, int]] | None:
        blob = self.world.rows[f"u{partition}"]["users"].get(user.encode())
        if blob is None:
            return None
        row, names = decode_user(blob), {key_of(f"i{n}"): f"i{n}" for n in range(20)}
        return [
            (names[key], takes)
            for key, takes in zip(row.keys.tolist(), row.takes.tolist(), strict=True)
        ]

    def row(self, user: str, partition: int) -> Any:
        return decode_user(self.world.rows[f"u{partition}"]["users"][user.encode()])


@pytest.mark.parametrize("times", [1, 2])
@pytest.mark.parametrize("home", [0, 1])
@pytest.mark.parametrize("batch", [1, 2, 100])
def test_what_the_visitor_did_is_the_users(times: int, home: int, batch: int) -> None:
    site = Site(times)
    site.send(0, event(PERSON, "i1", ts=1), event(PERSON, "i2", ts=5))
    site.send(home, event(VISITOR, "i3", ts=3), event(VISITOR, "i2", ts=2))
    site.send(home, event(VISITOR, "i4", ts=6))
    site.learn(batch)
    site.send(0, merge(), event(PERSON, "i5", ts=9))
    site.learn(batch)
    assert site.history(VISITOR, home) is None
    assert site.history(PERSON, 0) == [("i1", 1), ("i3", 1), ("i2", 2), ("i4", 1), ("i5", 1)]
    row = site.row(PERSON, 0)
    assert row.events == 6
    for shard in site.world.users:
        assert shard.counters.consumed == shard.counters.explained


@pytest.mark.parametrize("home", [0, 1])
def test_one_process_merges_alike(home: int) -> None:
    of = {PERSON: 0, VISITOR: home}
    live = Prequential(small(), Parts(2, 2, of.__getitem__))
    site = Site()
    for n, (user, item) in enumerate(((PERSON, 1), (VISITOR, 2), (VISITOR, 1), (PERSON, 3)) * 3):
        one = event(user, f"i{item + n}", ts=n)
        site.send(of[user], one)
        live.step(Event(user, one["item"], one["type"], one["ts"]))
    site.learn()
    site.send(0, merge(), merge())
    site.learn()
    for _ in range(2):
        live.merge(PERSON, VISITOR, NOW)
    row, mine = site.row(PERSON, 0), live.flow.users[0].users.row(PERSON)
    for name in ("events", "recent", "keys", "ts", "types", "takes", "gaps", "seen"):
        assert np.array_equal(getattr(row, name), getattr(mine, name)), name
    assert not live.flow.users[home].users.row(VISITOR).events
    live.end()


def test_batches_do_not_matter() -> None:
    def learnt(batch: int) -> Any:
        site = Site()
        for n in range(6):
            site.send(0, event(PERSON, f"i{n}", ts=n))
            site.send(1, event(VISITOR, f"i{n + 3}", ts=n))
        site.send(0, merge())
        site.learn(1)
        asks = [raw.value for log in site.logs for raw in log if b'"asked":{' in (raw.value or b"")]
        assert len(asks) == 2
        # all again, in one log each, as a new Redis learns it
        again = Site(0)
        for number in (0, 1):
            again.send(number, *(raw.value or b"" for raw in site.logs[number]))
            again.send(number, event(f"other{number}", "i9", ts=99))
        again.learn(batch)
        return again.world.rows["u0"]["users"], again.world.rows["u1"]["users"]

    assert learnt(1) == learnt(3) == learnt(100)


def test_repeats_and_strangers_change_nothing() -> None:
    site = Site()
    site.send(0, event(PERSON, "i1", ts=1), merge(PERSON, "nobody"), merge(PERSON, PERSON))
    site.send(0, merge(), merge())
    site.learn()
    assert site.history(PERSON, 0) == [("i1", 1)]
    fold = site.world.users[0].changes()[0]
    assert fold["forgotten"] == {}
    old = Give(PERSON, VISITOR, "u1", 0, 0, (), b"")
    site.world.users[0].marks.taken["u1"] = 0
    site.send(0, encode_merge(FieldMapping(), old))
    site.learn()
    assert site.history(PERSON, 0) == [("i1", 1)]


def test_what_does_not_fit_is_seen() -> None:
    site = Site(users={"recent_items": 3})
    site.send(0, *(event(PERSON, f"i{n}", ts=n) for n in range(3)))
    site.send(1, *(event(VISITOR, f"i{n}", ts=n) for n in range(3, 5)))
    site.learn()
    site.send(0, merge())
    site.learn()
    assert site.history(PERSON, 0) == [("i2", 1), ("i3", 1), ("i4", 1)]
    hashes = {key_of(f"i{n}") & 0xFFFFFFFF for n in (0, 1)}
    assert hashes <= set(site.row(PERSON, 0).seen.tolist())


def test_messages_between_shards_are_told_from_those_of_sites() -> None:
    decode = World(small()).flow.decoder.decode
    ask = Ask(PERSON, VISITOR, "u1", 7)
    assert decode(encode_merge(FieldMapping(), ask), 5) == ask
    wrong = {**merge(), "given": {"by": "u1"}}
    assert decode(json.dumps(wrong).encode(), 5).reason == "schema"


def test_two_shards_may_ask_each_other_in_one_batch() -> None:
    """A shard sends what it gives and what it asks for in the order in which it took them."""
    site = Site()
    site.send(0, event(PERSON, "i1", ts=1), event("anon-0", "i2", ts=2))
    site.send(1, event("bob", "i3", ts=3), event(VISITOR, "i4", ts=4))
    site.learn()
    site.send(1, merge("bob", "anon-0"))
    site.world.learn(site.logs[1][site.world.users[1].offset :], 1)
    ask = Ask("bob", "anon-0", "u1", 2)
    site.send(0, encode_merge(FieldMapping(), ask), merge())
    site.learn()
    assert site.history("bob", 1) == [("i2", 1), ("i3", 1)]
    assert site.history(PERSON, 0) == [("i1", 1), ("i4", 1)]
    assert site.recount().difference(site.world.recount()) == []


def test_what_comes_before_one_that_was_lost_is_taken_when_both_come_again() -> None:
    """Kafka may refuse a message and take the next: the sender then sends both again."""
    site = Site()
    site.send(0, event(PERSON, "i1", ts=1), event("bob", "i2", ts=1))
    site.send(1, event(VISITOR, "i3", ts=2), event("anon-1", "i4", ts=2))
    site.learn()
    site.send(0, merge(), merge("bob", "anon-1"))
    fold = site.world.learn(site.logs[0][2:])
    sent = [value for to, _, value in addressed(fold.moves, FieldMapping(), 2) if to == 1]
    site.send(1, sent[1], *sent)
    site.learn()
    assert site.history(VISITOR, 1) is None and site.history("anon-1", 1) is None
    gives = [raw.value or b"" for raw in site.logs[0] if b'"given"' in (raw.value or b"")]
    assert len(gives) == 2
    assert site.history(PERSON, 0) == [("i1", 1), ("i3", 1)]
    assert site.history("bob", 0) == [("i2", 1), ("i4", 1)]


@pytest.mark.parametrize("again", [False, True])
def test_who_is_forgotten_is_given_nothing_that_was_asked_for_before(again: bool) -> None:
    site = Site()
    site.send(1, event(VISITOR, "i1", ts=1))
    site.learn()
    site.send(0, merge())
    asked = site.world.learn(site.logs[0])
    site.send(0, {"user": PERSON, "type": "forget"})
    site.world.learn(site.logs[0][1:])
    site.world.restart_users()
    for to, _, value in addressed(asked.moves, FieldMapping(), 2):
        site.send(to, value)
    site.learn()
    assert site.history(VISITOR, 1) is None and site.history(PERSON, 0) is None
    if again:
        site.send(1, event(VISITOR, "i2", ts=2))
        site.learn()
        site.send(0, merge())
        site.learn()
        assert site.history(PERSON, 0) == [("i2", 1)]
    assert site.recount().difference(site.world.recount()) == []


@pytest.mark.parametrize("last", ["merge", "ask", "give"])
def test_a_visitor_who_is_forgotten_before_the_merge_is_done_comes_back_nowhere(last: str) -> None:
    """The forget message is in every partition, as the command sends it; `last`: what came before.

    What a user was given before belongs to the user: it goes with that user alone.
    """
    site, gone = Site(), {"user": VISITOR, "type": "forget"}
    site.send(0, event(PERSON, "i1", ts=1))
    site.send(1, event(VISITOR, "i2", ts=2))
    site.learn()
    site.send(0, merge())
    asked = site.world.learn(site.logs[0][1:])
    messages = [(to, value) for to, _, value in addressed(asked.moves, FieldMapping(), 2)]
    if last == "merge":
        site.send(1, gone)
    site.send(1, *(value for to, value in messages if to == 1))
    if last != "merge":
        site.send(1, gone)
    if last == "give":
        site.send(0, *(value for to, value in messages if to == 0))
        site.learn()
    site.send(0, gone)
    site.learn()
    if last == "ask":
        assert any(b'"given":{' in (raw.value or b"") for raw in site.logs[0])  # and is not taken
    assert site.history(VISITOR, 1) is None
    assert site.history(PERSON, 0) == [("i1", 1)] + [("i2", 1)] * (last == "give")
    assert site.recount().difference(site.world.recount()) == []
    site.send(0, {"user": PERSON, "type": "forget"})
    site.learn()
    assert site.history(PERSON, 0) is None


def test_an_event_of_the_visitor_that_is_sent_again_is_a_duplicate_still() -> None:
    site = Site()
    again = event(VISITOR, "i1", ts=1, id="e1")
    site.send(1, again)
    site.send(0, event(PERSON, "i2", ts=1))
    site.learn()
    site.send(0, merge())
    site.learn()
    site.send(1, again)
    site.learn()
    assert site.history(VISITOR, 1) is None
    assert site.world.users[1].counters.duplicate == 1
    assert site.recount().difference(site.world.recount()) == []


def test_a_row_that_cannot_be_read_is_refused_and_stops_nothing() -> None:
    site = Site()
    site.send(1, event(VISITOR, "i1", ts=1))
    site.learn()
    row = site.world.rows["u1"]["users"][VISITOR.encode()]
    newer = bytes([row[0] + 1]) + row[1:]
    wrong = [
        Give(PERSON, VISITOR, "u1", 5, 0, ("click",), newer),
        Give(PERSON, VISITOR, "u1", 6, 0, ("click",), row[:-1]),
        Give(PERSON, VISITOR, "u1", 7, 0, (), row),
        Give(PERSON, VISITOR, "u1", 8, 0, (), b""),
    ]
    raw = [Raw(n, NOW, encode_merge(FieldMapping(), one)) for n, one in enumerate(wrong)]
    fold = site.world.learn(raw)
    assert [offset for offset, _ in fold.rejected] == [0, 1, 2, 3]
    assert fold.rejected[0][1].reason == "unknown_version"
    assert site.history(PERSON, 0) is None
    shard = site.world.users[0]
    assert shard.counters.rejected == 4 and shard.counters.consumed == shard.counters.explained


def test_a_merge_does_not_make_its_user_one_who_floods() -> None:
    site = Site(events={"flood_per_minute": 60.0, "flood_burst": 5})
    site.send(1, event(VISITOR, "i1", ts=1))
    site.learn()
    site.send(0, merge())
    site.learn()
    site.send(0, *(event(PERSON, f"i{n}", ts=9) for n in range(2, 9)))
    site.learn()
    assert site.world.users[0].counters.suppressed == 2


def test_types_of_another_shard_keep_their_names() -> None:
    site = Site()
    site.send(1, event(VISITOR, "i1", "purchase", ts=1))
    site.learn()
    shard = site.world.users[1]
    shard._set_types(["other", *shard.types])  # noqa: SLF001
    site.send(1, event(VISITOR, "i2", "view", ts=2))
    site.learn()
    site.send(0, merge())
    site.learn()
    row, types = site.row(PERSON, 0), site.world.users[0].types
    assert types[-1] == "other" and types[row.types[1]] == "view"


@pytest.mark.parametrize("who", ["new", "stays"])
def test_fakes_who_are_merged_into_one_teach_once(who: str) -> None:
    """What newcomers' events are held back stays held: a merge is no way around it."""
    site = Site(users={"recent_items": 20, "seen_items": 4})
    regulars = [event(f"r{u}", f"i{(n + u) % 18}", ts=n) for n in range(18) for u in range(8)]
    site.send(0, *regulars, *(event("stays", f"i{n}", ts=20) for n in range(9)))
    site.send(0, *(event(f"f{n}", "i19", ts=21) for n in range(40)))
    site.learn(30)

    def popularity() -> float:
        return float(site.world.item_rows()["i19"]["popularity"][2])

    before = popularity()
    assert before < 3.0
    site.send(0, *(merge(who, f"f{n}") for n in range(40)))
    site.learn(30)
    assert popularity() == before and site.row(who, 0).held.tolist()[-1] == 1
    for n in range(10, 16):
        site.send(0, event(who, f"i{n}", ts=22))
        site.learn()
    assert popularity() == pytest.approx(before + 1.0, abs=0.1)
    assert site.recount().difference(site.world.recount()) == []


@given_settings(max_examples=40)
@given(st.data())
def test_the_recount_agrees(data: st.DataObject) -> None:
    """Events, merges and forget messages in two partitions, in any order and any batches."""
    site = Site(data.draw(st.integers(1, 2)), events={"duplicate_window": 8})
    home = {f"u{n}": n % 2 for n in range(5)}
    people, items = st.sampled_from(sorted(home)), st.integers(0, 7).map(lambda n: f"i{n}")
    one = st.builds(event, people, items, st.sampled_from(TYPES), st.integers(0, 12))
    merges, forgets = st.builds(merge, people, people), people.map(
        lambda user: {"user": user, "type": "forget"}
    )  # fmt: skip
    for value in data.draw(st.lists(st.one_of(one, one, one, merges, forgets), max_size=30)):
        everywhere = value["type"] == "forget" and data.draw(st.booleans())  # as the command does
        for partition in (0, 1) if everywhere else (home[value["user"]],):
            site.send(partition, value)
        if data.draw(st.integers(0, 2)) == 0:
            site.learn(data.draw(st.integers(1, 4)))
        if data.draw(st.integers(0, 5)) == 0:
            site.world.restart_users(data.draw(st.integers(0, 1)))
    site.learn(data.draw(st.integers(1, 4)))
    assert site.recount().difference(site.world.recount()) == []
    held = {user: sorted(one.held) for user, one in site.recount().users.items() if one.held}
    names = {key_of(f"i{n}"): f"i{n}" for n in range(20)}
    stored = {}
    for number in (0, 1):
        for user in site.world.rows.get(f"u{number}", {}).get("users", {}):
            row = site.row(user.decode(), number)
            if row.held.any():
                stored[user.decode()] = sorted(names[k] for k in row.keys[row.held > 0].tolist())
    assert held == stored
