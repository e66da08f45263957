"""A table kept by a Follower is the one that is filled through bytes; restored owners go on."""

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from laws.world import event, fill, keep, meta_bytes, raws, small
from make import columns_of
from test_schema import other_sources

from streamrec.blend.learned import E, Features, with_click
from streamrec.blend.rules import BLEND_KEY, blend_owner
from streamrec.errors import UnknownVersion
from streamrec.events.event import Event, Item
from streamrec.flow import Flow, decode, deliver, load, teach
from streamrec.settings.sections import Settings
from streamrec.sources.registry import names_of
from streamrec.state import updates
from streamrec.state.item_shard import ItemShard
from streamrec.state.item_table import OWN, ItemTable

M = len(names_of(Settings()))
PARTS = 2
KINDS = ("click", "click", "click", "view", "purchase", "dislike", "remove", "impression")
STEPS = st.lists(
    st.one_of(
        st.tuples(
            st.just("event"),
            st.integers(0, 2),  # user
            st.integers(0, 3) | st.integers(0, 11),  # item
            st.sampled_from(KINDS),
            st.integers(0, 3000),  # time in s: some come late, and lists decay to nothing
            st.sampled_from([None, "at", "de"]),  # segment
        ),
        st.tuples(st.just("item"), st.integers(0, 13), st.booleans()),
        st.tuples(st.just("sample"), st.integers(0, 4)),
        st.tuples(st.just("refresh")),
    ),
    max_size=60,
)


class Twins:
    """The same records to owners that are followed, and to owners whose rows are stored."""

    def __init__(self, config: Settings) -> None:
        self.config = config
        self.flow = Flow(config, 1, PARTS)
        self.table, self.users = self.flow.table, self.flow.users[0]
        self.filled = ItemTable(config, with_lists=True)
        self.stored = [ItemShard(n, config, 0) for n in range(PARTS)]
        self.rows: list[dict[str, dict[bytes, bytes]]] = [{} for _ in range(PARTS)]
        self.metas: list[dict[bytes, bytes]] = [{} for _ in range(PARTS)]

    def run(self, steps: list[tuple[Any, ...]]) -> None:
        for what, *step in steps:
            if what == "event":
                self.learn(*step)
            elif what == "item":
                title = f"the {'red' if step[1] else 'blue'} one {step[0]}"
                item = Item(f"i{step[0]}", title=title, available=step[1])
                offset = self.flow.metadata.offset
                self.send(self.flow.metadata.fold([(offset, item)], offset + 1))
            elif what == "sample":
                self.learn(0, 0, "impression", 0, None, sample(step[0]))
            else:
                self.refresh()
            for table in (self.table, self.filled):  # asked now and then, it is remembered
                table.live()
        self.refresh()

    def learn(
        self, user: int, item: int, kind: str, ts: int, segment: str | None, sample: bytes = b""
    ) -> None:
        more = {"segment": segment} if segment else {}
        messages = raws([event(f"u{user}", f"i{item}", kind, ts - 2000, **more)])
        [(_, time, one)] = decode(self.flow.decoder, messages)
        assert isinstance(one, Event)
        decoded = [(self.users.offset, time, one)]
        load(self.users, decoded, lambda users: [None] * len(users))
        scorable = self.users.scorable(one, one.ts)
        fold = self.flow.fold(decoded)
        assert fold.scorable == [scorable]  # said before, from the state it says it of
        teach(fold.records, [sample] if sample else [])
        self.send(fold.records)

    def send(self, records: list[updates.Updates]) -> None:
        for record in records:
            assert {name: record[name].dtype for name, _ in updates.COLUMNS} == dict(
                updates.COLUMNS
            )
        deliver(self.flow.items, records)
        deliver(self.stored, [updates.decode(updates.encode(record)) for record in records])

    def refresh(self) -> None:
        for n, shard in enumerate(self.stored):
            changed, deleted, meta = shard.changes()
            fill(self.filled, changed, deleted["items"])
            keep(self.rows[n], changed, deleted)
            self.metas[n] = meta_bytes(meta)
        self.flow.follow()

    def restored(self) -> list[ItemShard]:
        return [
            ItemShard.restore(n, self.config, self.metas[n], self.rows[n]) for n in range(PARTS)
        ]


def sample(clicked: int) -> bytes:
    values = np.random.default_rng(clicked).normal(size=(5, M)).astype(np.float32)
    ranks, extras = np.full((5, M), 1, np.uint8), np.zeros((5, E), np.float32)
    features = Features(values, ranks, extras, 3, np.zeros(M, np.float32))
    return with_click(features.sample(), clicked, 1.0)


