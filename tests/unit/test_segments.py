"""Segments: each has a popularity of its own, learnt as an item's neighbours, shown to nobody."""

import json
import math
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as budget_of
from hypothesis import strategies as st
from laws.spine import Spine
from laws.world import NOW, World, event, raws, small
from make import context
from oracle import NAMES, maker_of
from servers import RedisServer

from streamrec.client import Client
from streamrec.commands.export import export
from streamrec.events.event import Event, EventDecoder, Rejected
from streamrec.ranking.lists import UserList
from streamrec.settings.sections import Settings
from streamrec.sources.segment import SEGMENT_PREFIX
from streamrec.state import updates
from streamrec.state.item_table import ItemTable
from streamrec.state.keys import key_of
from streamrec.state.segments import MOST, Segments, joined
from streamrec.state.user_rows import UserRow, decode_user

PARTS = 2
LASTING: dict[str, dict[str, Any]] = {
    "similarity": {"half_life_seconds": 0.0, "neighbours": 30, "window": 3},
    "users": {"recent_items": 5, "seen_items": 4, "segment_users": 1},
}


def only_segment(**sections: dict[str, Any]) -> Settings:
    """Return settings under which lists hold what is popular in the segment, and nothing else."""
    blend = {"kind": "weighted", "weights": {"segment": 1.0}, "hidden": 3}
    return small(**{**LASTING, "blend": blend, **sections})


def clicks(count: int = 60, items: int = 9, **more: Any) -> list[dict[str, Any]]:
    """Return clicks of six users, by turns of two segments with tastes of their own, and none."""
    rng = np.random.default_rng(count)
    found = []
    for n in range(count):
        segment = [None, "at", "de"][n % 3]
        item = f"i{min(items - 1, rng.geometric(0.4) + (4 if segment == 'de' else 0))}"
        named = {"segment": segment} if segment else {}
        found.append(event(f"u{n % 6}", item, ts=n, **named, **more))
    return found


def learnt(config: Settings, log: list[dict[str, Any]], parts: int = PARTS) -> World:
    world = World(config, parts)
    for n in range(0, len(log), 10):
        world.learn([raw._replace(offset=n + raw.offset) for raw in raws(log[n : n + 10])])
    return world


def row_of(world: World, user: str) -> UserRow:
    return decode_user(world.rows["u0"]["users"][user.encode()])


def made_for(table: ItemTable, config: Settings, *rows: UserRow) -> list[UserList]:
    maker = maker_of(table, config)
    return maker.make([maker.shopper(row, table) for row in rows], table)


def popularity(table: ItemTable, segment: str) -> dict[str | None, float]:
    """Return what the table knows of a segment: weights by item."""
    row, a = table.row_of[SEGMENT_PREFIX + segment], table.arrays
    others = a.similarity_keys[row, : a.similarity_size[row]].tolist()
    weights = a.similarity_weights[row].tolist()
    return {table.ids[j]: w for j, w in zip(others, weights, strict=False)}


def counted(log: list[dict[str, Any]], segment: str) -> dict[str, float]:
    weights = Settings().events.weights
    found: Counter[str] = Counter()
    for one in log:
        if one.get("segment") == segment and weights[one["type"]] > 0:
            found[one["item"]] += weights[one["type"]]  # type: ignore[assignment]
    return dict(found)


def test_the_decoder_takes_a_segment() -> None:
    decoder = EventDecoder(Settings().events)
    plain = decoder.decode(b'{"user":"u","item":"i","type":"click","ts":5,"segment":"at"}', -1)
    assert isinstance(plain, Event) and plain.segment == "at"
    number = decoder.decode(b'{"user":"u","item":"i","type":"click","ts":5,"segment":43}', -1)
    assert isinstance(number, Event) and number.segment == "43"
    for wrong in ('"\\u001fat"', '""', '"' + "x" * 129 + '"', "1.5", "[]"):
        text = f'{{"user":"u","item":"i","type":"click","ts":5,"segment":{wrong}}}'
        refused = decoder.decode(text.encode(), -1)
        assert isinstance(refused, Rejected) and refused.reason == "bad_id", wrong


