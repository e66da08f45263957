"""Filters where candidates are found: against a look at every item, and a shorter shelf."""

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as budget_of
from hypothesis import strategies as st
from oracle import NOW, USERS, names, settings, summed
from oracle import table as random_table
from oracle import user as took

from streamrec.expressions import columns
from streamrec.expressions.expression import Expression
from streamrec.ranking import passing as room
from streamrec.ranking.lists import ListMaker
from streamrec.ranking.rerank import Reranker, item_fields, moment_of, user_fields
from streamrec.settings.place_rules import place_of
from streamrec.settings.sections import Settings
from streamrec.sources.segment import SEGMENT_PREFIX
from streamrec.sources.source import Shopper, having
from streamrec.state.item_table import ItemTable
from streamrec.state.keys import field_of, key_of
from streamrec.state.user_rows import UserRow

HOUR = 3_600_000
CATEGORIES = ("garden", "kitchen", "Toys", "")
BRANDS: tuple[Any, ...] = ("ash", "oak", "elm", "", None, 1.0, True)
ATOMS = (
    "price < 20", "price >= 4.5", "20 > price", "price in [1, 2, 'a3']", "price == 1",
    "price != 3", "price is missing", "attributes.brand == 'oak'", "attributes.brand != 'oak'",
    "attributes.brand == true", "attributes.brand == 1", "attributes.brand is not missing",
    "attributes.brand == user.segment", "user.segment != attributes.brand", "user.segment == 'oak'",
    "category == 'garden'", "category not in ['garden', 'Toys']", "category contains 'garden'",
    "user.segment in categories", "title contains 'tem 1'", "title == 'Item 12'", "text is missing",
    "item == 'a7'", "item != 'a7'", "item in ['a1', 'a2', 'nobody']", "'a3' == item",
    "item contains '1'", "item in user.history", "item not in user.history", "item != user.id",
    "item is missing", "item == 3", "user.id == 'u1'", "user.events < 3", "user.id is missing",
    "seen", "not seen", "seen == attributes.new", "seen != attributes.brand", "available",
    "age < 4h", "age > 4h", "4h <= age", "age is missing", "age == 7200", "age != 7200",
    "age in [3600, 'x']", "age == 'x'", "age < user.events", "user.events >= age",
    "popularity > 0.02", "0.02 > popularity", "popularity == 0", "popularity contains 0",
    "age < attributes.hours", "attributes.hours > age", "popularity < price",
    "age != popularity", "price == attributes.hours", "attributes.hours < price", "title == item",
    "attributes.new", "attributes.new == false", "attributes.nobody == 1",
)  # fmt: skip


def trees() -> st.SearchStrategy[str]:
    atoms = st.sampled_from(ATOMS)
    return st.recursive(
        atoms,
        lambda inner: st.one_of(
            st.tuples(inner, st.sampled_from(("and", "or")), inner).map(
                lambda t: f"({t[0]}) {t[1]} ({t[2]})"
            ),
            inner.map(lambda t: f"not ({t})"),
        ),
        max_leaves=6,
    )


def describe(table: ItemTable, n: int, rng: np.random.Generator) -> None:
    """Say something of a<n>: of some items only little."""
    entry: dict[str, Any] = {"item": f"a{n}", "available": bool(rng.random() < 0.9)}
    if rng.random() < 0.9:
        attributes = {
            "price": float(rng.integers(0, 40)), "brand": BRANDS[rng.integers(len(BRANDS))],
            "new": bool(rng.random() < 0.5), "hours": float(rng.integers(0, 40_000)),
        }  # fmt: skip
        entry |= {
            "title": f"Item {n}", "text": "plain" if rng.random() < 0.5 else "",
            "categories": [CATEGORIES[k] for k in rng.integers(0, 4, rng.integers(0, 3))],
            "attributes": {k: v for k, v in attributes.items() if rng.random() < 0.8},
        }  # fmt: skip
    field, blob = field_of(f"a{n}"), json.dumps(entry).encode()
    table.apply("catalogue", [(field, blob)])