def tiny(**sections: dict[str, Any]) -> Settings:
    """Return settings whose lists are full, pruned and gone round after a few events."""
    return small(
        **({"cosine": {"neighbours": 2, "window": 3}, "successors": {"entries": 3}} | sections)
    )


def many(count: int, seed: int = 1, items: int = 12) -> list[tuple[Any, ...]]:
    """Return steps that fill all lists."""
    rng = np.random.default_rng(seed)
    steps: list[tuple[Any, ...]] = []
    for n in range(count):
        kind, late = KINDS[int(rng.integers(len(KINDS)))], int(rng.integers(-5, 2))
        one = ("event", int(rng.integers(3)), int(rng.integers(items)), kind, 4 * n + late)
        steps.append((*one, [None, "at"][n % 2]))
        if rng.random() < 0.3:
            steps.append(("refresh",))
    return steps


def check_tables(mine: ItemTable, theirs: ItemTable) -> None:
    """Compare what two tables know of each stored item, by its key; of others they know nothing."""
    sizes = {c.sized_by for c in mine.columns if c.sized_by}
    for table in (mine, theirs):
        a = table.arrays
        assert table.live().tolist() == np.flatnonzero(a.stored[: len(table)]).tolist()
        for name in (*sizes, "popularity"):
            assert not a.named(name)[: len(table)][~a.stored[: len(table)]].any(), name
    keys = theirs.keys[theirs.arrays.stored[: len(theirs)]]
    assert set(keys.tolist()) == set(mine.keys[mine.arrays.stored[: len(mine)]].tolist())
    at, there = mine.index.rows(keys), theirs.index.rows(keys)
    for c in (*mine.columns, *OWN[:3]):
        one, two = mine.arrays.named(c.name)[at], theirs.arrays.named(c.name)[there]
        if c.sized_by:
            used = mine.arrays.named(c.sized_by)[at][:, None] > np.arange(c.width)
            if c.table == "rows":
                assert (one[used] >= 0).all() and (two[used] >= 0).all()
                one, two = mine.keys[one], theirs.keys[two]
            one, two = one[used], two[used]
        if c.name == "similarity_total":
            assert one == pytest.approx(two, rel=1e-5)
        else:
            assert (one == two).all(), c.name
    assert mine.log2_totals() == pytest.approx(theirs.log2_totals())
    assert [mine.ids[row] for row in at] == [theirs.ids[row] for row in there]
    assert blend_bytes(mine) == blend_bytes(theirs)


def blend_bytes(owner: ItemTable | ItemShard) -> bytes | None:
    return owner.blend and owner.blend.to_bytes()


def state(shard: ItemShard) -> dict[int, Any]:
    """Return all that a shard knows, by key; what lies beyond a list's end does not count."""
    kinds = shard.schema.kinds.values()
    return {
        key: [
            (name, np.asarray(value).tolist())
            for kind in kinds
            for name, value in columns_of(kind, shard.items, row).items()
        ]
        for row, key in enumerate(shard.index.keys[: shard.index.size].tolist())
    }


@settings(max_examples=60)
@given(STEPS)
def test_a_followed_table_is_the_one_filled_through_bytes(steps: list[tuple[Any, ...]]) -> None:
    twins = Twins(tiny())
    twins.run(steps)
    check_tables(twins.table, twins.filled)


@pytest.mark.parametrize("most", [100, 5])
def test_so_it_is_after_many_events(most: int) -> None:
    twins = Twins(tiny(items={"max_items": most}))
    twins.run(many(300))
    check_tables(twins.table, twins.filled)
    assert twins.stored[0].items.successors_total.max() > 10
    assert most > 5 or not twins.table.arrays.stored[: len(twins.table)].all()


@settings(max_examples=40)
@given(STEPS)
def test_so_it_is_while_items_are_evicted(steps: list[tuple[Any, ...]]) -> None:
    twins = Twins(tiny(items={"max_items": 4}))
    twins.run(steps)
    check_tables(twins.table, twins.filled)
    assert twins.table.arrays.stored[: len(twins.table)].sum() <= 4 * PARTS


