"""Lists for an item's page and for a basket, against slow lists made one item after the other."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as budget_of
from hypothesis import strategies as st
from logs import MINUTE, NOW
from oracle import settings, user
from test_places import TYPES, past
from test_places import table_of as described

import streamrec
from streamrec.blend.basket import Stored, fitting, merged, within
from streamrec.errors import ConfigurationError
from streamrec.ranking.contexts import ContextMaker, left_out, taken_only
from streamrec.ranking.lists import ListMaker
from streamrec.ranking.rerank import Reranker
from streamrec.settings.load import load
from streamrec.settings.place_rules import place_of
from streamrec.settings.sections import Settings

LISTS = st.lists(st.lists(st.sampled_from("abcdefgh"), unique=True, max_size=6), max_size=4)


def config_of(place: dict[str, Any], **sections: Any) -> Settings:
    place = {"context": "basket", **place}
    return settings(places={"cart": place}, blend={"candidates": 40}, **sections)


@given(LISTS, st.sets(st.sampled_from("abcdefgh")))
def test_a_basket_is_the_sum_of_reciprocal_ranks(lists: list[list[str]], out: set[str]) -> None:
    scores = {
        item: sum(1.0 / (61 + one.index(item)) for one in lists if item in one)
        for one in lists for item in one
    }  # fmt: skip
    found = merged(lists, out)
    assert {one.item: one.score for one in found} == pytest.approx(
        {item: score for item, score in scores.items() if item not in out}
    )
    assert all(a.score >= b.score for a, b in zip(found, found[1:], strict=False))
    for one in found:
        assert one.lists == [n for n, each in enumerate(lists) if one.item in each]


@given(LISTS, st.integers(1, 3), st.sets(st.sampled_from("abcdefgh"), max_size=2))
def test_caps_hold_in_a_merged_list(lists: list[list[str]], most: int, pinned: set[str]) -> None:
    brand = {item: "xyz"[n % 3] for n, item in enumerate("abcdefgh")}
    every = merged(lists, ())
    kept = within(every, {"brand": most}, pinned, lambda item: {"brand": [brand[item]]})
    counts: dict[str, int] = dict.fromkeys("xyz", 0)
    wanted = []
    for one in every:
        if one.item in pinned or counts[brand[one.item]] < most:
            counts[brand[one.item]] += 1
            wanted.append(one)
    assert kept == wanted


@budget_of(max_examples=25)
@given(
    st.lists(st.integers(0, 29), unique=True, max_size=4),
    st.lists(st.tuples(st.integers(0, 29), st.sampled_from(TYPES)), max_size=5,
             unique_by=lambda e: e[0]),
    st.booleans(),
    st.sampled_from([{}, {"sources": {"similarity": 1.0, "popularity_long": 0.1}}]),
)  # fmt: skip
def test_what_is_read_is_what_is_made(
    basket: list[int], had: list[tuple[int, str]], capped: bool, sources: dict[str, Any]
) -> None:
    """The stored lists, merged as readers do, are what the library and evaluate make."""
    caps = {"caps": {"brand": 1}} if capped else {}
    place = {"length": 6, "filters": ["price < 90"], "pins": ["a7"], **caps, **sources}
    config = config_of({**place, "exclude": {"purchase": "ever"}})
    table = described(config, 30)
    maker = ListMaker(config)
    maker.prepare(table)
    rules = Reranker(place_of(config, "cart"))
    mine = ContextMaker(rules.place)
    row = past(*((n, kind, 9 - k) for k, (n, kind) in enumerate(had)))
    [person] = maker.rank([maker.shopper(row, table, types=TYPES)], table, rules=rules)
    rows = [table.row_of[f"a{n}"] for n in basket]
    told = mine.listed(maker, table, person, rows)
    stored = [
        Stored(one.item, one.place, one.at, one.model, list(one.items), one.caps, one.pinned)  # type: ignore[arg-type]
        for one in mine.published(maker, table, rows, NOW, "m")
    ]
    out = {*(f"a{n}" for n in basket), *left_out(maker, table, person.shopper)}
    read = [one.item for one in fitting(stored, out)]
    if not read:
        own = [table.ids[j] for j in person.candidates[person.order].tolist()]
        read = [item or "" for item in own if item not in out]
    assert [table.ids[j] for j in told.rows] == read
    bought = {f"a{n}" for n, kind in had if kind == "purchase"}
    assert not set(read) & (bought | {f"a{n}" for n in basket})
    assert len(read) <= 6 and bool(read)


def test_the_list_of_an_item_is_that_of_who_took_it_alone() -> None:
    config = config_of({"context": "item", "filters": ["price < 90"], "exclude": {}, "length": 8})
    table = described(config, 40)
    maker = ListMaker(config)
    maker.prepare(table)
    mine = ContextMaker(place_of(config, "cart"))
    for n in (3, 4, 11):
        who = maker.shopper(user(n), table)
        rules = Reranker(place_of(config, "cart")._replace(exclude=None))
        [wanted] = maker.rank([who], table, rules=rules)  # lists.exclude = user: without the item
        [found] = mine.ranked(maker, table, [table.row_of[f"a{n}"]])
        assert found.candidates.tolist() == wanted.candidates.tolist()
        assert found.scores == pytest.approx(wanted.scores) and len(found.order) == 8
        [told] = mine.published(maker, table, [table.row_of[f"a{n}"]], NOW, "m")
        assert (told.item, told.place, told.model, told.at) == (f"a{n}", "cart", "m", NOW)
        assert f"a{n}" not in [one.item for one in told.items]
    who = taken_only(5, table)
    assert who.history.tolist() == who.excluded.tolist() == [5]


def test_what_is_out_of_the_history_is_left_out_too() -> None:
    config = config_of({"exclude": {"purchase": "ever"}})
    table = described(config, 30)
    table.arrays.available[:30] = True
    maker = ListMaker(config)
    maker.prepare(table)
    row = past((1, "purchase", 9), (2, "view", 8))._replace(
        seen=np.array([int(table.keys[table.row_of["a9"]]) & 0xFFFFFFFF], np.uint32)
    )
    rules = Reranker(place_of(config, "cart"))
    [ranked] = maker.rank([maker.shopper(row, table, types=TYPES)], table, rules=rules)
    assert left_out(maker, table, ranked.shopper) == ["a1", "a9"]
    table.arrays.available[table.row_of["a1"]] = False
    assert left_out(maker, table, ranked.shopper) == ["a9"]


def test_home_has_no_context() -> None:
    with pytest.raises(ConfigurationError, match="home is asked for with the user alone"):
        load(None, {}, {"places.home": '{context = "item"}'})
    with pytest.raises(ConfigurationError, match="cannot be 'page'; expected: `user` or `item`"):
        load(None, {}, {"places.cart": '{context = "page"}'})


PLACES = {
    "content.size": 16,
    "places.product": {"context": "item", "length": 5, "exclude": {"purchase": "ever"}},
    "places.cart": {"context": "basket", "length": 5, "exclude": {"purchase": "ever"}},
}


def shopping(count: int) -> list[dict[str, Any]]:
    """Return events of people who take pairs: i0 and i1, i2 and i3, and so on."""
    rng = np.random.default_rng(3)
    log = []
    for n in range(count):
        first = 2 * int(rng.integers(0, 12))
        for k, item in enumerate((first, first + 1)):
            one = {"user": f"u{n % 9}", "item": f"i{item}", "ts": NOW + (40 * n + k) * MINUTE}
            log.append({**one, "type": "purchase" if n % 5 == 0 else "view"})
    return log


def test_the_library_is_asked_with_items() -> None:
    one = streamrec.Recommender("shop", settings=PLACES).learn(shopping(200))
    pair = one.recommend("new", 5, place="product", items=["i4"]).ids.tolist()
    assert pair[0] == "i5" and "i4" not in pair
    basket = one.recommend("new", 5, place="cart", items=["i4", "i8", "unknown"]).ids.tolist()
    assert set(basket[:2]) == {"i5", "i9"} and not {"i4", "i8"} & set(basket)
    bought = {e["item"] for e in shopping(200) if e["user"] == "u0" and e["type"] == "purchase"}
    again = {e["item"] for e in shopping(200) if e["user"] == "u0"}
    assert bought and again
    found = one.recommend("u0", 5, place="cart", items=["i4", "i8"]).ids.tolist()
    assert not bought & set(found)
    assert one.recommend("u0", 5, place="cart").ids.tolist()  # an empty basket
    for place, items, said in (
        ("home", ["i4"], "asked for with the user alone"),
        ("product", ["i4", "i8"], "with one item, not 2"),
    ):
        with pytest.raises(ConfigurationError, match=said):
            one.recommend("u0", 5, place=place, items=items)


@pytest.mark.parametrize(("place", "least"), [("product", 0.4), ("cart", 0.4)])
def test_evaluate_measures_a_place_with_its_context(place: str, least: float) -> None:
    """Of a pair the second is foretold by the first, of the first nothing is known."""
    log = shopping(250)
    found = streamrec.evaluate(log, profile="shop", place=place, settings=PLACES)
    assert found.figures["protocol"]["place"]["context"] in ("item", "basket")
    assert found.figures["sources"]["blend"]["recall@10"] >= least
    same = streamrec.evaluate(
        log, profile="shop", place=place,
        settings=PLACES | {f"places.{place}": {**PLACES[f"places.{place}"], "context": "user"}},  # type: ignore[dict-item]
    )  # fmt: skip
    assert same.figures["sources"]["blend"] != found.figures["sources"]["blend"]
    assert same.figures["sources"]["similarity"] == found.figures["sources"]["similarity"]