def test_the_decoder_takes_a_mapped_segment() -> None:
    mapping = {"user": "who.id", "segment": "who.place.country"}
    decoder = EventDecoder(msgspec.convert({"mapping": mapping}, type(Settings().events)))
    text = b'{"who":{"id":"u","place":{"country":"at"}},"item":"i","type":"click","ts":5}'
    found = decoder.decode(text, -1)
    assert isinstance(found, Event) and (found.user, found.segment) == ("u", "at")
    none = decoder.decode(b'{"who":{"id":"u"},"item":"i","type":"click","ts":5}', -1)
    assert isinstance(none, Event) and none.segment is None


def test_an_item_cannot_have_the_name_of_a_segments_row() -> None:
    text = json.dumps(event("u1", f"{SEGMENT_PREFIX}at")).encode()
    refused = EventDecoder(Settings().events).decode(text, NOW)
    assert isinstance(refused, Rejected) and refused.reason == "bad_id"


def test_events_teach_their_segment_alone_and_only_what_counts() -> None:
    log = clicks()
    kinds = ("view", "click", "purchase", "dislike", "impression", "remove")
    for n, one in enumerate(log):
        one["type"] = kinds[n * 7 % 6]
    world = learnt(only_segment(), log)
    for segment in ("at", "de"):
        assert popularity(world.table, segment) == pytest.approx(counted(log, segment), rel=1e-5)
    row = world.table.row_of[f"{SEGMENT_PREFIX}at"]
    a = world.table.arrays
    assert a.events[row] == 0 and not a.popularity[row].any() and a.stored[row]
    assert not a.available[row]


def test_a_users_segment_is_the_one_last_named() -> None:
    log = [
        event("u1", "i1", ts=1, segment="at"), event("u1", "i2", ts=2, segment="de"),
        event("u1", "i3", ts=3), event("u2", "i3", ts=4),
        event("u3", "i3", "impression", ts=5, segment="at"),
    ]  # fmt: skip
    world = learnt(only_segment(), log)
    assert row_of(world, "u1").segment == key_of(f"{SEGMENT_PREFIX}de")
    assert row_of(world, "u2").segment == row_of(world, "u3").segment == 0


def test_the_source_proposes_what_is_popular_in_the_users_segment() -> None:
    config, log = only_segment(lists={"exclude": "user", "length": 20}), clicks(90)
    world = learnt(config, log)
    for user, segment in (("u1", "at"), ("u2", "de"), ("u4", "at")):
        who = row_of(world, user)
        [made] = made_for(world.table, config, who)
        counts = counted(log, segment)
        taken = {one["item"] for one in log if one["user"] == user}
        left = {item: count for item, count in counts.items() if item not in taken}
        total = sum(left.values())
        assert {entry.item: entry.score for entry in made.items} == pytest.approx(
            {item: math.log(count / total) for item, count in left.items()}, abs=1e-3
        )
        assert [entry.score for entry in made.items] == sorted(
            (entry.score for entry in made.items), reverse=True
        )
        assert all(entry.source == "segment" and not entry.because for entry in made.items)
    [of_none] = made_for(world.table, config, row_of(world, "u0"))
    assert of_none.items == [] and not of_none.shown[1 + NAMES.index("segment")].any()


def test_a_segment_forgets_as_similarity_does() -> None:
    config = only_segment(similarity={"half_life_seconds": 50.0, "neighbours": 30, "window": 3})
    log = [event("u1", "i1", ts=0, segment="at"), event("u2", "i2", ts=50, segment="at")]
    found = popularity(learnt(config, log).table, "at")
    assert found["i2"] == pytest.approx(2 * found["i1"], rel=1e-5)


LOGS = st.lists(
    st.tuples(
        st.integers(0, 3), st.integers(0, 6), st.sampled_from(["click", "dislike", "remove"]),
        st.integers(0, 900), st.sampled_from([None, "at", "de", "i1"]),
    ),
    min_size=1, max_size=40,
)  # fmt: skip


@budget_of(max_examples=40)
@given(LOGS, st.sampled_from(["user", "session", "none"]))
def test_a_segment_is_never_in_a_list(steps: list[tuple[Any, ...]], exclude: str) -> None:
    config = small(**LASTING, lists={"exclude": exclude}, blend={"hidden": 3})
    log = [
        event(f"u{user}", f"i{item}", kind, ts, **({"segment": segment} if segment else {}))
        for user, item, kind, ts, segment in steps
    ]
    world = learnt(config, log)
    rows = [decode_user(blob) for blob in world.rows["u0"]["users"].values()]
    pseudo = {key_of(SEGMENT_PREFIX + name) for name in ("at", "de", "i1")}
    for made in made_for(world.table, config, *rows):
        assert not pseudo & set(made.shown.ravel().tolist())
        assert not pseudo & set(made.candidates.tolist())
        assert not any(entry.item.startswith(SEGMENT_PREFIX) for entry in made.items)
        named = [name for entry in made.items for name in entry.because]
        assert not any(name.startswith(SEGMENT_PREFIX) for name in named)