@settings(max_examples=40)
@given(STEPS, STEPS)
def test_restored_owners_are_what_they_were_and_go_on_alike(
    before: list[tuple[Any, ...]], after: list[tuple[Any, ...]]
) -> None:
    twins = Twins(tiny())
    twins.run([*many(20), *before])
    restored = twins.restored()
    for old, new in zip(twins.stored, restored, strict=True):
        assert state(new) == state(old)
        assert (new.marks, new.offset, new.commits) == (old.marks, old.offset, old.commits)
        assert blend_bytes(old) == blend_bytes(new)
    going_on, twins.stored = twins.stored, restored
    real = twins.send

    def send(records: list[updates.Updates]) -> None:
        for shard, record in zip(going_on, records, strict=True):
            shard.fold(record)
        real(records)

    twins.send = send  # type: ignore[method-assign]
    twins.run(after)
    for old, new in zip(going_on, twins.stored, strict=True):
        old.keep_within_bound()
        assert state(new) == state(old)
        assert blend_bytes(old) == blend_bytes(new)


def test_all_kinds_of_rows_are_stored_and_the_blend_only_when_it_learnt() -> None:
    twins = Twins(small())
    for n in range(40):
        twins.learn(n % 4, n * 7 % 12, "click", 10 * n, "at")
    twins.learn(0, 0, "click", 500, None, sample(2))
    twins.refresh()
    assert all(
        twins.rows[n][kind]
        for n in range(PARTS)
        for kind in {*twins.table.schema.kinds, "catalogue"} - {"texts"}  # no item has any
    )
    owner = blend_owner(PARTS)
    assert list(twins.rows[owner]["blend"]) == [BLEND_KEY]
    assert not twins.rows[1 - owner]["blend"]
    twins.learn(0, 0, "click", 510, None)
    changed = [shard.changes()[0] for shard in twins.stored]
    assert not any(each["blend"] for each in changed)
    assert twins.stored[owner].blend is not None and twins.stored[owner].blend.seen[0] == 1
    names = [
        json.loads(blob)["item"]
        for n in range(PARTS)
        for blob in twins.rows[n]["catalogue"].values()
    ]
    assert len(names) == len(set(names))


def test_a_sample_that_was_sent_again_is_learnt_once() -> None:
    twins = Twins(small())
    owner = ItemShard(0, small(), 0)
    record = updates.make(updates.Header("u0", 0, 0, 3, 4), {})
    record.header.samples += [(0, sample(1)), (0, b"damaged")]
    owner.fold(record)
    owner.fold(record)
    assert owner.blend is not None and owner.blend.seen[0] == 1
    longer = updates.make(updates.Header("u0", 0, 0, 5, 4), {})  # partly applied before
    longer.header.samples += [(0, sample(1)), (3, sample(2))]
    owner.fold(longer)
    assert owner.blend.seen[0] == 2
    assert twins.stored[0].blend is None


def test_learners_that_are_off_keep_nothing() -> None:
    off = {"cosine": {"neighbours": 0}, "successors": {"entries": 0}, "content": {"size": 0}}
    twins = Twins(small(**off))
    for n in range(40):
        twins.learn(n % 4, n * 7 % 12, "click", 10 * n, None)
    twins.refresh()
    check_tables(twins.table, twins.filled)
    assert not any(twins.rows[n][kind] for n in range(PARTS) for kind in ("cosine", "successors"))
    assert all(twins.rows[n]["similarity"] for n in range(PARTS))
    twins.restored()


@pytest.mark.parametrize(
    ("section", "shorter"),
    [("cosine", {"neighbours": 1}), ("successors", {"entries": 4}), ("successors", {"entries": 8})],
)
def test_stored_lists_that_do_not_fit_the_settings_are_refused(
    section: str, shorter: dict[str, int]
) -> None:
    twins = Twins(small())
    for n in range(60):
        twins.learn(n % 4, n * 5 % 13, "click", n, None)
    twins.refresh()
    twins.config = small(**{section: shorter})
    with pytest.raises(UnknownVersion, match=section):
        twins.restored()


def test_rows_of_other_sources_are_refused() -> None:
    twins = Twins(small())
    twins.learn(0, 0, "click", 0, None)
    twins.refresh()
    twins.restored()
    twins.config = other_sources(small())
    with pytest.raises(UnknownVersion, match="made with other sources"):
        twins.restored()


def test_a_blend_of_another_shape_is_learnt_anew() -> None:
    twins = Twins(small())
    twins.learn(0, 0, "click", 0, None, sample(1))
    twins.refresh()
    twins.config = small(blend={"hidden": 5})
    assert twins.restored()[blend_owner(PARTS)].blend is None
    table = ItemTable(twins.config, with_lists=True)
    table.apply("blend", list(twins.rows[blend_owner(PARTS)]["blend"].items()))
    assert table.blend is None