def table_of(config: Settings, items: int = 40, seed: int = 1) -> ItemTable:
    table, rng = random_table(items, seed, config), np.random.default_rng(seed)
    for n in rng.permutation(items)[: items * 9 // 10].tolist():
        describe(table, n, rng)
    hours = rng.integers(0, 9, items) * HOUR
    table.arrays.born[:items] = np.where(hours == 8 * HOUR, 0, NOW - hours)
    return table


def config_of(*filters: str, **sections: dict[str, Any]) -> Settings:
    lists = {"filters": filters, "boosts": {"seen": 0.0}, **sections.pop("lists", {})}
    return settings(lists={"length": 10, **lists}, **sections)


def shopper_of(maker: ListMaker, table: ItemTable, row: UserRow) -> Shopper:
    return maker.shopper(row, table, "a5")


def brute(table: ItemTable, filters: tuple[str, ...], who: Shopper) -> list[int]:
    """Return the rows that all filters hold for, item by item."""
    at, user = moment_of(table), user_fields(table, who)
    servable = np.flatnonzero(table.arrays.stored & table.arrays.available)
    rules = [Expression(text) for text in filters]
    return [
        row for row in servable.tolist()
        if all(rule.holds(item_fields(table, row, who, at), user) for rule in rules)
    ]  # fmt: skip


def passed(maker: ListMaker, filters: tuple[str, ...], who: Shopper, table: ItemTable) -> list[int]:
    rules = Reranker(place_of(maker.settings), filters)
    found = maker.passing(who, table, rules)
    assert found is not None
    rows: list[int] = np.flatnonzero(found.allowed).tolist()
    assert (found.rows.tolist() == rows) if found.picked else not len(found.rows)
    assert found.size == len(rows) and found.picked == (8 * len(rows) < len(table))
    return rows


PEOPLE = (
    took(5, 2, 11, 7, seen=(9, 12), segment=f"{SEGMENT_PREFIX}at"), took(3), *USERS[3:5],
)  # fmt: skip


@budget_of(max_examples=80)
@given(st.lists(trees(), min_size=1, max_size=3), st.integers(0, 10**6))
def test_what_passes_is_what_an_expression_holds_for(filters: list[str], seed: int) -> None:
    """Now, and after items came, changed, were sold out, and became popular."""
    table, rng = table_of(config_of(), seed=seed), np.random.default_rng(seed)
    maker, texts = ListMaker(table.settings), tuple(filters)
    for turn in range(3):
        maker.prepare(table)
        for row in PEOPLE:
            who = shopper_of(maker, table, row)
            assert passed(maker, texts, who, table) == brute(table, texts, who), texts
        for n in rng.integers(0, 44, 6).tolist():
            describe(table, n, rng)
        rows = table.rows(np.array([key_of(f"a{40 + turn}")], np.uint64))
        table.arrays.stored[rows] = True
        table.arrays.popularity[rows] = 4.0
        some = np.concatenate([rows, rng.permutation(40)[:3]])
        table.arrays.clock[some] += HOUR
        table._take_popularity(some)


def test_every_kind_of_comparison_alone() -> None:
    table = table_of(config_of(), seed=3)
    maker = ListMaker(table.settings)
    maker.prepare(table)
    for text in ATOMS:
        for row in PEOPLE:
            who = shopper_of(maker, table, row)
            for each in (text, f"not ({text})"):
                assert passed(maker, (each,), who, table) == brute(table, (each,), who), each


def test_a_field_of_too_many_values_is_looked_at_item_by_item(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(columns, "MOST_VALUES", 7)
    monkeypatch.setattr(room, "MOST_VALUES", 7)
    monkeypatch.setattr(room, "MOST_COLUMNS", 2)
    monkeypatch.setattr(room, "MOST_TESTS", 3)
    test_every_kind_of_comparison_alone()
    monkeypatch.setattr(columns, "MOST_ANSWERS", 1)
    test_what_passes_is_what_an_expression_holds_for()


def test_only_what_changed_is_looked_at_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two items changed: four reads of two fields, whatever the catalogue's size."""
    filters = ("price < 20", "title contains 'Item'", "attributes.hours < price")
    table = table_of(config_of(*filters), 200)
    maker, read, real = ListMaker(table.settings), [], room._OfAll.read
    monkeypatch.setattr(room, "MOST_VALUES", 50)
    monkeypatch.setattr(columns, "MOST_VALUES", 50)

    def counted(self: Any, name: str, row: int) -> Any:
        read.append((name, row))
        return real(self, name, row)

    monkeypatch.setattr(room._OfAll, "read", counted)
    for turn in range(3):
        maker.prepare(table)
        who = shopper_of(maker, table, took(1, 2))
        before = len(read)
        assert passed(maker, filters, who, table) == brute(table, filters, who)
        maker.make([who, who], table)
        assert (len(read) > before) == (turn == 0)
        if turn:
            assert {row for _, row in read} == {table.row_of["a7"], table.row_of["a8"]}
            assert len(read) == 2 * 4
        read.clear()
        describe(table, 7, np.random.default_rng(turn))
        describe(table, 8, np.random.default_rng(turn))


def shelf_of(table: ItemTable, rows: list[int]) -> ListMaker:
    """Return what makes lists as if nothing but some rows were there."""
    available = table.arrays.available.copy()
    table.arrays.available[:] = False
    table.arrays.available[rows] = True
    maker = ListMaker(settings(lists={"length": 10, "exclude": table.settings.lists.exclude}))
    maker.prepare(table)
    table.arrays.available[:] = available
    return maker


@budget_of(max_examples=60)
@given(
    st.lists(trees(), min_size=1, max_size=2),
    st.sampled_from(["user", "session", "none"]),
    st.integers(0, 10**6),
    st.booleans(),
)
def test_a_list_is_that_of_a_catalogue_of_what_passes(
    filters: list[str], exclude: str, seed: int, sparse: bool
) -> None:
    """The same items and scores; what no source speaks of comes last, until the list is full."""
    texts = tuple(filters)
    table = table_of(config_of(*texts, lists={"exclude": exclude}), 400 if sparse else 40, seed)
    maker = ListMaker(table.settings)
    maker.prepare(table)
    people = [shopper_of(maker, table, row) for row in PEOPLE]
    for who, made in zip(people, maker.make(people, table), strict=True):
        rows = brute(table, texts, who)
        [wanted] = shelf_of(table, rows).make([who], table)
        free = set(rows) - set(who.excluded.tolist())
        free -= {r for r in rows if int(table.keys[r]) & 0xFFFFFFFF in who.row.seen}
        assert len(made.items) == min(10, len(free))
        assert {table.row_of[name] for name in names(made)} <= free
        if len(wanted.items) == 10 and len(wanted.candidates) >= 10:
            got = {entry.item: entry.score for entry in made.items}
            for entry in wanted.items[:9]:  # of two that are level, either
                assert got.get(entry.item, made.items[-1].score) == pytest.approx(
                    entry.score, abs=2e-3
                )


def test_all_39_of_3000_are_listed() -> None:
    """A filter that few pass is no reason for a short list, whatever the sources propose."""
    text = 'category == "garden" and price < 20'
    config = config_of(text, lists={"length": 50}, blend={"candidates": 50})
    table, rng = random_table(3000, 1, config), np.random.default_rng(1)
    cheap = set(rng.permutation(3000)[:39].tolist())
    for n in range(3000):
        price = float(rng.integers(1, 20)) if n in cheap or n % 3 == 1 else 25.0
        entry = {
            "item": f"a{n}", "attributes": {"price": price},
            "categories": ["garden"] if n in cheap or n % 3 == 0 else ["kitchen"],
        }  # fmt: skip
        table.apply("catalogue", [(field_of(f"a{n}"), json.dumps(entry).encode())])
    for n in list(cheap)[:9]:  # nobody ever took them
        table.arrays.popularity[n] = 0.0
    summed(table)
    maker = ListMaker(config)
    maker.prepare(table)
    wanted = {f"a{n}" for n in cheap}
    first = next(iter(cheap))
    for past in ((), (1, 2), range(40, 90), (first,)):
        [made] = maker.make([shopper_of(maker, table, took(*past))], table)
        assert set(names(made)) == wanted - {f"a{n}" for n in past}
    plain = ListMaker(settings(lists={"length": 50}, blend={"candidates": 50}))
    plain.prepare(table)
    [made] = plain.make([shopper_of(plain, table, took(1, 2))], table)
    assert len(wanted & set(names(made))) < 10  # what was left when the filter came afterwards


def test_users_of_one_batch_get_each_what_they_may() -> None:
    """A batch whose users pass different items, with few and many of them."""
    texts = ("attributes.brand == user.segment or user.segment is missing", "price < 30")
    table = table_of(config_of(*texts), 300)
    maker = ListMaker(table.settings)
    maker.prepare(table)
    rows = [took(1, segment=f"{SEGMENT_PREFIX}at"), took(1), took(2, 3), took(4, segment="x")]
    people = [maker.shopper(row, table, f"u{n}") for n, row in enumerate(rows)]
    together = maker.make(people, table)
    for who, made in zip(people, together, strict=True):
        [alone] = maker.make([who], table)
        assert names(alone) == names(made)
        assert [e.score for e in alone.items] == pytest.approx(
            [e.score for e in made.items], abs=1e-3
        )


def test_what_a_source_says_of_some_rows_is_what_it_says_of_all() -> None:
    config = settings(factors={"prior": 0.5}, lists={"exclude": "none"})
    table = table_of(config, 60)
    maker = ListMaker(config)
    maker.prepare(table)
    people = [maker.shopper(row, table) for row in USERS]
    rows = np.array([3, 4, 17, 59], np.int32)
    picking = having("score_rows", maker.sources)
    assert {source.name for source in picking} == {"factors", "content"}
    for source in picking:
        whole = np.empty((len(people), len(table)), np.float32)
        some = np.empty((len(people), len(rows)), np.float32)
        source.score_all(table.arrays, people, whole)
        source.score_rows(table.arrays, people, rows, some)
        np.testing.assert_allclose(some, whole[:, rows], rtol=1e-5, atol=1e-6)


def test_a_target_ranks_among_what_passes() -> None:
    table = table_of(config_of("price < 30"), 60)
    maker = ListMaker(table.settings)
    maker.prepare(table)
    rows = brute(table, ("price < 30",), shopper_of(maker, table, took()))
    who = shopper_of(maker, table, took(int((table.ids[rows[0]] or "")[1:])))
    out = next(r for r in range(60) if r not in rows)
    inside = next(r for r in rows if r not in who.history)
    [of_in] = maker.rank([who], table, [inside])
    [of_out] = maker.rank([who], table, [out])
    [wanted] = shelf_of(table, rows).rank([who], table, [inside])
    np.testing.assert_allclose(of_in.full_ranks, wanted.full_ranks)
    assert np.isnan(of_out.full_ranks).all()
