"""Dealing rows and rings to more shards, and the recount that says whether all arrived."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamrec.growth import item_rows, recount, rings, user_rows
from streamrec.growth.plan import feeders, heirs
from streamrec.growth.recount import differences, lost_ids, tally, told_users
from streamrec.growth.user_rows import Terms
from streamrec.state.duplicates import Duplicates
from streamrec.state.keys import key_of
from streamrec.state.ring import Ring
from streamrec.state.schema import Arrays, Kind
from streamrec.state.user_rows import USERS, decode_user, user_columns
from streamrec.transport.kafka.log import partition_of
from streamrec.transport.redis.growing import APART, USER_KINDS
from streamrec.transport.redis.keys import BESIDE_ROWS, USER_ROWS

COLUMNS = user_columns(10, 10)
COUNTS = st.tuples(st.integers(1, 9), st.integers(0, 9)).map(lambda n: (n[0], n[0] + n[1]))


def row(**values: Any) -> bytes:
    """Return the bytes of a user row; of lists, `recent` and `seen_size` follow."""
    values.setdefault("recent", len(values.get("keys", ())))
    values.setdefault("seen_size", len(values.get("seen", ())))
    arrays = Arrays(COLUMNS, 1)
    for name, value in values.items():
        target = arrays.named(name)
        if isinstance(value, list):
            target[0, : len(value)] = value
        else:
            target[0] = value
    [packed] = Kind(USERS, COLUMNS).pack(arrays, np.zeros(1, np.int64))
    return packed


def visits(*each: tuple[int, int, int, int], **more: Any) -> bytes:
    """Return a row with these keys, times, types and takes."""
    entries = [(*one, one[0] % 2) for one in each]
    names = ("keys", "ts", "types", "takes", "held")
    return row(**dict(zip(names, map(list, zip(*entries, strict=True)), strict=True)), **more)


@given(COUNTS, st.integers(0, 2**40))
def test_a_key_goes_from_a_feeder_to_an_heir(counts: tuple[int, int], key: int) -> None:
    before, after = key % counts[0], key % counts[1]
    assert before in feeders(after, *counts)
    assert after in heirs(before, *counts)


@given(COUNTS)
def test_what_cannot_be_is_left_out(counts: tuple[int, int]) -> None:
    product = range(counts[0] * counts[1])
    for after in range(counts[1]):
        possible = {key % counts[0] for key in product if key % counts[1] == after}
        assert set(feeders(after, *counts)) == possible


@given(COUNTS, st.lists(st.integers(0, 2**64 - 1), unique=True))
def test_item_rows_go_where_their_key_says(counts: tuple[int, int], keys: list[int]) -> None:
    rows = {key.to_bytes(8, "little"): b"%d" % key for key in keys}
    dealt = item_rows.deal(rows, counts[1])
    assert {k: v for part in dealt.values() for k, v in part.items()} == rows
    assert all(int.from_bytes(k, "little") % counts[1] == n for n, p in dealt.items() for k in p)


def test_user_rows_are_told_in_the_terms_of_their_new_shard() -> None:
    users = {b"u%d" % n: visits((1, 5, 0, 1), (2, 6, 2, 3), offset=9, seen=[7]) for n in range(40)}
    home, new = ["click", "view", "like"], ["view", "click", "like"]
    terms = [Terms(home, 50), Terms(home, 50), Terms(new, 0)]
    dealt = user_rows.deal(users, 0, terms, lambda user: partition_of(user, 2))
    assert dealt.keys() == {0, 1}
    for name, blob in dealt[0].items():
        assert blob == users[name]
    for name, blob in dealt[1].items():
        before, after = decode_user(users[name]), decode_user(blob)
        assert after.offset == -1
        assert after.types.tolist() == [1, 2]
        unlike = {"offset": after.offset, "types": after.types}
        assert str(before._replace(**unlike)) == str(after)


def test_a_user_who_moves_to_an_old_shard_is_behind_what_comes_there() -> None:
    terms = [Terms(["click"], 50), Terms(["click"], 50), Terms(["click"], 70)]
    dealt = user_rows.deal({b"u": row(offset=9)}, 0, terms, lambda user: 1)
    assert decode_user(dealt[1][b"u"]).offset == 69


def test_two_rows_of_a_user_are_one() -> None:
    older = visits(
        (1, 10, 0, 2), (2, 20, 1, 1), (3, 30, 0, 1),
        events=7, clock=40, segment=4, seen=[8, 9], tokens=1.0,
    )  # fmt: skip
    newer = visits((2, 15, 0, 2), (4, 50, 1, 1), events=3, clock=60, seen=[9, 11], tokens=0.5)
    for one, other in ((older, newer), (newer, older)):
        both = decode_user(user_rows.merged(one, other, recent_items=3, seen_items=3))
        assert (both.events, both.clock, both.segment, both.tokens) == (10, 60, 4, 0.5)
        assert both.keys.tolist() == [2, 3, 4]
        assert both.ts.tolist() == [20, 30, 50]
        assert both.types.tolist() == [1, 0, 1]
        assert both.takes.tolist() == [3, 1, 1]
        assert both.held.tolist() == [0, 1, 0]
        assert both.seen.tolist() == [9, 11, 1]


def test_usual_gaps_stay_with_their_items() -> None:
    older = visits((1, 10, 0, 2), (2, 20, 1, 3), clock=40, gapped=2, gaps=[40, 50])
    newer = visits((2, 15, 0, 2), (4, 50, 1, 1), (1, 60, 0, 2), clock=60, gapped=3, gaps=[9, 7, 0])
    plain = visits((4, 55, 1, 1), clock=70)  # from where no repeats were listed
    for one, other in ((older, newer), (newer, older)):
        both = user_rows.merged(one, other, recent_items=3, seen_items=3)
        assert decode_user(both).keys.tolist() == [2, 4, 1]
        assert decode_user(both).gaps.tolist() == [50, 7, 40]
        assert len(decode_user(user_rows.merged(plain, plain, 3, 3)).gaps) == 0
    more = decode_user(user_rows.merged(newer, plain, recent_items=3, seen_items=3))
    assert (more.keys.tolist(), more.gaps.tolist()) == ([2, 4, 1], [9, 7, 0])


def test_a_full_ring_of_seen_items_is_unrolled() -> None:
    full = row(seen=[3, 1, 2], seen_next=1, clock=1)
    both = decode_user(user_rows.merged(full, row(clock=2), recent_items=3, seen_items=2))
    assert both.seen.tolist() == [2, 3]


def former(ids: list[tuple[int, int]], latest: list[int], capacity: int = 8) -> rings.Former:
    """Return rings of a shard with (id, owner) pairs, oldest first."""
    made = [Ring(name, capacity) for name in ("ids", "owners", *rings.LATEST)]
    each = (*zip(*ids, strict=True), latest, [10 * key for key in latest])
    for ring, keys in zip(made, each, strict=True):
        ring.push(np.array(keys, np.uint64))
    chunks = {name: blob for ring in made for name, blob in ring.changed_chunks().items()}
    return rings.former([(capacity, len(ids)), *[(capacity, len(latest))] * 2], chunks)


def test_ids_go_with_their_users_and_unknown_ones_to_all_heirs() -> None:
    users = {key_of(f"u{n}"): n % 2 for n in range(4)}
    named = [(n + 1, key_of(f"u{n}")) for n in range(4)]
    one = former([*named, (0, key_of("u1")), (77, 0), (78, key_of("gone"))], [1, 2, 3])
    names = np.array(sorted(users), np.uint64)
    places = np.array([users[name] for name in names.tolist()])
    found = rings.dealt(one.window, 0, (1, 2), names, places)
    assert found[0].ids.tolist() == [1, 3, 77, 78]
    assert found[1].ids.tolist() == [2, 4, 77, 78]
    assert found[0].ages.tolist() == [6, 4, 1, 0]


def test_rings_become_one_by_age_and_the_oldest_go() -> None:
    users = np.zeros(0, np.uint64)
    all_ = [former([(10 + n, 1) for n in range(6)], [1, 2]), former([(20, 2), (21, 2)], [3])]
    windows = [rings.dealt(f.window, n, (2, 3), users, users)[0] for n, f in enumerate(all_)]
    chunks, sizes = rings.rings_of(0, (2, 3), windows, [*all_])
    assert sizes == [[8, 8], [8, 3], [8, 3]]
    again = rings.former(sizes, chunks)
    assert again.window.ids.tolist() == [10, 11, 12, 13, 14, 20, 15, 21]
    assert [ring.tolist() for ring in again.latest] == [[1, 2, 3], [10, 20, 30]]
    many = rings.rings_of(0, (2, 3), [*windows, windows[1]], [*all_])
    assert rings.former(many[1], many[0]).window.ids.tolist()[-4:] == [20, 15, 21, 21]
    assert many[1][0] == [8, 10]


def test_a_duplicate_is_found_after_the_window_was_dealt() -> None:
    window = Duplicates(Ring("ids", 16), Ring("owners", 16))
    for n in range(12):
        assert window.is_new(f"u{n % 3}", f"e{n}")
    chunks = window.ids.changed_chunks() | window.owners.changed_chunks()
    sizes = [(16, window.ids.total), (4, 0), (4, 0)]
    users = np.array(sorted(key_of(f"u{n}") for n in range(3)), np.uint64)
    places = np.array([partition_of(f"u{n}".encode(), 2) for n in range(3)])
    by_key = {key_of(f"u{n}"): places[n] for n in range(3)}
    placed = np.array([by_key[name] for name in users.tolist()])
    one = rings.former(sizes, chunks)
    for number, part in rings.dealt(one.window, 0, (1, 2), users, placed).items():
        new_chunks, new_sizes = rings.rings_of(number, (1, 2), [part], [one])
        size = new_sizes[0][0], new_sizes[0][1]
        known = Duplicates(
            *(Ring.restore(name, 16, size, new_chunks) for name in ("ids", "owners"))
        )
        for n in range(12):
            here = partition_of(f"u{n % 3}".encode(), 2) == number
            assert known.is_new(f"u{n % 3}", f"e{n}") != here
        assert known.forget("u0") > 0


def test_all_kinds_of_user_shards_are_dealt() -> None:
    """A new kind is refused by `grow` until it is: say there where its rows go."""
    assert {*USER_ROWS, *BESIDE_ROWS} == {*USER_KINDS, *APART}


ROWS = [(b"%8d" % n, b"row %d" % n) for n in range(20)]


@pytest.mark.parametrize(
    ("after", "found"),
    [
        (ROWS, ""),
        (ROWS[::-1], ""),
        (ROWS[1:], "20 rows before, 19 after"),
        ([*ROWS, ROWS[3]], "20 rows before, 21 after"),
        ([*ROWS[1:], ROWS[2]], "say something else"),
        ([*ROWS[1:], (ROWS[0][0], b"row 1")], "say something else"),
    ],
)
def test_the_recount_finds_what_is_lost_doubled_or_changed(after: Any, found: str) -> None:
    before = tally(ROWS, lambda field: 0, 0)
    text = "; ".join(differences("users", before, tally(after, lambda field: 0, 0)))
    assert (found in text) if found else not text


def test_the_recount_finds_rows_that_are_astray() -> None:
    before = tally(ROWS, lambda field: 0, 0)
    after = tally(ROWS, lambda field: int(field) % 2, 0)
    assert differences("users", before, after) == [
        "users: 10 rows are in a shard that is not theirs"
    ]


def test_the_recount_knows_types_by_their_names() -> None:
    one = visits((1, 5, 0, 1), (2, 6, 1, 1), offset=3)
    other = user_rows.retold(one, bytes([1, 0, *range(2, 256)]), -1)
    told = [
        list(told_users([(b"u", blob)], types, ()))
        for blob, types in ((one, ["a", "b"]), (other, ["b", "a"]), (other, ["a", "b"]))
    ]
    assert told[0] == told[1] != told[2]
    assert list(told_users([(b"u", one)], ["a", "b"], {b"u"})) == []
    assert recount.events_of([(b"u", row(events=4))], {b"u"}) == {b"u": 4}


def test_the_recount_knows_the_ids_of_the_windows() -> None:
    had = {0: former([(1, 1), (2, 2)], [])}
    assert lost_ids(had, {0: former([(2, 2)], []), 1: former([(1, 1)], [])}) == []
    assert lost_ids(had, {0: former([(2, 2)], [])}) == ["duplicate window: 1 ids are lost"]
    assert lost_ids(had, {0: former([(1, 1), (2, 2), (3, 0)], [])}) == [
        "duplicate window: 1 ids that were not there"
    ]
    assert lost_ids(had, {0: former([(2, 2)], [], capacity=1)}) == []  # it was full