def test_records_and_restored_shards_keep_segments() -> None:
    log = clicks(60)
    world = learnt(only_segment(), log[:30])
    records = [updates.decode(record) for sent in world.sent for record in sent]
    named = {name for record in records for _, name in record.header.ids}
    assert {f"{SEGMENT_PREFIX}at", f"{SEGMENT_PREFIX}de"} <= named
    before = popularity(world.table, "at")
    world.restart_items()
    world.restart_users()  # with a table that is filled from what is stored
    assert popularity(world.table, "at") == before == pytest.approx(counted(log[:30], "at"))
    world.learn([raw._replace(offset=30 + raw.offset) for raw in raws(log[30:])])
    assert popularity(world.table, "at") == pytest.approx(counted(log, "at"))


def test_a_segment_in_use_outlives_items_that_are_evicted() -> None:
    """It has no popularity of its own, and would be the first to go."""
    config = only_segment(items={"max_items": 12})
    log = []
    for n in range(120):
        log.append(event(f"u{n % 6}", f"once {n}", ts=n))
        log.append(event(f"u{n % 6}", f"i{n % 4}", ts=n, segment="at"))
    world = learnt(config, log, parts=1)
    assert world.items[0].index.size <= 12
    found = popularity(world.table, "at")
    assert {item: found[item] for item in ("i0", "i1", "i2", "i3")} == {
        f"i{n}": pytest.approx(30.0) for n in range(4)
    }


def test_segments_that_are_not_in_use_go_like_items() -> None:
    """Else a producer that puts a random text there would push out all items."""
    config = only_segment(items={"max_items": 20})
    log = [event("u1", f"i{n % 5}", ts=n, segment=f"random {n}") for n in range(100)]
    world = learnt(config, log, parts=1)
    assert world.items[0].index.size <= 20
    assert {f"i{n}" for n in range(5)} <= {
        world.table.ids[row]
        for row in np.flatnonzero(world.table.arrays.stored[: len(world.table)])
    }


@pytest.fixture
def spine(clean_redis: RedisServer) -> Iterator[Spine]:
    one = Spine(only_segment(lists={"exclude": "none"}), clean_redis.url, PARTS)
    yield one
    one.close()


def test_export_and_similar_do_not_name_segments(spine: Spine, tmp_path: Path) -> None:
    log = clicks(90)
    spine.learn(log, batch=10)
    names = [row["item"] for row in map(json.loads, _catalogue(spine))]
    assert {f"{SEGMENT_PREFIX}at", f"{SEGMENT_PREFIX}de"} <= set(names)
    export(context(spine.settings), tmp_path)
    items = {row["item"]: row for row in _lines(tmp_path / "items.jsonl")}
    assert set(items) == {one["item"] for one in log}
    assert sum(row["events"] for row in items.values()) == len(log)
    pairs = _lines(tmp_path / "pairs.jsonl")
    assert pairs and {row["item"] for row in pairs} <= set(items)
    assert {row["neighbour"] for row in pairs} <= set(items)
    for row in items.values():
        assert row["pairs"] == sum(p["count"] for p in pairs if p["item"] == row["item"])
    for name in ("users.jsonl", "partitions.jsonl"):
        assert "\\u001f" not in (tmp_path / name).read_text()
    with Client(spine.settings.redis) as client:
        for item in items:
            found = client.similar(item, 50)
            assert not any(entry.item.startswith(SEGMENT_PREFIX) for entry in found)


def test_a_reader_of_the_feed_knows_the_segments(spine: Spine) -> None:
    log = clicks(90)
    feed = spine.new_feed()
    for n in range(0, 90, 30):
        spine.learn(log[n : n + 30], batch=10)
        feed.refresh(float(n + 1), spine.metrics)
        assert popularity(feed.table, "de") == pytest.approx(counted(log[: n + 30], "de"))
    spine.start()
    late = spine.new_feed()
    late.refresh(1000.0, spine.metrics)
    assert popularity(late.table, "de") == popularity(feed.table, "de")
    who = decode_user(spine.store.all_rows("u0", "users")[b"u2"])
    first = [made_for(f.table, spine.settings, who)[0].items for f in (feed, late)]
    assert first[0] and [e.item for e in first[0]] == [e.item for e in first[1]]
    best = max(counted(log, "de").items(), key=lambda one: one[1])[0]
    assert first[0][0].item == best and first[0][0].source == "segment"


