"""What is said of an item that is not in a place's list, against the list and the rules."""

import re
from collections import Counter
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as budget_of
from hypothesis import strategies as st
from oracle import settings
from test_contexts import PLACES, shopping
from test_places import DAY, TYPES, past
from test_places import table_of as described

import streamrec
from streamrec.errors import ConfigurationError
from streamrec.inspection.answer import Answer
from streamrec.inspection.explain import answer
from streamrec.ranking.lists import ListMaker
from streamrec.ranking.rerank import Reranker
from streamrec.settings.place_rules import place_of
from streamrec.state.item_table import ItemTable
from streamrec.state.user_rows import UserRow

ENTRIES = st.lists(
    st.tuples(st.integers(0, 29), st.sampled_from(TYPES), st.integers(1, 9 * DAY)),
    max_size=6, unique_by=lambda e: e[0],
)  # fmt: skip


def told(place: dict[str, Any], row: UserRow) -> tuple[dict[str, Answer], list[str], ItemTable]:
    """Return the answers for all items, the list itself, and the table."""
    config = settings(places={"deals": place}, blend={"candidates": 40})
    table = described(config, 30)
    maker = ListMaker(config)
    maker.prepare(table)
    rules = Reranker(place_of(config, "deals"))
    who = maker.shopper(row, table, "u1", types=TYPES)
    rows = {f"a{n}": table.row_of[f"a{n}"] for n in range(30)}
    found = {}
    for item, at in rows.items():
        [ranked] = maker.rank([who], table, [at], rules)
        found[item] = answer(maker, table, ranked, at, rules)
    [ranked] = maker.rank([who], table, rules=rules)
    listed = [table.ids[j] or "" for j in ranked.candidates[ranked.order].tolist()]
    return found, listed, table


@budget_of(max_examples=25)
@given(
    ENTRIES,
    st.sampled_from([None, {}, {"purchase": "ever"}, {"view": "2 days", "cart": "session"}]),
    st.sampled_from([{}, {"brand": 1}, {"category": 2, "brand": 2}]),
    st.sampled_from([(), ("a7", "a12", "a1")]),
    st.integers(2, 12),
)
def test_every_reason_is_true(
    entries: list[tuple[int, str, int]],
    exclude: dict[str, str] | None,
    caps: dict[str, int],
    pins: tuple[str, ...],
    length: int,
) -> None:
    entries = sorted(entries, key=lambda e: -e[2])
    place = {"filters": ["price < 60"], "exclude": exclude, "caps": caps, "pins": list(pins),
             "length": length, "boosts": {"price < 20": 0.5}}  # fmt: skip
    found, listed, table = told(place, past(*entries))
    had = {f"a{n}": kind for n, kind, _ in entries}
    counts: Counter[tuple[str, Any]] = Counter()
    for item in listed:
        counts.update(values_of(table, item, caps))
    for item, one in found.items():
        why, row = one.why_not, table.row_of[item]
        assert (one.place, one.listed) == ("deals", item in listed)
        if one.listed:
            assert not why and one.rank == listed.index(item) + 1
            assert any(line.startswith("pinned") for line in one.rules) == (item in pins)
        elif not table.arrays.available[row]:
            assert why == "it is not available" and not one.rules
        elif why.startswith("the user had it"):
            assert item in had
            if exclude is not None:
                rule = f"{had[item]} = {exclude[had[item]]})"
                assert f"places.deals.exclude: {rule}" in why and f"had it: {had[item]}" in why
        elif why.startswith("removed by filter"):
            entry = table.details.get(row)
            price = entry.attributes.get("price") if entry else None
            assert not (isinstance(price, int | float) and price < 60)
        elif why.startswith("capped"):
            full = re.findall(r"(\d+) items of (\w+) (\S+)", why)
            assert full and all(int(n) >= caps[field] for n, field, _ in full)
            assert all(field in caps for _, field, _ in full)
        else:
            ahead = re.match(r"(\d+) candidates score higher.*; a list has (\d+)", why)
            assert ahead is not None, why
            assert int(ahead[1]) >= int(ahead[2]) == length == len(listed)
    if caps and len(listed) < length:  # all that is not there is not allowed
        assert not any("score higher" in one.why_not for one in found.values())