def _catalogue(spine: Spine) -> list[bytes]:
    return [
        row for n in range(PARTS) for row in spine.store.all_rows(f"i{n}", "catalogue").values()
    ]


def _lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def honest_and_made_up(users: int = 3) -> list[dict[str, Any]]:
    """Return clicks that name `at` of `users` users, and between them names of one user each."""
    log = []
    for n in range(120):
        log.append(event(f"u{n % users}", f"i{n % 7}", ts=2 * n, segment="at"))
        log.append(
            event(f"v{n % 5}", f"i{n % 7}", ts=2 * n + 1, segment=f"made up {n % 40}-{n % 5}")
        )
    return log


def segments_of(world: World) -> set[str]:
    """Return the segments that have a row: at their owners, and in the learners' copy."""
    named = {name or "" for name in world.table.ids}
    stored = {
        json.loads(entry)["item"]
        for n in range(PARTS)
        for entry in world.rows[f"i{n}"]["catalogue"].values()
    }
    found = named | stored
    return {name[1:] for name in found if name.startswith(SEGMENT_PREFIX)}


def test_a_made_up_segment_is_no_item_row() -> None:
    """One row of `items.max_items` for each name would let honest items go."""
    world = learnt(only_segment(users={"segment_users": 3}), honest_and_made_up())
    assert segments_of(world) == {"at"}
    assert len(world.table) == 7 + 1
    assert row_of(world, "v1").segment == 0
    assert row_of(world, "u1").segment == key_of(f"{SEGMENT_PREFIX}at")
    every = learnt(only_segment(users={"segment_users": 1}), honest_and_made_up())
    assert len(segments_of(every)) == 41
    few = learnt(only_segment(users={"segment_users": 3}), honest_and_made_up(users=2))
    assert segments_of(few) == set()


def test_a_segment_counts_from_the_user_on_who_makes_it_one() -> None:
    config = only_segment(users={"segment_users": 3})
    names = ("ann", "ann", "bob", "bob", "eve", "ann")
    log = [event(user, f"i{n}", ts=n, segment="at") for n, user in enumerate(names)]
    world = learnt(config, log)
    assert set(popularity(world.table, "at")) == {"i4", "i5"}


@budget_of(max_examples=20)
@given(st.lists(st.integers(1, 30), max_size=20))
def test_what_is_a_segment_does_not_depend_on_batches_and_restarts(sizes: list[int]) -> None:
    log = [(key_of(f"s{n * n % 13}"), key_of(f"u{n * 7 % 5}")) for n in range(300)]
    whole, parts = Segments(3), Segments(3)
    expected = [whole.admits(*one) for one in log]
    found, at = [], 0
    for size in (*sizes, len(log)):
        found += [parts.admits(*one) for one in log[at : at + size]]
        at += size
        parts = Segments.restore(3, parts.stored().encode())
    assert found == expected and any(expected)
    assert parts.stored() == whole.stored()


def test_a_flood_of_names_drops_no_segment_and_is_bounded() -> None:
    mine = Segments(3)
    for user in range(3):
        mine.admits(1, user)
    for n in range(10, 5000):  # names of one user each
        assert not mine.admits(n, n)
    assert mine.admits(1, 7) and len(json.loads(mine.stored())) == MOST
    for n in range(10_000, 10_400):  # names of three users each: the longest unnamed go
        for user in range(3):
            mine.admits(n, user)
    assert not mine.admits(1, 7) and mine.admits(10_399, 7)
    assert len(json.loads(mine.stored())) == MOST


def test_a_shard_that_has_users_of_several_knows_their_segments() -> None:
    one, other = Segments(3), Segments(3)
    for user in range(3):
        one.admits(1, user)
    other.admits(2, 0)
    other.admits(2, 1)
    fields = [one.stored().encode(), other.stored().encode(), None]
    both = Segments.restore(3, joined(fields))
    assert both.admits(1, 9) and both.admits(2, 9) and not both.admits(3, 9)