def values_of(table: ItemTable, item: str, caps: dict[str, int]) -> list[tuple[str, Any]]:
    entry = table.details.get(table.row_of[item])
    if entry is None:
        return []
    brand = entry.attributes.get("brand")
    found: list[tuple[str, Any]] = [("brand", brand)] if brand else []
    return [(f, v) for f, v in [*found, *(("category", c) for c in entry.categories)] if f in caps]


def test_what_was_bought_and_viewed_since_is_told_as_bought() -> None:
    row = past((1, "view", 5), (2, "cart", 3))
    row = row._replace(
        earlier_keys=row.keys[:1], earlier_ts=row.ts[:1] - 3 * DAY * 60_000,
        earlier_types=np.array([TYPES.index("purchase")], np.uint8),
    )  # fmt: skip
    found, listed, _ = told({"exclude": {"purchase": "30 days"}}, row)
    assert found["a1"].why_not.startswith(
        "the user had it: purchase 3 days before the newest event"
    )
    assert "(places.deals.exclude: purchase = 30 days)" in found["a1"].why_not
    assert "a1" not in listed and not found["a2"].why_not.startswith("the user had it")


def test_pins_boosts_and_caps_are_named() -> None:
    place = {"pins": ["a5", "a7"], "boosts": {"item == 'a5'": 1.5}, "caps": {"brand": 9}}
    found, listed, table = told({**place, "length": 20}, past((1, "view", 5)))
    assert listed[0] == "a5" and found["a5"].rules[0] == "pinned: number 1 of places.deals.pins"
    assert any(line.startswith("boost 1 adds +1.5") for line in found["a5"].rules)
    branded = [item for item in listed if values_of(table, item, {"brand": 9})]
    assert branded and any("capped at 9: brand is" in line for line in found[branded[0]].rules)
    assert found["a5"].parts["rules"] == pytest.approx(1.5, abs=1e-3)


def test_the_sources_of_a_place_are_named() -> None:
    found, listed, _ = told({"sources": {"similarity": 1.0}}, past((1, "view", 5)))
    said = {one.why_not for item, one in found.items() if item not in listed}
    assert (
        "no source of those that rank here (places.deals.sources) has it among its best 40" in said
    )
    assert {"similarity"} >= {name for name, value in found[listed[0]].parts.items() if value}


def test_the_library_explains_places() -> None:
    one = streamrec.Recommender("shop", settings=PLACES).learn(shopping(120))
    bought = next(e["item"] for e in shopping(120) if e["user"] == "u0" and e["type"] == "purchase")
    found = one.explain("u0", bought, place="cart")
    assert "the user had it: purchase" in found.why_not and found.place == "cart"
    assert one.explain("u0", "nothing", place="cart").place == "cart"
    assert one.explain("u0", bought, place="cart", page="i4").why_not == found.why_not
    assert one.explain("u0", "i4", place="cart", page="i4").why_not == "it is the item of the page"
    listed = one.recommend("new", 5, place="product", items=["i4"]).ids.tolist()
    for n, item in enumerate(listed, 1):
        told = one.explain("new", item, place="product", page="i4")
        assert (told.listed, told.rank, told.user, told.place) == (True, n, "new", "product")
        assert set(told.past) <= {"i4"}
    rest = next(f"i{n}" for n in range(24) if f"i{n}" not in (*listed, "i4"))
    assert (
        "score higher; a list has 5" in one.explain("new", rest, place="product", page="i4").why_not
    )
    with pytest.raises(ConfigurationError, match="home is asked for with the user alone"):
        one.explain("u0", bought, page="i4")
    with pytest.raises(ConfigurationError, match="no place 'mail'"):
        one.explain("u0", bought, place="mail")
